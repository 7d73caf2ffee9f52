//! A registration that has to be tried again is tried as the device asked for it, and takes nothing from the device.

use landfall_tests::world::{Device, World, json_of};
use serde_json::{Value, json};

use super::{device_in, get, patient, publish};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_said_counts_when_its_registration_is_tried_again_even_after_a_restart() {
    for restarts in [false, true] {
        let mut world = World::with(patient).await;
        publish(&world, "ours", "panics").await;
        let rules = json!({ "rules": [
            { "when": [{ "payload": "/site", "equals": "oslo" }], "group": ["said-oslo"] }, { "group": ["said-nothing"] },
        ] });
        let allocation =
            json!({ "selection": { "plugin": "ours" }, "grouping": [{ "plugin": "table", "settings": rules }] });
        let mut device = device_in(&world, "pump-1", allocation).await;
        let body = json!({ "registrationId": "pump-1", "payload": { "site": "oslo" } }).to_string();
        let answer = device.send("PUT", "/register", &[("prefer", "wait=20")], body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let operation = json_of(&answer)["operationId"].as_str().unwrap().to_owned();
        if restarts {
            world.restart().await;
            device = world.shown_again(&device);
        }
        publish(&world, "ours", "takes-first").await;
        let state = polled(&device, &operation).await;
        assert_eq!(state["status"], "assigned", "{state}");
        let registration = get(&world, "registrations/pump-1").await;
        assert_eq!(registration["groupPath"], json!(["said-oslo"]), "restarted: {restarts}: {registration}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_keeps_its_place_while_no_hub_can_take_it() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    assert_eq!(json_of(&device.register().await)["status"], "assigned");
    let before = get(&world, "registrations/pump-1").await;
    let hub = before["assignedHub"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/scopes/{}/hubs/{hub}", world.scope);
    assert!(world.manage("DELETE", &path, b"").await.status.is_success());

    let answer = device.register().await;
    assert_eq!(json_of(&answer)["status"], "assigning", "{answer:?}");
    assert_eq!(get(&world, "registrations/pump-1").await["assignedHub"], hub.as_str());
    // Whoever was never assigned is told as before that nobody takes it.
    let stranger = json_of(&world.device("pump-2").await.register().await);
    assert_eq!(stranger["registrationState"]["errorCode"], 400_208, "{stranger}");

    world.link_hub(&hub, 1, 1_000).await;
    let operation = json_of(&answer)["operationId"].as_str().unwrap().to_owned();
    assert_eq!(polled(&device, &operation).await["status"], "assigned");
    assert_eq!(get(&world, "registrations/pump-1").await["assignedHub"], hub.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_keeps_its_id_in_the_hub_however_it_writes_its_own() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    assert_eq!(json_of(&device.register().await)["registrationState"]["deviceId"], "pump-1");
    let shouting = Device { id: "PUMP-1".to_owned(), ..device };
    assert_eq!(json_of(&shouting.register().await)["registrationState"]["deviceId"], "pump-1");
}

async fn polled(device: &Device, operation: &str) -> Value {
    let mut answer = device.poll(operation).await;
    while answer.status == 202 {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        answer = device.poll(operation).await;
    }
    json_of(&answer)
}
