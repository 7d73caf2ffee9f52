use landfall_plugin::testing::{self, Catalogue, DeviceBuilder, hub};
use serde_json::{Value, json};

use super::*;

fn policy(settings: Value) -> RegionAndCustomer {
    testing::configure(settings).expect("good settings")
}

fn pump(serial: &str) -> DeviceBuilder {
    testing::device(serial).fact("serial", serial).fact("region", "eu").fact("customer", "acme").fact("site", "berlin")
}

fn hubs() -> Catalogue {
    Catalogue::new()
        .hub(hub("eu-1.example").label("region", "eu").capacity(100).assigned(50))
        .hub(hub("eu-canary.example").label("region", "eu").label("ring", "canary"))
        .hub(hub("us-1.example").label("region", "us"))
}

fn select(policy: &RegionAndCustomer, catalogue: &Catalogue, device: DeviceBuilder) -> Result<Outcome, Fault> {
    let device = device.build();
    catalogue.run(|hubs| policy.select_hub(&testing::call(), &device, hubs)).answer
}

#[test]
fn a_pump_stays_in_its_region() {
    let hubs = hubs();
    assert_eq!(hubs.chosen(&select(&policy(json!({})), &hubs, pump("P1"))), Some("eu-1.example"));
    let in_us = pump("P1").fact("region", "us");
    assert_eq!(hubs.chosen(&select(&policy(json!({})), &hubs, in_us)), Some("us-1.example"));
}

#[test]
fn a_pump_waits_when_its_region_is_full_and_goes_nowhere_else() {
    let in_asia = pump("P1").fact("region", "asia");
    let answer = select(&policy(json!({})), &hubs(), in_asia);
    assert!(matches!(answer, Ok(Outcome::Defer(deferral)) if deferral.reason.code == "region-full"));
}

#[test]
fn canaries_go_to_canary_hubs_and_are_as_many_as_wanted() {
    let (policy, hubs) = (policy(json!({"canary": {"name": "spring", "percent": 5}})), hubs());
    let chosen = |n| hubs.chosen(&select(&policy, &hubs, pump(&format!("P{n}")))).map(str::to_owned);
    let canaries = (0..2000).filter(|n| chosen(*n).as_deref() == Some("eu-canary.example")).count();
    assert!((60..140).contains(&canaries), "{canaries} of 2000");
}

#[test]
fn the_last_part_of_a_hub_is_kept_for_pumps_that_come_back() {
    let nearly_full = Catalogue::new().hub(hub("eu-1.example").label("region", "eu").capacity(100).assigned(95));
    let policy = policy(json!({"keep-free": 0.1}));
    assert!(matches!(select(&policy, &nearly_full, pump("new")), Ok(Outcome::Defer(_))));
    let back = pump("old").was_at("eu-1.example", &["acme", "berlin"]);
    assert_eq!(nearly_full.chosen(&select(&policy, &nearly_full, back)), Some("eu-1.example"));
}

#[test]
fn a_full_cell_is_followed_by_the_next() {
    let catalogue = Catalogue::new().group(["acme", "berlin", "cell-1"], 100).group(["acme", "berlin", "cell-2"], 99);
    let device = pump("P1").build();
    let hub = hub("eu-1.example").alone();
    let run = catalogue.run(|_| policy(json!({})).place(&testing::call(), &device, &hub));
    assert_eq!(run.answer.expect("a placement").group_path, ["acme", "berlin", "cell-2"]);
}

#[test]
fn a_pump_of_which_too_little_is_known_is_a_fault() {
    let nameless = testing::device("P1");
    assert!(
        matches!(select(&policy(json!({})), &hubs(), nameless), Err(Fault::BadInput(why)) if why.contains("`region`"))
    );
}

#[test]
fn mistakes_in_the_settings_are_told_all_at_once() {
    let settings = json!({"keep-free": 1, "cell-size": 0, "canary": {"name": "a", "percent": 101}});
    let problems = testing::configure::<RegionAndCustomer>(settings).expect_err("these must be refused");
    let places: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(places, ["/keep-free", "/canary/percent", "/cell-size"]);
}
