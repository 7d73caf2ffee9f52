use std::collections::BTreeMap;

use landfall_plugin::testing::{self, Catalogue, hub};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn catalogue(weights: &[u32]) -> Catalogue {
    let names = (0..).map(|n| format!("hub-{n}.example"));
    names.zip(weights).fold(Catalogue::new(), |hubs, (name, weight)| hubs.hub(hub(&name).weight(*weight)))
}

fn choice(policy: &Weighted, registration_id: &str, hubs: &[Hub]) -> Choice {
    let device = testing::device(registration_id).build();
    match policy.select_hub(&testing::call(), &device, hubs) {
        Ok(Outcome::Assign(choice)) => choice,
        other => panic!("no hub was chosen: {other:?}"),
    }
}

fn hub_of(registration_id: &str, hubs: &[Hub]) -> String {
    let chosen = choice(&Weighted::default(), registration_id, hubs).hub;
    hubs.iter().find(|hub| hub.handle == chosen).expect("a candidate").name.clone()
}

proptest! {
    #[test]
    fn a_new_hub_takes_devices_only_for_itself(
        weights in proptest::collection::vec(1_u32..=1000, 1..20),
        weight in 1_u32..=1000,
        ids in proptest::collection::vec("[a-z0-9-]{1,40}", 1..50),
    ) {
        let before = catalogue(&weights).candidates();
        let after = catalogue(&weights).hub(hub("new.example").weight(weight)).candidates();
        for id in ids {
            let (old, new) = (hub_of(&id, &before), hub_of(&id, &after));
            prop_assert!(new == old || new == "new.example", "{id} moved from {old} to {new}");
        }
    }

    #[test]
    fn a_hub_that_leaves_moves_only_its_own_devices_and_to_their_first_alternate(
        weights in proptest::collection::vec(1_u32..=1000, 2..20),
        id in "[a-z0-9-]{1,40}",
    ) {
        let all = catalogue(&weights).candidates();
        let before = choice(&Weighted::default(), &id, &all);
        for gone in 0..all.len() {
            let rest: Vec<Hub> = all.iter().filter(|hub| hub.handle as usize != gone).cloned().collect();
            let after = choice(&Weighted::default(), &id, &rest).hub;
            let expected = if before.hub as usize == gone { before.alternates[0] } else { before.hub };
            prop_assert_eq!(after, expected);
        }
    }

    #[test]
    fn more_weight_never_drives_a_device_away(
        weights in proptest::collection::vec(1_u32..=999, 2..20),
        id in "[a-z0-9-]{1,40}",
    ) {
        let before = catalogue(&weights).candidates();
        let winner = choice(&Weighted::default(), &id, &before).hub;
        let mut after = before;
        after.iter_mut().find(|hub| hub.handle == winner).expect("a candidate").weight += 1;
        prop_assert_eq!(choice(&Weighted::default(), &id, &after).hub, winner);
    }

    #[test]
    fn alternates_are_distinct_and_never_the_choice(
        weights in proptest::collection::vec(1_u32..=1000, 1..40),
        alternates in 0_u8..=16,
        id in ".{1,40}",
    ) {
        let hubs = catalogue(&weights).candidates();
        let policy = Weighted { alternates, ..Weighted::default() };
        let choice = choice(&policy, &id, &hubs);
        let mut named = choice.alternates.clone();
        named.push(choice.hub);
        prop_assert_eq!(named.len(), hubs.len().min(1 + usize::from(alternates)));
        named.sort_unstable();
        named.dedup();
        prop_assert_eq!(named.len(), hubs.len().min(1 + usize::from(alternates)));
    }
}

#[test]
fn devices_are_spread_in_proportion_to_the_weights() {
    let hubs = catalogue(&[1, 2, 7]).candidates();
    let mut counts = BTreeMap::new();
    for n in 0..20_000 {
        *counts.entry(hub_of(&format!("device-{n}"), &hubs)).or_insert(0_u32) += 1;
    }
    // Five standard deviations of a binomial of 20,000 draws.
    for (name, expected, deviation) in
        [("hub-0.example", 2000, 42), ("hub-1.example", 4000, 57), ("hub-2.example", 14_000, 65)]
    {
        let apart = counts[name].abs_diff(expected);
        assert!(apart < 5 * deviation, "{name} got {}", counts[name]);
    }
}

#[test]
fn devices_of_one_site_stay_together() {
    let policy: Weighted = testing::configure(json!({"together": "site"})).expect("good settings");
    let hubs = catalogue(&[1; 30]).candidates();
    let at = |id: &str| {
        let device = testing::device(id).fact("site", "berlin").build();
        policy.select_hub(&testing::call(), &device, &hubs)
    };
    assert_eq!(at("a"), at("b"));
}

#[test]
fn a_device_without_the_fact_is_spread_by_its_own_id() {
    let policy: Weighted = testing::configure(json!({"together": "site"})).expect("good settings");
    let hubs = catalogue(&[1; 30]).candidates();
    assert_eq!(choice(&policy, "pump-1", &hubs).hub, choice(&Weighted::default(), "pump-1", &hubs).hub);
}

#[test]
fn too_many_alternates_are_refused_with_their_place() {
    let problems = testing::configure::<Weighted>(json!({"alternates": 17})).expect_err("this must be refused");
    assert_eq!(problems[0].pointer, "/alternates");
}

#[test]
fn the_scores_can_be_looked_at() {
    let run = catalogue(&[1, 2]).run(|hubs| choice(&Weighted::default(), "pump-1", hubs));
    assert_eq!(run.log.len(), 2);
    assert_eq!(run.log[0].field("hub").is_some(), run.log[0].field("score").is_some());
}

#[test]
fn no_candidates_are_a_fault() {
    let device = testing::device("pump-1").build();
    let answer = Weighted::default().select_hub(&testing::call(), &device, &[]);
    assert!(matches!(answer, Err(Fault::Unsupported(_))));
}
