//! What an operator's Prometheus reads.

use std::collections::BTreeSet;

use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::Ambient;
use landfall_tests::guests::component;
use landfall_tests::world::{World, group, json_of};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn series_do_not_grow_with_devices_and_go_with_their_plugins() {
    let world = World::with(|config| config.limits.policy.deadline_ms = 60_000).await;
    let stranger = Authority::root("Nobody CA", Ambient::system().now(), 30).unwrap();
    let turn_up = async |from: usize, to: usize, strangers: usize| {
        for number in from..to {
            let answer = world.device(&format!("pump-{number}")).await.register().await;
            assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
        }
        for number in 0..strangers {
            let id = format!("stranger-{from}-{number}");
            let issued = stranger.device(&id, Ambient::system().now(), 30).unwrap();
            assert_eq!(world.stranger(&id, &issued).register().await.status, 401);
        }
    };
    turn_up(0, 1, 1).await;
    let before = series(&scrape(&world).await);
    turn_up(1, 201, 50).await;
    let text = scrape(&world).await;
    assert_eq!(series(&text), before, "the same series, whoever came");
    for line in [
        r#"landfall_registrations_total{result="assigned"} 201"#,
        r#"landfall_refusals_total{cause="not-enrolled"} 51"#,
        r#"landfall_policy_pooled"#,
    ] {
        assert!(text.contains(line), "{line} is missing:\n{text}");
    }
    assert!(!text.contains("pump-") && !text.contains("stranger-"), "a device's name is in a label");
    let counted = |name: &str, interface: &str| {
        let row = text.lines().find(|line| line.starts_with(name) && line.contains(interface));
        row.unwrap_or_else(|| panic!("{name} of {interface}:\n{text}")).rsplit(' ').next().unwrap().to_owned()
    };
    for stage in ["queue", "instantiate", "guest", "commit"] {
        let name = format!("landfall_policy_{stage}_microseconds_count");
        assert_eq!(counted(&name, r#"plugin="weighted""#), "201", "{stage}");
    }
    assert_eq!(counted("landfall_policy_outcomes_total", "assign"), "201");
    assert_eq!(counted("landfall_policy_outcomes_total", "placed"), "201");
    assert_eq!(counted("landfall_policy_fuel_count", "grouping"), "201");

    // Plugins come and go, many times over; what is left is what there was.
    for round in 0..20 {
        let path = format!("/api/v1/scopes/{}/plugins/passing-{round}", world.scope);
        let wasm = "application/wasm";
        let put = world.manage_as(&world.operator_token, "PUT", &path, wasm, component("takes-first")).await;
        assert_eq!(put.status, 201, "{put:?}");
        let mut own = group("factory");
        own["allocation"] = json!({ "selection": { "plugin": format!("passing-{round}") } });
        world.put("enrollment-groups/devices", &own).await;
        world.device(&format!("passing-{round}")).await.register().await;
        world.put("enrollment-groups/devices", &group("factory")).await;
        assert_eq!(world.manage("DELETE", &path, b"").await.status, 204);
    }
    assert_eq!(series(&scrape(&world).await), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_breaks_is_seen_by_kind_and_by_its_breaker() {
    let world = World::with(|config| {
        config.limits.policy.breaker_failures = 2;
        config.limits.policy.breaker_open_ms = 3_600_000;
        config.limits.policy.breaker_open_max_seconds = 3_600;
    })
    .await;
    let path = format!("/api/v1/scopes/{}/plugins/ours", world.scope);
    world.manage_as(&world.operator_token, "PUT", &path, "application/wasm", component("panics")).await;
    let mut own = group("factory");
    own["allocation"] = json!({ "selection": { "plugin": "ours" } });
    world.put("enrollment-groups/devices", &own).await;
    for number in 0..3 {
        assert_eq!(world.device(&format!("pump-{number}")).await.register().await.status, 202);
    }
    let text = scrape(&world).await;
    let row = |name: &str, label: &str| {
        let found = text.lines().find(|line| line.starts_with(name) && line.contains("ours") && line.contains(label));
        found.and_then(|line| line.rsplit(' ').next()).unwrap_or_else(|| panic!("{name} {label}:\n{text}")).to_owned()
    };
    assert_eq!(row("landfall_policy_failures_total", "panic"), "2");
    assert_eq!(row("landfall_policy_failures_total", "breaker-open"), "1");
    assert_eq!(row("landfall_policy_breaker_openings_total", "in-a-row"), "1");
    assert_eq!(row("landfall_policy_breaker_state", ""), "2", "open");
    assert!(text.contains(r#"landfall_registrations_total{result="waits"} 3"#), "{text}");
    for row in [
        r#"landfall_devices_waiting{scope="0neTEST",reason="panic"} 2"#,
        r#"landfall_devices_waiting{scope="0neTEST",reason="breaker-open"} 1"#,
    ] {
        assert!(text.contains(row), "{row} is missing:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_full_each_hub_is_can_be_watched() {
    let world = World::new().await;
    world.link_hub("hub-2.example", 1, 7).await;
    let mut first = group("factory");
    first["hubs"] = json!(["hub-2.example"]);
    world.put("enrollment-groups/devices", &first).await;
    for number in 0..3 {
        assert_eq!(world.device(&format!("pump-{number}")).await.register().await.status, 200);
    }
    let text = scrape(&world).await;
    for row in [
        r#"landfall_hub_assigned{scope="0neTEST",hub="hub-1.example"} 0"#,
        r#"landfall_hub_assigned{scope="0neTEST",hub="hub-2.example"} 3"#,
        r#"landfall_hub_capacity{scope="0neTEST",hub="hub-2.example"} 7"#,
    ] {
        assert!(text.contains(row), "{row} is missing:\n{text}");
    }
    assert!(!text.contains("landfall_devices_waiting{"), "nobody waits:\n{text}");
    assert_eq!(world.manage("DELETE", "/api/v1/scopes/0neTEST/hubs/hub-1.example", b"").await.status, 204);
    assert!(!scrape(&world).await.contains("hub-1.example"), "the rows of a hub go when it goes");
}

async fn scrape(world: &World) -> String {
    let answer = world.manage("GET", "/metrics", b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"), "{answer:?}");
    let text = String::from_utf8(answer.bytes.to_vec()).unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    text
}

/// The rows without their values.
fn series(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| line.rsplit_once(' ').expect("a value").0.to_owned()).collect()
}
