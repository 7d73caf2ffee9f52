//! Policies that misbehave, as a device and an operator see them: through the management API, the devices' listener and
//! the ledger. What the engine makes of each is in `hostile_policies`.

use landfall::client::Answer;
use landfall::config::Config;
use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::Ambient;
use landfall_domain::names::Digest;
use landfall_tests::guests::component;
use landfall_tests::world::{Device, World, group, json_of, tracking_id};
use serde_json::{Value, json};

use crate::operating::calls;

mod crowd;
mod publishing;
mod second_try;
mod unlinked_hub;

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_breaks_makes_its_devices_wait_and_tells_the_operator_why() {
    let world = World::with(patient).await;
    for (number, (guest, kind, says)) in BREAK.into_iter().enumerate() {
        let device = device_of(&world, guest, guest, selected_by(guest)).await;
        breaks(&world, guest, &device, kind, says).await;
        // Whatever it did, the next device of another group is none the worse for it.
        let healthy = world.device(&format!("healthy-{number}")).await.register().await;
        assert_eq!(json_of(&healthy)["status"], "assigned", "after {guest}: {healthy:?}");
    }
    assert_eq!(assigned(&world).await, BREAK.len(), "the healthy ones, and nobody else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grouping_policy_that_breaks_gives_no_place_on_a_hub_away() {
    let world = World::with(patient).await;
    for (guest, kind, says) in BREAK_PLACING {
        let allocation = json!({ "selection": { "plugin": "weighted" }, "grouping": [{ "plugin": guest }] });
        let device = device_of(&world, guest, guest, allocation).await;
        breaks(&world, guest, &device, kind, says).await;
    }
    publish(&world, "places-in-eu", "places-in-eu").await;
    publish(&world, "places-in-us", "places-in-us").await;
    let disagree = json!([{ "plugin": "places-in-eu" }, { "plugin": "places-in-us" }]);
    let allocation = json!({ "selection": { "plugin": "weighted" }, "grouping": disagree });
    let device = device_in(&world, "disagree", allocation).await;
    let verdict = waits(&world, &device.register().await).await;
    assert_eq!(verdict["kind"], "conflict");
    for part in ["places-in-eu", "places-in-us", "/region"] {
        assert!(verdict["detail"].as_str().unwrap().contains(part), "{verdict}");
    }
    assert_eq!(assigned(&world).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_logs_without_end_still_decides_and_the_operator_sees_how_much_is_missing() {
    let world = World::with(talkative).await;
    let device = device_of(&world, "floods-log", "pump-1", selected_by("floods-log")).await;
    let answer = device.register().await;
    let entry = world.ledger(&tracking_id(&answer)).await;
    assert_eq!(json_of(&answer)["status"], "assigned", "{}", entry["kind"]["decided"]["verdict"]);
    let log = &entry["kind"]["decided"]["calls"][0]["report"]["log"];
    assert_eq!(log["lines"].as_array().unwrap().len(), 64);
    assert_eq!(log["lines"][0]["message"], "line 0");
    assert_eq!(log["dropped"], 10_010 - 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_says_no_fails_the_registration_and_keeps_its_reason_to_the_operator() {
    let world = World::new().await;
    let device = device_of(&world, "rejects", "pump-1", selected_by("rejects")).await;
    for answer in [device.register().await, device.register_and_poll().await] {
        assert_eq!(answer.status, 200, "DPS has no other: {answer:?}");
        let body = json_of(&answer);
        let state = &body["registrationState"];
        assert_eq!((&body["status"], &state["status"]), (&json!("failed"), &json!("failed")));
        assert_eq!(state["errorCode"], 400_207);
        assert!(state["errorMessage"].as_str().is_some_and(|text| text.starts_with("Custom allocation failed")));
        assert!(state.get("assignedHub").is_none(), "{state}");
        assert!(!body.to_string().contains("sold"), "the device is told the policy's own words: {body}");
    }
    let registration = get(&world, "registrations/pump-1").await;
    assert_eq!(registration["status"], "failed");
    let entry = world.ledger(registration["decision"].as_str().unwrap()).await;
    let verdict = &entry["kind"]["decided"]["verdict"]["rejected"];
    assert_eq!(*verdict, json!({ "code": "not-sold", "detail": "this device was never sold" }));
    assert_eq!(assigned(&world).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_asks_for_time_gets_it() {
    let world = World::new().await;
    let device = device_of(&world, "defers", "pump-1", selected_by("defers")).await;
    let answer = device.register().await;
    assert_eq!(answer.header("retry-after"), Some("7"), "as the policy said: {answer:?}");
    let verdict = waits(&world, &answer).await;
    assert_eq!(verdict["kind"], "deferred");
    assert_eq!(verdict["detail"], "maintenance: the site is being moved");
    operators_see_it_wait(&world, &tracking_id(&answer)).await;
}

/// The device pump-1 has no registration yet, and is known all the same.
async fn operators_see_it_wait(world: &World, decision: &str) {
    let listed = world.get("/api/v1/scopes/0neTEST/waiting").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    let waiting = &listed["items"][0];
    let told = ["registrationId", "reason", "detail", "decision"].map(|member| waiting[member].as_str().unwrap());
    assert_eq!(told, ["pump-1", "deferred", "maintenance: the site is being moved", decision]);
    let table = calls(world, &["registration", "list", "--state", "waiting"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("pump-1") && table.contains("deferred"), "{table}");
    let shown = calls(world, &["registration", "show", "pump-1"]);
    let said = String::from_utf8_lossy(&shown.stderr).into_owned();
    assert!(shown.status.code() == Some(1) && said.contains("not registered yet") && said.contains(decision), "{said}");
    let wrong = calls(world, &["registration", "list", "--state", "waiting", "--hub", "hub-1.example"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_without_an_opinion_leaves_its_devices_to_the_fallback() {
    let world = World::new().await;
    world.link_hub("hub-2.example", 1, 10).await;
    for guest in ["abstains", "rejects"] {
        publish(&world, guest, guest).await;
    }
    let fixed = json!({ "plugin": "fixed", "settings": { "hub": "hub-2.example" } });
    let register = async |id: &str, fallback: Value| {
        let mut allocation = selected_by("abstains");
        if !fallback.is_null() {
            allocation["fallback"] = fallback;
        }
        let answer = device_in(&world, id, allocation).await.register().await;
        let decided = world.ledger(&tracking_id(&answer)).await["kind"]["decided"].clone();
        let calls = decided["calls"].as_array().unwrap();
        let calls = calls.iter().map(|call| format!("{} {}", call["step"], call["plugin"]).replace('"', ""));
        (answer, calls.collect::<Vec<_>>(), decided["verdict"].clone())
    };

    let (answer, calls, _) = register("nothing-said", Value::Null).await;
    assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
    assert_eq!(calls, ["selection abstains", "fallback weighted"], "the shipped one, unless somebody says otherwise");

    let (answer, calls, _) = register("to-hub-2", fixed).await;
    assert_eq!(json_of(&answer)["registrationState"]["assignedHub"], "hub-2.example", "{answer:?}");
    assert_eq!(calls, ["selection abstains", "fallback fixed"]);

    let (answer, calls, _) = register("turned-away", json!({ "plugin": "rejects" })).await;
    assert_eq!(json_of(&answer)["registrationState"]["errorCode"], 400_207, "the fallback's no is a no: {answer:?}");
    assert_eq!(calls, ["selection abstains", "fallback rejects"]);

    let (answer, _, verdict) = register("nobody-says", json!({ "plugin": "abstains" })).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(verdict["postponed"]["kind"], "abstained", "{verdict}");
}

/// A device whose policy breaks is told to wait, however it asks; the operator is told the kind and the story.
async fn breaks(world: &World, guest: &str, device: &Device, kind: &str, says: &[&str]) {
    let answer = device.register().await;
    let verdict = waits(world, &answer).await;
    assert_eq!(verdict["kind"], kind, "{guest}: {verdict}");
    let detail = verdict["detail"].as_str().unwrap();
    assert!(detail.starts_with(&format!("policy {guest}: ")), "which policy: {detail}");
    for part in says {
        assert!(detail.contains(part), "{guest}: the operator is told {detail:?}, without {part:?}");
    }

    // The same device by polling meets the same operation.
    let operation = json_of(&answer)["operationId"].as_str().unwrap().to_owned();
    let accepted = device.send("PUT", "/register", &[], String::new()).await;
    let polled = device.poll(&operation).await;
    for answer in [accepted, polled] {
        assert_eq!(answer.status, 202, "{guest}: {answer:?}");
        assert_eq!(json_of(&answer)["operationId"], operation.as_str(), "{guest}");
        assert!((1..=10).contains(&retry_after(&answer)), "{guest}: {answer:?}");
    }
    let path = format!("/api/v1/scopes/{}/registrations/{}", world.scope, device.id);
    assert_eq!(world.manage("GET", &path, b"").await.status, 404, "{guest}: nothing was decided");
}

/// Checks that a device was told to wait, and gives what the operator reads.
async fn waits(world: &World, answer: &Answer) -> Value {
    assert_eq!(answer.status, 202, "{answer:?}");
    let body = json_of(answer);
    assert_eq!(body["status"], "assigning");
    let state = body["registrationState"].as_object().unwrap();
    assert_eq!(state.len(), 2, "an id, and that it is being assigned: {body}");
    assert!((1..=10).contains(&retry_after(answer)), "{answer:?}");
    let entry = world.ledger(&tracking_id(answer)).await;
    entry["kind"]["decided"]["verdict"]["postponed"].clone()
}

fn retry_after(answer: &Answer) -> u64 {
    answer.header("retry-after").expect("a time").parse().expect("seconds")
}

/// Time enough for the slowest machine, so that calls end by what they do and not by how long they take.
fn patient(config: &mut Config) {
    config.limits.policy.deadline_ms = 60_000;
    // And every call is made, however many broke before it.
    config.limits.policy.breaker_failures = 1_000_000;
    config.limits.policy.breaker_least_calls = 1_000_000;
}

/// The same, and enough of all else that a policy that logs without end is cut off by nothing but its log.
pub(crate) fn talkative(config: &mut Config) {
    patient(config);
    config.limits.policy.host_calls = 100_000;
    config.limits.policy.fuel = 1_000_000_000;
}

/// A device of a group of its own, whose policy is this guest.
async fn device_of(world: &World, guest: &str, id: &str, allocation: Value) -> Device {
    publish(world, guest, guest).await;
    device_in(world, id, allocation).await
}

/// A device of a group of its own, with a CA and a record of its own.
async fn device_in(world: &World, id: &str, allocation: Value) -> Device {
    let now = Ambient::system().now();
    let works = Authority::root(&format!("CA of {id}"), now, 30).expect("a CA");
    world.upload_authority(id, &works).await;
    let mut own = group(id);
    own["allocation"] = allocation;
    world.put(&format!("enrollment-groups/{id}"), &own).await;
    let issued = works.device(id, now, 30).expect("a certificate");
    world.record(id, Some(Digest::of(&issued.certificate_der))).await;
    world.stranger(id, &issued)
}

pub(crate) fn selected_by(plugin: &str) -> Value {
    json!({ "selection": { "plugin": plugin } })
}

/// Publishes a guest under a name, which must succeed.
pub(crate) async fn publish(world: &World, name: &str, guest: &str) -> Value {
    let answer = try_publish(world, name, component(guest)).await;
    assert!(answer.status.is_success(), "{guest} as {name}: {answer:?}");
    json_of(&answer)
}

async fn try_publish(world: &World, name: &str, component: &[u8]) -> Answer {
    let path = format!("/api/v1/scopes/{}/plugins/{name}", world.scope);
    world.manage_as(&world.operator_token, "PUT", &path, "application/wasm", component).await
}

/// Something of the scope.
async fn get(world: &World, what: &str) -> Value {
    world.get(&format!("/api/v1/scopes/{}/{what}", world.scope)).await
}

/// Devices on all hubs, as the hubs count them.
async fn assigned(world: &World) -> usize {
    let hubs = get(world, "hubs").await;
    let counts = hubs["items"].as_array().unwrap().iter().map(|hub| hub["assigned"].as_u64().unwrap());
    usize::try_from(counts.sum::<u64>()).unwrap()
}

/// Guests that choose hubs, the kind of failure in the ledger, and parts of the operator's sentence.
const BREAK: [(&str, &str, &[&str]); 13] = [
    ("loops-forever", "out-of-fuel", &["50000000 units of fuel"]),
    ("allocates-forever", "memory", &["a budget of 16777216"]),
    ("recurses", "stack-overflow", &["its stack was full"]),
    ("panics", "panic", &["panics.rs:", "no hub for panics: the table is empty"]),
    ("traps", "trap", &["unreachable"]),
    ("names-unknown-hub", "invalid-verdict", &["hub-shown", "4000000000"]),
    ("names-unknown-alternate", "invalid-verdict", &["alternates"]),
    ("duplicate-alternates", "invalid-verdict", &["alternates"]),
    ("bad-device-id", "invalid-verdict", &["device-id"]),
    ("defers-for-ever", "invalid-verdict", &["retry-after"]),
    ("bad-reason", "output", &["cannot be taken over"]),
    ("floods-catalog", "host-calls", &["10000"]),
    ("faults", "fault-bad-input", &["the manufacturing record has no fact `region`"]),
];

/// The same for guests that place devices.
const BREAK_PLACING: [(&str, &str, &[&str]); 4] = [
    ("bad-path", "invalid-verdict", &["group-path"]),
    ("deep-json", "invalid-verdict", &["desired"]),
    ("invalid-json", "invalid-verdict", &["json"]),
    ("huge-output", "out-of-fuel", &["50000000 units of fuel"]),
];
