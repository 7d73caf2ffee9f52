//! Run natively (`cargo test`) and under the engine that production runs (`cargo test --target wasm32-wasip2`).

{{#selects}}
use landfall_plugin::testing::{self, Catalogue, hub};
{{/selects}}
{{#only-places}}
use landfall_plugin::testing::{self, hub};
{{/only-places}}
use serde_json::json;

use super::*;

fn policy() -> {{Type}} {
    testing::configure(json!({})).expect("good settings")
}

{{#selects}}
#[test]
fn a_device_stays_in_its_region() {
    let hubs = Catalogue::new()
        .hub(hub("eu-1.example").label("region", "eu"))
        .hub(hub("us-1.example").label("region", "us"));
    let device = testing::device("pump-1").fact("region", "us").build();
    let asked = hubs.run(|hubs| policy().select_hub(&testing::call(), &device, hubs));
    assert_eq!(hubs.chosen(&asked.answer), Some("us-1.example"));
}

#[test]
fn a_device_waits_when_its_region_has_no_hub() {
    let hubs = Catalogue::new().hub(hub("eu-1.example").label("region", "eu"));
    let device = testing::device("pump-1").fact("region", "asia").build();
    let asked = hubs.run(|hubs| policy().select_hub(&testing::call(), &device, hubs));
    assert!(matches!(asked.answer, Ok(Outcome::Defer(deferral)) if deferral.retry_after_ms == 60_000));
}

{{/selects}}
{{#places}}
#[test]
fn a_device_is_placed_by_its_region() {
    let device = testing::device("pump-1").fact("region", "eu").build();
    let placed = policy().place(&testing::call(), &device, &hub("eu-1.example").alone());
    assert_eq!(placed.expect("a place").group_path, ["eu"]);
}

{{/places}}
#[test]
fn a_mistake_in_the_settings_is_told_with_its_place() {
    let problems = testing::configure::<{{Type}}>(json!({ "region-key": "" })).expect_err("this must be refused");
    assert_eq!(problems[0].pointer, "/region-key");
}
