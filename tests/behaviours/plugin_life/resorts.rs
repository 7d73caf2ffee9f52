//! Limits of one plugin, and who is asked when it gives no answer.

use landfall_domain::names::Digest;
use landfall_policy::Budget;
use landfall_tests::world::{World, json_of, tracking_id};
use serde_json::{Value, json};

use super::{call, following, get, publish, rollback, set};

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_one_plugin_hold_for_its_calls_and_stay_when_it_is_published_anew() {
    let world = World::new().await;
    publish(&world, "takes-first").await;
    world.put("enrollment-groups/devices", &following("ours")).await;
    let shown = json_of(&set(&world, json!({ "limits": { "fuel": 60, "logBytes": 100 } })).await);
    assert_eq!(shown["limits"], json!({ "fuel": 60, "logBytes": 100 }), "{shown}");
    assert_eq!(shown["onFailure"], json!(["retry-later"]), "{shown}");

    let device = world.device("pump-1").await;
    let answer = device.register().await;
    assert_eq!(answer.status, 202, "60 units of fuel are too few: {answer:?}");
    let first = call(&world, &answer, 0).await;
    assert_eq!(first["report"]["result"]["Err"]["broke"]["out-of-fuel"]["fuel"], 60, "{first}");
    let budget: Digest = first["budget"].as_str().unwrap().parse().unwrap();
    let kept = world.server().service.store().content(budget).await.unwrap().expect("a replay needs the budget");
    assert_eq!(serde_json::from_slice::<Budget>(&kept).unwrap().fuel, 60);

    publish(&world, "abstains").await;
    assert_eq!(get(&world, "plugins/ours").await["limits"]["fuel"], 60);
    rollback(&world, json!({})).await;
    let shown = json_of(&set(&world, json!({ "limits": { "fuel": null } })).await);
    assert_eq!(shown["limits"], json!({ "logBytes": 100 }), "null follows the configuration: {shown}");
    let answer = world.device("pump-2").await.register().await;
    assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
    assert_ne!(call(&world, &answer, 0).await["budget"], first["budget"], "it had another budget");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_set_is_told_by_its_place_and_changes_nothing() {
    let world = World::new().await;
    publish(&world, "takes-first").await;
    let before = get(&world, "plugins/ours").await;
    for (change, pointer) in [
        (json!({ "limits": { "memoryBytes": 1_u64 << 40 } }), "/limits/memoryBytes"),
        (json!({ "limits": { "fuel": 0 } }), "/limits/fuel"),
        (json!({ "limits": { "feul": 1 } }), "/limits/feul"),
        (json!({ "onFailure": ["retry-later", "previous-revision"] }), "/onFailure/0"),
        (json!({ "onFailure": ["let-everybody-in"] }), "/onFailure/0"),
        (json!({ "onFailure": ["previous-revision", { "shipped": "best" }] }), "/onFailure/1/shipped"),
        (
            json!({ "onFailure": [{ "shipped": "weighted", "settings": { "alternates": "many" } }] }),
            "/onFailure/0/settings/alternates",
        ),
        (json!({ "onFailure": ["previous-revision", "previous-revision"] }), "/onFailure/1"),
    ] {
        let answer = set(&world, change.clone()).await;
        let problem = json_of(&answer);
        assert_eq!(answer.status, 400, "{change}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{change}: {problem}");
    }
    assert_eq!(get(&world, "plugins/ours").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_previous_revision_answers_when_the_live_one_breaks() {
    let world = World::new().await;
    let good = publish(&world, "takes-first").await["digest"].clone();
    world.put("enrollment-groups/devices", &following("ours")).await;
    let chain = json!(["previous-revision", { "shipped": "weighted", "settings": {} }, "retry-later"]);
    let shown = json_of(&set(&world, json!({ "onFailure": chain })).await);
    assert_eq!(shown["onFailure"], chain, "{shown}");
    for (guest, kind) in [("panics", "panic"), ("names-unknown-hub", "invalid-verdict"), ("faults", "fault-bad-input")]
    {
        // The good one is live in between, so that it is the one before.
        assert_eq!(rollback(&world, json!({ "revision": good })).await.status, 200);
        publish(&world, guest).await;
        let answer = world.device(&format!("pump-{guest}")).await.register().await;
        assert_eq!(json_of(&answer)["status"], "assigned", "{guest}: {answer:?}");
        let (first, second) = (call(&world, &answer, 0).await, call(&world, &answer, 1).await);
        assert!(first["report"]["result"].get("Err").is_some() && first["instead"].is_null(), "{first}");
        assert_eq!(second["revision"], good, "{guest}");
        assert_eq!(second["instead"], json!({ "resort": "previous-revision", "because": kind }), "{guest}");
        assert_eq!(second["step"], first["step"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_resorts_are_asked_in_their_order_until_one_answers_and_then_the_device_waits() {
    let world = World::new().await;
    publish(&world, "traps").await;
    publish(&world, "panics").await;
    world.put("enrollment-groups/devices", &following("ours")).await;
    set(&world, json!({ "onFailure": ["previous-revision", { "shipped": "weighted" }] })).await;
    let answer = world.device("pump-1").await.register().await;
    assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
    let asked = asked(&world, &tracking_id(&answer)).await;
    assert_eq!(asked, [("ours", Value::Null), ("ours", json!("panic")), ("weighted", json!("trap"))].map(named));

    set(&world, json!({ "onFailure": ["previous-revision"] })).await;
    let answer = world.device("pump-2").await.register().await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let verdict = &world.ledger(&tracking_id(&answer)).await["kind"]["decided"]["verdict"]["postponed"];
    assert_eq!(verdict["kind"], "panic", "the enrollment's policy is the one to mend: {verdict}");
    let detail = verdict["detail"].as_str().unwrap();
    assert!(detail.contains("panics.rs") && detail.contains("in its place (previous-revision)"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_policy_says_stands_though_others_could_be_asked() {
    let world = World::new().await;
    publish(&world, "takes-first").await;
    world.put("enrollment-groups/devices", &following("ours")).await;
    set(&world, json!({ "onFailure": ["previous-revision", { "shipped": "weighted" }] })).await;
    for (guest, status) in [("rejects", 200), ("defers", 202)] {
        publish(&world, guest).await;
        let answer = world.device(&format!("pump-{guest}")).await.register().await;
        assert_eq!(answer.status, status, "{guest}: {answer:?}");
        assert_ne!(json_of(&answer)["status"], "assigned", "{guest}");
        assert_eq!(asked(&world, &tracking_id(&answer)).await.len(), 1, "{guest}: nobody else was asked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_names_one_revision_is_not_decided_by_another() {
    let world = World::new().await;
    publish(&world, "takes-first").await;
    let broken = publish(&world, "panics").await["digest"].clone();
    let mut pinned = following("ours");
    pinned["allocation"]["selection"]["revision"] = broken;
    world.put("enrollment-groups/devices", &pinned).await;
    set(&world, json!({ "onFailure": ["previous-revision"] })).await;
    let answer = world.device("pump-1").await.register().await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(asked(&world, &tracking_id(&answer)).await.len(), 1);
}

/// Which policies were asked, and because of what.
async fn asked(world: &World, tracking_id: &str) -> Vec<(String, Value)> {
    let entry = world.ledger(tracking_id).await;
    let calls = entry["kind"]["decided"]["calls"].as_array().unwrap().clone();
    let of = |call: &Value| (call["plugin"].as_str().unwrap().to_owned(), call["instead"]["because"].clone());
    calls.iter().map(of).collect()
}

fn named((plugin, because): (&str, Value)) -> (String, Value) {
    (plugin.to_owned(), because)
}
