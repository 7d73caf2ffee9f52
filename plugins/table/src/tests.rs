use landfall_plugin::testing::{self, Catalogue, hub};
use serde_json::{Value, json};

use super::*;

fn table(rules: Value) -> Table {
    testing::configure(json!({ "rules": rules })).expect("good settings")
}

fn problems(rules: Value) -> Vec<(String, String)> {
    let problems = testing::configure::<Table>(json!({ "rules": rules })).expect_err("these must be refused");
    problems.into_iter().map(|problem| (problem.pointer, problem.message)).collect()
}

fn hubs() -> Catalogue {
    Catalogue::new()
        .hub(hub("eu-1.example").label("region", "eu").label("tier", "gold"))
        .hub(hub("eu-2.example").label("region", "eu"))
        .hub(hub("us-1.example").label("region", "us"))
}

fn select(rules: Value, device: &Device) -> (Option<String>, Result<Outcome, Fault>) {
    let (table, hubs) = (table(rules), hubs());
    let answer = hubs.run(|hubs| table.select_hub(&testing::call(), device, hubs)).answer;
    (hubs.chosen(&answer).map(str::to_owned), answer)
}

fn place(rules: Value, device: &Device) -> Result<Placement, Fault> {
    table(rules).place(&testing::call(), device, &testing::hub("eu-1.example").alone())
}

#[test]
fn the_first_rule_that_matches_and_names_a_hub_counts() {
    let rules = json!([
        {"when": [{"fact": "region", "equals": "us"}], "hub": "us-1.example"},
        {"when": [{"fact": "region", "equals": "eu"}], "group": ["eu"]},
        {"when": [{"fact": "region", "equals": "eu"}], "hub": "eu-2.example"},
        {"hub": "eu-1.example"},
    ]);
    let in_region = |region| testing::device("pump-1").fact("region", region).build();
    assert_eq!(select(rules.clone(), &in_region("us")).0.as_deref(), Some("us-1.example"));
    assert_eq!(select(rules.clone(), &in_region("eu")).0.as_deref(), Some("eu-2.example"));
    assert_eq!(select(rules, &in_region("asia")).0.as_deref(), Some("eu-1.example"));
}

#[test]
fn each_kind_of_condition_is_understood() {
    let device = testing::device("pump-1")
        .fact("batch", "150")
        .fact("serial", "A1-0042")
        .claim("issuer", "CN=Acme Device CA 3")
        .tag("tier", "gold")
        .tag("floor", 3)
        .payload(json!({"model": {"name": "x200"}}))
        .build();
    let matching = [
        json!({"fact": "batch", "equals": 150}),
        json!({"fact": "batch", "equals": "150"}),
        json!({"fact": "batch", "min": 150, "max": 200}),
        json!({"fact": "serial", "glob": "A?-*"}),
        json!({"claim": "issuer", "prefix": "CN=Acme "}),
        json!({"tag": "tier", "one-of": ["gold", "platinum"]}),
        json!({"tag": "floor", "equals": 3}),
        json!({"payload": "/model/name", "equals": "x200"}),
        json!({"fact": "line", "present": false}),
        json!({"fact": "batch", "present": true}),
        json!({"fact": "line", "equals": "a", "not": true}),
    ];
    for condition in matching {
        let mut other = condition.clone();
        let not = condition.get("not").is_none();
        other["not"] = json!(not);
        for (condition, expected) in [(condition, true), (other, false)] {
            let chosen = select(json!([{"when": [condition], "hub": "eu-1.example"}]), &device).0.is_some();
            assert_eq!(chosen, expected, "{condition}");
        }
    }
}

#[test]
fn what_a_device_says_is_not_taken_for_what_is_known_of_it() {
    let liar = testing::device("pump-1").payload(json!({"region": "eu"})).build();
    for source in ["fact", "claim", "tag"] {
        let rules = json!([{"when": [{source: "region", "equals": "eu"}], "hub": "eu-1.example"}]);
        assert_eq!(select(rules, &liar).0, None);
    }
}

#[test]
fn labels_choose_among_hubs_and_may_follow_the_device() {
    let device = testing::device("pump-1").fact("region", "us").build();
    let rules = json!([{"hub-labels": {"region": "{fact.region}"}}]);
    assert_eq!(select(rules, &device).0.as_deref(), Some("us-1.example"));
    let rules = json!([{"hub-labels": {"region": "eu"}}]);
    let Ok(Outcome::Assign(choice)) = select(rules, &device).1 else { panic!("a hub must be chosen") };
    assert_eq!(choice.alternates.len(), 1);
}

