//! What the server does by itself, as operators see it.

use std::sync::Arc;
use std::time::Duration;

use landfall_domain::clock::{Clock as _, ManualClock};
use landfall_tests::https::Place;
use landfall_tests::world::{World, json_of};
use serde_json::{Value, json};

use crate::operating::calls;

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_what_runs_by_itself_and_how_it_went() {
    let world = World::new().await;
    let periods = [("seen", Some(60)), ("catalogue", None), ("issuer-keys", Some(60)), ("revocation-lists", Some(30))];
    let own = [("server-certificate", Some(43_200)), ("policy-images", None)];
    let serving = [("management-listener", None), ("device-listener", None)];
    for (name, period) in periods.into_iter().chain(own).chain(serving) {
        let wanted = |task: &Value| match name {
            "catalogue" => task["goodRuns"] == 0,
            "management-listener" | "device-listener" => task["running"] == true,
            _ => task["lastSuccess"].is_string() && task["result"].is_string(),
        };
        let task = until(&world, name, wanted).await;
        assert_eq!((task["failedRuns"].as_u64(), task["periodSeconds"].as_u64()), (Some(0), period), "{task}");
    }
    let metrics = String::from_utf8(world.manage("GET", "/metrics", b"").await.bytes.to_vec()).unwrap();
    for line in [
        "landfall_task_runs_total{task=\"seen\",result=\"good\"} 1\n",
        "landfall_task_runs_total{task=\"catalogue\",result=\"failed\"} 0\n",
        "landfall_task_last_run_timestamp_seconds{task=\"device-listener\"} ",
        "landfall_task_last_success_timestamp_seconds{task=\"revocation-lists\"} ",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    let said = String::from_utf8(calls(&world, &["status"]).stdout).unwrap();
    assert!(said.contains("TASK") && said.contains("how far database and clock have come is noted"), "{said}");
    let told: Value = serde_json::from_slice(&calls(&world, &["status", "--json"]).stdout).unwrap();
    assert_eq!(told["tasks"].as_array().unwrap().len(), 8, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_fetched_is_its_tasks_error() {
    let clock = Arc::new(ManualClock::stopped_now());
    let world = World::with_clock(&clock, |_| {}).await;
    let place = Place::start().await;
    let source = json!({ "crlUrl": place.url("/list"), "crlCaCertificate": place.certificate, "crlUnchecked": true });
    world.put("authorities/factory/revocation", &source).await;
    let task = until(&world, "revocation-lists", |task| task["error"].is_string()).await;
    let error = task["error"].as_str().unwrap();
    assert!(error.starts_with("1 of 1 lists cannot be fetched; 0neTEST, "), "{error}");
    let said = String::from_utf8(calls(&world, &["status"]).stdout).unwrap();
    assert!(said.contains("FAILED:"), "{said}");
    // Who is bound to one id scope reads nothing of what is asked for others.
    let wish = json!({ "role": "auditor", "note": "bound", "scope": world.scope.as_str() });
    let made = json_of(&world.manage("POST", "/api/v1/tokens", wish.to_string().as_bytes()).await);
    let answer =
        world.manage_as(made["token"].as_str().unwrap(), "GET", "/api/v1/status", "application/json", b"").await;
    let shown = json_of(&answer);
    assert_eq!(task_of(&shown, "revocation-lists")["error"], "the server's log says why", "{shown}");

    // It is fetched when it is due again, and whoever waits for that may say that it is looked at now.
    place.answers(200, &world.factory.revocation_list(&[], clock.now(), 7).unwrap());
    clock.advance(Duration::from_secs(300));
    assert!(world.server().service.tasks().activate("revocation-lists"));
    let task = until(&world, "revocation-lists", |task| task["result"].is_string()).await;
    assert_eq!(task["result"], "lists that have an address: 1, asked for in this run: 1", "{task}");
    assert_ne!(task["failedRuns"], 0, "{task}");
}

/// A task as soon as it is so.
async fn until(world: &World, name: &str, so: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..1_000 {
        let status = world.get("/api/v1/status").await;
        let task = task_of(&status, name);
        if so(task) {
            return task.clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{name} never was: {}", world.get("/api/v1/status").await)
}

fn task_of<'a>(status: &'a Value, name: &str) -> &'a Value {
    let tasks = status["tasks"].as_array().unwrap();
    tasks.iter().find(|task| task["name"] == name).unwrap_or_else(|| panic!("no {name} in {status}"))
}
