//! A hub goes away while devices are on their way to it.

use landfall_tests::world::{Device, World, group, json_of};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{get, publish, selected_by, talkative};

/// How many devices come at once.
const CROWD: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_unlinked_while_a_crowd_registers_leaves_nobody_astray() {
    let world = World::empty(talkative).await;
    for hub in ["a.example", "b.example", "c.example"] {
        world.link_hub(hub, 1, 1000).await;
    }
    let devices = crowd(&world).await;
    // It wishes the first hub, and takes its time: when that hub goes, there is always somebody who was just given it.
    publish(&world, "floods-log", "floods-log").await;
    let mut slow = group("factory");
    slow["allocation"] = selected_by("floods-log");
    world.put("enrollment-groups/devices", &slow).await;

    for _ in 0..2 {
        let mut registering = all_at_once(&devices);
        let first = registering.join_next().await.unwrap().unwrap();
        unlink(&world, "a.example").await;
        let were_there = get(&world, "registrations?hub=a.example").await;
        for told in std::iter::once(first).chain(registering.join_all().await) {
            assert_eq!(told, "assigned", "hubs were left to take it");
        }
        agrees(&world, &["b.example", "c.example"]).await;
        assert_eq!(get(&world, "registrations?hub=a.example").await, were_there, "nobody got it once it was gone");

        // Who was told the hub before it went comes back and gets another.
        for told in all_at_once(&devices).join_all().await {
            assert_eq!(told, "assigned");
        }
        assert_eq!(agrees(&world, &["b.example", "c.example"]).await, CROWD, "nobody is left on a hub that is gone");

        // Linked again, it begins with those that it has: none.
        world.link_hub("a.example", 1, 1000).await;
        assert_eq!(agrees(&world, &["a.example", "b.example", "c.example"]).await, CROWD);
        assert_eq!(get(&world, "hubs/a.example").await["assigned"], 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_comes_and_goes_while_a_crowd_registers_counts_as_if_it_had_not() {
    let world = World::empty(|_| {}).await;
    for hub in ["a.example", "b.example"] {
        world.link_hub(hub, 1, 1000).await;
    }
    let devices = crowd(&world).await;
    for _ in 0..5 {
        let mut registering = all_at_once(&devices);
        let mut told = 0;
        while told < CROWD {
            unlink(&world, "b.example").await;
            world.link_hub("b.example", 1, 1000).await;
            while let Some(one) = registering.try_join_next() {
                assert_eq!(one.unwrap(), "assigned", "one hub was always there");
                told += 1;
            }
        }
        assert_eq!(agrees(&world, &["a.example", "b.example"]).await, CROWD);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_last_hub_is_unlinked_devices_are_told_that_there_is_none() {
    let world = World::empty(|_| {}).await;
    world.link_hub("a.example", 1, 1000).await;
    let devices = crowd(&world).await;
    let mut registering = all_at_once(&devices);
    assert_eq!(registering.join_next().await.unwrap().unwrap(), "assigned");
    unlink(&world, "a.example").await;
    for told in registering.join_all().await {
        assert!(["assigned", NO_HUB].contains(&told.as_str()), "{told}");
    }
    // Whoever had a place keeps it and waits; nobody gets one.
    for told in devices.iter().cloned().map(told_at_once).collect::<JoinSet<_>>().join_all().await {
        assert!([WAITS, NO_HUB].contains(&told.as_str()), "{told}");
    }
    assert_eq!(agrees(&world, &[]).await, 0);

    // A failed registration is no sentence: as soon as there is a hub, they get it.
    world.link_hub("a.example", 1, 1000).await;
    for told in all_at_once(&devices).join_all().await {
        assert_eq!(told, "assigned");
    }
    assert_eq!(agrees(&world, &["a.example"]).await, CROWD);
}

/// What a device is told that waits.
const WAITS: &str = "assigning";

async fn crowd(world: &World) -> Vec<Device> {
    world.enroll_factory().await;
    let mut devices = Vec::new();
    for number in 0..CROWD {
        devices.push(world.device(&format!("d-{number}")).await);
    }
    devices
}

/// Registers all of them at once, on a connection each.
fn all_at_once(devices: &[Device]) -> JoinSet<String> {
    devices.iter().cloned().map(answer_to).collect()
}

/// Registers once: the result, or that there is none yet.
async fn told_at_once(device: Device) -> String {
    let answer = device.register().await;
    let body = json_of(&answer);
    match body["status"].as_str() {
        Some("assigning") => WAITS.to_owned(),
        Some("assigned") => "assigned".to_owned(),
        _ => body["registrationState"]["errorCode"].to_string(),
    }
}

/// Registers until there is a result: `assigned`, or the code of the failure. Nothing on the way may be an error.
async fn answer_to(device: Device) -> String {
    let mut answer = device.register().await;
    while answer.status == 202 {
        let operation = json_of(&answer)["operationId"].as_str().unwrap().to_owned();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        answer = device.poll(&operation).await;
    }
    assert_eq!(answer.status, 200, "{answer:?}");
    let state = &json_of(&answer)["registrationState"];
    match state["status"].as_str() {
        Some("assigned") => "assigned".to_owned(),
        _ => state["errorCode"].to_string(),
    }
}

async fn unlink(world: &World, hub: &str) {
    let path = format!("/api/v1/scopes/{}/hubs/{hub}", world.scope);
    assert_eq!(world.manage("DELETE", &path, b"").await.status, 204);
}

/// Checks that every linked hub counts the registrations that name it; gives how many devices are on linked hubs.
async fn agrees(world: &World, linked: &[&str]) -> usize {
    let hubs = get(world, "hubs").await;
    let hubs = hubs["items"].as_array().unwrap();
    let names: Vec<_> = hubs.iter().map(|hub| hub["name"].as_str().unwrap()).collect();
    assert_eq!(names, linked);
    let registrations = get(world, "registrations").await;
    let registrations = registrations["items"].as_array().unwrap();
    assert_eq!(registrations.len(), CROWD, "each device has one, whatever became of it");
    let on = |name: &Value| registrations.iter().filter(|one| one["assignedHub"] == *name).count();
    for hub in hubs {
        assert_eq!(hub["assigned"], json!(on(&hub["name"])), "{hub}");
    }
    hubs.iter().map(|hub| on(&hub["name"])).sum()
}

/// DPS's code for want of a hub.
const NO_HUB: &str = "400208";
