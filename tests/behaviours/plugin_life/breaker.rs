//! A policy that is broken is left alone for a while, and comes back by itself.

use std::sync::Arc;
use std::time::Duration;

use landfall_domain::clock::ManualClock;
use landfall_policy::shipped;
use landfall_tests::world::{World, json_of, tracking_id};
use serde_json::json;

use super::{call, following, get, publish, publish_bytes, rollback, set};

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_policy_is_skipped_and_its_resort_decides_until_a_probe_answers() {
    let world = World::with(|config| {
        config.limits.policy.deadline_ms = 60_000;
        config.limits.policy.breaker_failures = 3;
        config.limits.policy.breaker_open_ms = 3_600_000;
        config.limits.policy.breaker_open_max_seconds = 3_600;
    })
    .await;
    publish_bytes(&world, shipped::component("weighted").unwrap()).await;
    publish(&world, "loops-forever").await;
    world.put("enrollment-groups/devices", &following("ours")).await;
    set(&world, json!({ "onFailure": ["previous-revision"] })).await;
    for number in 0..5 {
        let answer = world.device(&format!("pump-{number}")).await.register().await;
        assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
        let (first, second) = (call(&world, &answer, 0).await, call(&world, &answer, 1).await);
        let why = &first["report"]["result"]["Err"];
        if number < 3 {
            assert!(why["broke"].get("out-of-fuel").is_some(), "{number}: {why}");
            assert_eq!(second["instead"]["because"], "out-of-fuel");
        } else {
            let open = &why["host"]["breaker-open"];
            assert_eq!(open["reason"], "the calls of too many devices in a row broke", "{number}: {why}");
            assert_eq!(first["report"]["usage"]["fuel"], 0, "it was not run: {first}");
            assert_eq!(second["instead"], json!({ "resort": "previous-revision", "because": "breaker-open" }));
        }
    }
    let breaker = get(&world, "plugins/ours").await["breaker"].clone();
    assert_eq!(
        (&breaker["state"], &breaker["reason"]),
        (&json!("open"), &json!("the calls of too many devices in a row broke"))
    );
    assert!(breaker["retryMs"].as_u64().unwrap() > 1_000_000, "{breaker}");
    let revisions = get(&world, "plugins/ours/revisions").await;
    assert_eq!(revisions["items"][1]["breaker"]["state"], "closed", "the other one is well: {revisions}");

    // Without a resort the device is told when to come back, and no longer than for any other broken policy.
    set(&world, json!({ "onFailure": null })).await;
    let answer = world.device("pump-waits").await.register().await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (202, Some("10")), "{answer:?}");
    let verdict = &world.ledger(&tracking_id(&answer)).await["kind"]["decided"]["verdict"]["postponed"];
    assert_eq!(verdict["kind"], "breaker-open", "{verdict}");

    rollback(&world, json!({})).await;
    let answer = world.device("pump-after").await.register().await;
    assert_eq!(json_of(&answer)["status"], "assigned", "the revision before is not held to it: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_answers_its_probe_is_asked_again() {
    let clock = Arc::new(ManualClock::stopped_now());
    let world = World::with_clock(&clock, |config| {
        config.limits.policy.breaker_failures = 1;
        config.limits.policy.breaker_open_ms = 60_000;
    })
    .await;
    // Too little fuel breaks it; with enough it answers.
    publish(&world, "takes-first").await;
    world.put("enrollment-groups/devices", &following("ours")).await;
    set(&world, json!({ "limits": { "fuel": 60 } })).await;
    let device = world.device("pump-1").await;
    assert_eq!(device.register().await.status, 202);
    assert_ne!(get(&world, "plugins/ours").await["breaker"]["state"], "closed");
    set(&world, json!({ "limits": { "fuel": null } })).await;
    let answer = world.device("pump-2").await.register().await;
    assert_eq!(answer.status, 202, "it is left alone for a while: {answer:?}");
    clock.advance(Duration::from_secs(60));
    let answer = world.device("pump-2").await.register().await;
    assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
    assert_eq!(get(&world, "plugins/ours").await["breaker"], json!({ "state": "closed" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_break_a_policy_stop_no_other_and_forge_no_story() {
    let world = World::with(|config| {
        config.limits.policy.deadline_ms = 60_000;
        config.limits.policy.breaker_open_ms = 3_600_000;
        config.limits.policy.breaker_open_max_seconds = 3_600;
    })
    .await;
    publish(&world, "panics-for-some").await;
    world.put("enrollment-groups/devices", &following("ours")).await;
    let mut poison = Vec::new();
    for number in 0..4 {
        poison.push(world.device(&format!("poison-{number}")).await);
    }
    let mut last = None;
    for round in 0..5 {
        // Who says nothing new is not decided anew before it is time.
        for device in &poison {
            let body = json!({ "registrationId": device.id, "payload": format!("poison {round}") }).to_string();
            let answer = device.send("PUT", "/register", &[("prefer", "wait=20")], body).await;
            assert_eq!(json_of(&answer)["status"], "assigning", "{answer:?}");
            last = Some(call(&world, &answer, 0).await);
        }
        let good = world.device(&format!("pump-{round}")).await.register().await;
        assert_eq!(json_of(&good)["status"], "assigned", "{good:?}");
    }
    let last = last.unwrap();
    let held = &last["report"]["result"]["Err"]["host"]["device-held"];
    assert!(held["times"].as_u64().unwrap() >= 2, "it is left alone by now: {last}");
    assert_eq!(get(&world, "plugins/ours").await["breaker"], json!({ "state": "closed" }));
}
