//! A plugin's life: its revisions, the way back, what the operator says of it. None of it costs a device its registration.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use landfall::client::Answer;
use landfall_domain::names::Digest;
use landfall_policy::shipped;
use landfall_tests::guests::component;
use landfall_tests::world::{Device, World, group, json_of, tracking_id};
use serde_json::{Value, json};

mod breaker;
mod publishers;
mod resorts;

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_makes_the_revision_before_live_again() {
    let world = World::new().await;
    let first = publish(&world, "takes-first").await["digest"].clone();
    world.put("enrollment-groups/devices", &following("ours")).await;
    let second = publish(&world, "rejects").await["digest"].clone();
    let device = world.device("pump-1").await;
    assert_eq!(json_of(&device.register().await)["status"], "failed", "the new revision says no");

    let back = json_of(&rollback(&world, json!({})).await);
    assert_eq!((&back["digest"], &back["previous"]), (&first, &json!([second])), "{back}");
    let answer = device.register().await;
    assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
    assert_eq!(call(&world, &answer, 0).await["revision"], first);

    let there = json_of(&rollback(&world, json!({})).await);
    assert_eq!(there["digest"], second, "going back twice comes out where it began");
    let named = json_of(&rollback(&world, json!({ "revision": first })).await);
    assert_eq!(named["digest"], first, "{named}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_revisions_of_a_plugin_are_listed_newest_first_and_the_last_two_stay_loaded() {
    let world = World::new().await;
    let mut digests = Vec::new();
    for guest in ["takes-first", "rejects", "abstains", "defers"] {
        digests.push(publish(&world, guest).await["digest"].clone());
        world.put("enrollment-groups/devices", &following("ours")).await;
    }
    digests.reverse();
    let listed = get(&world, "plugins/ours/revisions").await;
    let column =
        |name: &str| listed["items"].as_array().unwrap().iter().map(|item| item[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("digest"), digests);
    assert_eq!(column("live"), [true, false, false, false]);
    assert_eq!(column("loaded"), [true, true, false, false], "what is older makes room: {listed}");
    assert!(column("version").iter().all(|version| version.is_string()), "{listed}");
    assert!(column("publishedAt").iter().all(|at| at.is_string()), "{listed}");

    let page = get(&world, "plugins/ours/revisions?limit=3").await;
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (3, &digests[2]));
    let rest = get(&world, &format!("plugins/ours/revisions?after={}", page["next"].as_str().unwrap())).await;
    assert_eq!(rest["items"][0]["digest"], digests[3], "{rest}");
    assert!(rest.get("next").is_none(), "{rest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_checked_as_publishing_is() {
    let world = World::new().await;
    let problem = json_of(&rollback(&world, json!({})).await);
    assert_eq!(problem["status"], 404, "there is no such plugin: {problem}");
    let first = publish(&world, "places-in-eu").await["digest"].clone();
    let problem = json_of(&rollback(&world, json!({})).await);
    assert_eq!(problem["status"], 409, "there is nothing before: {problem}");
    let second = publish(&world, "takes-first").await["digest"].clone();
    world.put("enrollment-groups/devices", &following("ours")).await;

    let answer = rollback(&world, json!({ "revision": first })).await;
    let problem = json_of(&answer);
    assert_eq!(answer.status, 409, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("group devices") && detail.contains("chooses no hubs"), "{detail}");
    let stranger = Digest::of(b"never published").to_string();
    let problem = json_of(&rollback(&world, json!({ "revision": stranger })).await);
    assert_eq!((&problem["status"], &problem["errors"][0]["pointer"]), (&json!(400), &json!("/revision")), "{problem}");
    assert_eq!(get(&world, "plugins/ours").await["digest"], second);
    assert_eq!(json_of(&world.device("pump-1").await.register().await)["status"], "assigned");
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_and_rolling_back_under_load_costs_no_registration() {
    // On a machine that does other things too, no call of theirs may end by the time that it takes.
    let world = Arc::new(World::with(|config| config.limits.policy.deadline_ms = 60_000).await);
    publish(&world, "takes-first").await;
    world.put("enrollment-groups/devices", &following("ours")).await;
    let mut devices = Vec::new();
    for number in 0..DEVICES {
        devices.push(world.device(&format!("pump-{number}")).await);
    }
    let over = Arc::new(AtomicBool::new(false));
    let registering: Vec<_> =
        devices.into_iter().map(|device| tokio::spawn(register_until(device, Arc::clone(&over)))).collect();
    for round in 0..SWITCHES {
        match round % 3 {
            0 => drop(publish_bytes(&world, shipped::component("weighted").unwrap()).await),
            1 => assert_eq!(rollback(&world, json!({})).await.status, 200),
            _ => drop(publish(&world, "takes-first").await),
        }
    }
    over.store(true, Ordering::SeqCst);
    let mut revisions = std::collections::BTreeSet::new();
    for device in registering {
        let answers = device.await.unwrap();
        assert!(!answers.is_empty());
        for answer in answers {
            assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
            let call = call(&world, &answer, 0).await;
            assert!(call["report"]["result"].get("Ok").is_some(), "{call}");
            revisions.insert(call["revision"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(revisions.len(), 2, "both revisions have decided");
}

/// Registers again and again until it is over.
async fn register_until(device: Device, over: Arc<AtomicBool>) -> Vec<Answer> {
    let mut answers = vec![device.register().await];
    while !over.load(Ordering::SeqCst) {
        answers.push(device.register().await);
    }
    answers
}

/// Devices that register under load.
const DEVICES: usize = 8;
/// Times that the live revision is another one meanwhile.
const SWITCHES: usize = 12;

/// A group whose hubs a plugin chooses.
fn following(plugin: &str) -> Value {
    let mut following = group("factory");
    following["allocation"] = json!({ "selection": { "plugin": plugin } });
    following
}

/// Publishes a guest as `ours`.
async fn publish(world: &World, guest: &str) -> Value {
    publish_bytes(world, component(guest)).await
}

async fn publish_bytes(world: &World, component: &[u8]) -> Value {
    let path = format!("/api/v1/scopes/{}/plugins/ours", world.scope);
    let answer = world.manage_as(&world.operator_token, "PUT", &path, "application/wasm", component).await;
    assert!(answer.status.is_success(), "{answer:?}");
    json_of(&answer)
}

async fn rollback(world: &World, body: Value) -> Answer {
    let path = format!("/api/v1/scopes/{}/plugins/ours/rollback", world.scope);
    world.manage("POST", &path, body.to_string().as_bytes()).await
}

/// Changes what the operator says of `ours`.
async fn set(world: &World, change: Value) -> Answer {
    let path = format!("/api/v1/scopes/{}/plugins/ours", world.scope);
    world.manage("PATCH", &path, change.to_string().as_bytes()).await
}

/// Something of the scope.
async fn get(world: &World, what: &str) -> Value {
    world.get(&format!("/api/v1/scopes/{}/{what}", world.scope)).await
}

/// A call of the decision behind an answer.
async fn call(world: &World, answer: &Answer, number: usize) -> Value {
    world.ledger(&tracking_id(answer)).await["kind"]["decided"]["calls"][number].clone()
}
