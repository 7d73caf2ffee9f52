//! What an operator changes holds from the moment of the answer, also for what is under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use landfall::client::{self, Client};
use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::Ambient;
use landfall_tests::world::{World, group, json_of};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::policies_in_the_field::{publish, selected_by, talkative};

#[tokio::test(flavor = "multi_thread")]
async fn once_a_quarantine_is_answered_nothing_that_is_under_way_is_written() {
    let world = World::empty(talkative).await;
    world.link_hub("a.example", 1, 1000).await;
    world.enroll_factory().await;
    // It takes its time, so that there is always something under way.
    publish(&world, "floods-log", "floods-log").await;
    let mut slow = group("factory");
    slow["allocation"] = selected_by("floods-log");
    world.put("enrollment-groups/devices", &slow).await;
    let mut devices = Vec::new();
    for number in 0..30 {
        devices.push(world.device(&format!("d-{number}")).await);
    }
    let mut registering: JoinSet<_> = devices
        .iter()
        .cloned()
        .map(|device| async move { device.try_send("PUT", "/register", &[], b"{}".to_vec()).await.map(drop) })
        .collect();
    registering.join_next().await.unwrap().unwrap().unwrap();
    let mut stood = Vec::new();
    for device in &devices {
        world.put(&format!("records/{}/state", device.id), &json!({ "state": "quarantined" })).await;
        stood.push(registration(&world, &device.id).await);
    }
    registering.join_all().await;
    let mut settled = Vec::new();
    // What is begun is carried on after its device has its 202.
    while world.server().provisioning.desk().registrations_under_way() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for device in &devices {
        settled.push(registration(&world, &device.id).await);
    }
    assert_eq!(stood, settled);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_long_is_written_while_another_group_is_changed_all_the_time() {
    let world = Arc::new(World::empty(talkative).await);
    world.link_hub("a.example", 1, 1000).await;
    world.enroll_factory().await;
    let second = Authority::root("Second Factory", Ambient::system().now(), 30).unwrap();
    world.upload_authority("second", &second).await;
    publish(&world, "floods-log", "floods-log").await;
    let mut slow = group("factory");
    slow["allocation"] = selected_by("floods-log");
    world.put("enrollment-groups/devices", &slow).await;
    world.put("enrollment-groups/others", &group("second")).await;
    let (changes, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let changing = tokio::spawn({
        let (world, changes, done) = (Arc::clone(&world), Arc::clone(&changes), Arc::clone(&done));
        async move {
            while !done.load(Ordering::Relaxed) {
                let number = changes.load(Ordering::Relaxed);
                let mut other = group("second");
                other["initialTwin"] = json!({ "tags": { "change": number } });
                world.put("enrollment-groups/others", &other).await;
                changes.store(number + 1, Ordering::Relaxed);
            }
        }
    });
    // Each registers again and again until a change was answered while it was being decided.
    for number in 0..5 {
        let device = world.device(&format!("d-{number}")).await;
        loop {
            let before = changes.load(Ordering::Relaxed);
            let answer = device.register().await;
            assert_eq!(answer.status, 200, "it had to wait: {answer:?}");
            // One that had begun before may be answered within; two were not.
            if changes.load(Ordering::Relaxed) > before + 1 {
                break;
            }
        }
    }
    done.store(true, Ordering::Relaxed);
    changing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_never_to_be_moved_keeps_its_hub_whatever_its_policy_says_today() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    let mut stays = group("factory");
    stays["reprovision"] = json!({ "updateHubAssignment": false, "migrateDeviceData": true });
    world.put("enrollment-groups/devices", &stays).await;
    let first = json_of(&device.register().await);
    assert_eq!(first["status"], "assigned", "{first}");

    publish(&world, "rejects", "rejects").await;
    stays["allocation"]["selection"] = json!({ "plugin": "rejects" });
    world.put("enrollment-groups/devices", &stays).await;
    world.link_hub("hub-2.example", 1000, 1000).await;
    let again = device.register().await;
    let state = &json_of(&again)["registrationState"];
    assert_eq!(state["status"], "assigned", "{state}");
    for what in ["assignedHub", "deviceId", "substatus"] {
        assert_eq!(state[what], first["registrationState"][what], "{what}");
    }

    // Nobody else is spared.
    let other = json_of(&world.device("pump-2").await.register().await);
    assert_eq!(other["registrationState"]["errorCode"], 400_207, "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_caller_goes_away_is_made_as_a_whole_or_not_at_all() {
    let mut world = World::new().await;
    for number in 0..40_u64 {
        let mut client = Client::connect(world.server().management_addr, "localhost", world.tls(None)).await.unwrap();
        let path = format!("/api/v1/scopes/{}/hubs/gone-{number}.example", world.scope);
        let bearer = format!("Bearer {}", world.operator_token);
        let headers = client::headers(&[("authorization", bearer.as_str()), ("content-type", "application/json")]);
        let send = client.send(http::Method::PUT, &path, headers, br#"{"capacity":1}"#.to_vec());
        // Some are cut before the write, some in it, some between it and the reading of the catalogue.
        let _ = tokio::time::timeout(Duration::from_micros(number * 250), send).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = hubs(&world).await;
    world.restart().await;
    assert_eq!(before, hubs(&world).await, "what decides now is what is on disk");
}

async fn hubs(world: &World) -> Value {
    world.get(&format!("/api/v1/scopes/{}/hubs?limit=100", world.scope)).await
}

/// The decision on which a device's registration rests; null when there is none.
async fn registration(world: &World, id: &str) -> Value {
    let answer = world.manage("GET", &format!("/api/v1/scopes/{}/registrations/{id}", world.scope), b"").await;
    if answer.status == 404 { Value::Null } else { json_of(&answer)["decision"].clone() }
}