#[test]
fn a_list_is_an_order_of_preference() {
    let device = testing::device("pump-1").build();
    let (chosen, answer) = select(json!([{"hubs": ["gone.example", "us-1.example", "EU-1.example"]}]), &device);
    assert_eq!(chosen.as_deref(), Some("us-1.example"));
    assert!(matches!(answer, Ok(Outcome::Assign(choice)) if choice.alternates == [0]));
}

#[test]
fn a_hub_that_takes_no_devices_is_handled_as_the_rule_says() {
    let device = testing::device("pump-1").build();
    let with = |unavailable| json!([{"hub": "gone.example", "unavailable": unavailable}, {"hub": "us-1.example"}]);
    assert!(matches!(select(with("defer"), &device).1, Ok(Outcome::Defer(_))));
    assert!(matches!(select(with("abstain"), &device).1, Ok(Outcome::Abstain(_))));
    assert_eq!(select(with("next"), &device).0.as_deref(), Some("us-1.example"));
}

#[test]
fn without_a_matching_rule_it_has_no_opinion() {
    let device = testing::device("pump-1").build();
    let rules = json!([{"when": [{"fact": "x", "present": true}], "hub": "us-1.example", "group": ["g"]}]);
    assert!(matches!(select(rules.clone(), &device).1, Ok(Outcome::Abstain(reason)) if reason.code == "table-no-rule"));
    assert_eq!(place(rules, &device), Ok(Placement::none()));
}

#[test]
fn placements_are_filled_from_what_is_known() {
    let device = testing::device("pump-1").fact("site", "berlin").tag("customer", "acme").build();
    let placement = place(
        json!([{
            "name": "everywhere",
            "group": ["{tag.customer}", "{fact.site}"],
            "tags": {"site": "{fact.site}", "floors": [1, "{fact.site}"]},
            "desired": {"report": {"to": "{hub}", "seconds": 60}},
            "reply": "hello {registration-id}",
        }]),
        &device,
    )
    .expect("a placement");
    assert_eq!(placement.group_path, ["acme", "berlin"]);
    let tags: Vec<_> = placement.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())).collect();
    assert_eq!(tags, [("floors", r#"[1,"berlin"]"#), ("site", r#""berlin""#)]);
    assert_eq!(placement.desired.as_deref(), Some(r#"{"report":{"seconds":60,"to":"eu-1.example"}}"#));
    assert_eq!(placement.reply.as_deref(), Some(r#""hello pump-1""#));
    assert_eq!(placement.reasons, [Reason::new("table-rule", "rule `everywhere`")]);
}

#[test]
fn a_device_that_lacks_what_a_text_needs_is_a_fault_that_names_rule_and_fact() {
    let device = testing::device("pump-1").build();
    let fault = place(json!([{"name": "sites", "group": ["{fact.site}"]}]), &device);
    let expected = "rule `sites`: the manufacturing record has no fact `site`";
    assert_eq!(fault, Err(Fault::BadInput(expected.into())));
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_place() {
    let found = problems(json!([
        {"when": [{"equals": 1}, {"fact": "a", "claim": "b", "present": true}], "hub": "a.example"},
        {"when": [{"fact": "a"}, {"fact": "a", "prefix": "x", "glob": "y"}], "group": ["{fact.a", "{payload.b}"]},
        {"hub": "a.example", "hubs": ["b.example"]},
        {"name": "empty"},
        {"hubs": ["a.example", "A.example", ""]},
        {"when": [{"fact": "a", "min": 3, "max": 2}, {"payload": "model", "present": true}], "reply": {"a/b": "}"}},
        {"hub-labels": {"region": "{hub}"}},
    ]));
    let places: Vec<_> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
    assert_eq!(
        places,
        [
            "/rules/0/when/0",
            "/rules/0/when/1",
            "/rules/1/when/0",
            "/rules/1/when/1",
            "/rules/1/group/0",
            "/rules/1/group/1",
            "/rules/2",
            "/rules/3",
            "/rules/4/hubs/1",
            "/rules/4/hubs/2",
            "/rules/5/when/0/max",
            "/rules/5/when/1/payload",
            "/rules/5/reply/a~1b",
            "/rules/6/hub-labels/region",
        ]
    );
}

#[test]
fn a_misspelt_key_is_refused_where_it_stands() {
    let found = problems(json!([{"hub": "a.example", "grup": ["x"]}]));
    assert!(found[0].0.starts_with("/rules/0"), "{found:?}");
    assert!(found[0].1.contains("unknown field `grup`"), "{found:?}");
}
