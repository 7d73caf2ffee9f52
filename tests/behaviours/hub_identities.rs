//! A device is its id in its hub, so no two have one.

use landfall_domain::clock::Ambient;
use landfall_domain::names::Digest;
use landfall_tests::world::{Device, World, json_of, tracking_id};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_never_get_one_id_in_a_hub_and_the_second_waits_with_the_owners_name() {
    let world = World::new().await;
    let first = named(&world, "pump-1", "same").await;
    assert_eq!(json_of(&first.register().await)["registrationState"]["deviceId"], "same");
    let second = named(&world, "pump-2", "same").await;
    waits(&world, &second, "pump-1").await;

    // Neither a device whose own id was given away, nor one that is given another's.
    let thief = named(&world, "pump-3", "pump-4").await;
    assert_eq!(thief.register().await.status, 200);
    waits(&world, &world.device("pump-4").await, "pump-3").await;

    // The owner keeps it over a release, and gives it back when it is deleted.
    let path = format!("/api/v1/scopes/{}/registrations/pump-1", world.scope);
    assert_eq!(world.manage("POST", &format!("{path}/release"), b"{}").await.status, 204);
    waits(&world, &named(&world, "pump-5", "same").await, "pump-1").await;
    assert_eq!(world.manage("DELETE", &path, b"").await.status, 204);
    let next = named(&world, "pump-6", "same").await;
    assert_eq!(json_of(&next.register().await)["registrationState"]["deviceId"], "same");
    waits(&world, &first, "pump-6").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_would_be_the_same_at_once_one_is() {
    let world = World::new().await;
    let mut devices = Vec::new();
    for number in 0..12 {
        devices.push(named(&world, &format!("pump-{number}"), "same").await);
    }
    let mut registering: tokio::task::JoinSet<_> =
        devices.into_iter().map(|device| async move { device.register().await.status.as_u16() }).collect();
    let mut statuses = Vec::new();
    while let Some(status) = registering.join_next().await {
        statuses.push(status.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [[200].as_slice(), &[202; 11]].concat());
}

/// A device whose enrollment names its id in the hub.
async fn named(world: &World, id: &str, device_id: &str) -> Device {
    let issued = world.factory.device(id, Ambient::system().now(), 30).unwrap();
    world.record(id, Some(Digest::of(&issued.certificate_der))).await;
    let pin = json!({ "certificates": { "primary": issued.certificate_pem } });
    let enrollment = json!({
        "x509": pin, "deviceId": device_id, "allocation": { "selection": { "plugin": "weighted" } },
    });
    world.put(&format!("enrollments/{id}"), &enrollment).await;
    world.stranger(id, &issued)
}

async fn waits(world: &World, device: &Device, owner: &str) {
    let answer = device.register().await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let verdict = world.ledger(&tracking_id(&answer)).await["kind"]["decided"]["verdict"]["postponed"].clone();
    assert_eq!(verdict["kind"], "device-id-taken", "{verdict}");
    let detail = verdict["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("landfall registration delete {owner}")), "{detail}");
}
