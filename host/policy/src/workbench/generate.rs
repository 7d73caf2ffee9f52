//! Generates devices and catalogues that the contract allows, including unusual ones.
//!
//! Names and values are taken from three sources: values that are usual in production; odd values (empty, very long,
//! outside of ASCII, invalid numbers); and the words in the policy's own settings, because a rule is only reached by a
//! device that has the fact which the rule is about.

use std::collections::BTreeMap;

use landfall_domain::decision::call::{Attestation, EnrollmentKind};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::strategy::{BoxedStrategy, Union};
use serde_json::{Map, Value};

use super::expectation::Expectation;
use super::vector::{
    CallVector, CatalogueVector, DeviceVector, GroupCountVector, HubVector, LocationVector, PriorVector, Vector,
};

/// Generates calls of a policy with these settings; each has the expectation `expect`. Most calls start as one of
/// `seeds`, if there are any, and have some parts replaced: a device without the facts that a policy asks for would
/// never get further than that question.
pub fn calls(settings: Value, expect: Expectation, seeds: &[Vector]) -> BoxedStrategy<Vector> {
    let words = words_of(&settings, seeds);
    let parts = (call(), device(&words), hubs(&words), catalogue(&words));
    let made_up = parts.prop_map(move |(call, device, hubs, catalogue)| Vector {
        name: "found by fuzzing".into(),
        settings: settings.clone(),
        call,
        device,
        hubs,
        chosen: None,
        catalogue,
        http: Vec::new(),
        expect: expect.clone(),
        max_fuel: None,
    });
    let made_up = made_up.boxed();
    if seeds.is_empty() {
        return made_up;
    }
    let changed = (select(seeds.to_vec()), made_up.clone(), any::<u32>())
        .prop_map(|(seed, made_up, parts)| mixed(&seed, made_up, parts));
    prop_oneof![4 => changed, 1 => made_up].boxed()
}

/// A seed in which some parts come from another call: those whose bits are set. Facts and claims are merged, so that
/// what a policy asks for stays there, perhaps with another value.
fn mixed(seed: &Vector, made_up: Vector, parts: u32) -> Vector {
    let taken = |bit: u32| parts >> bit & 1 == 1;
    // For parts that are seldom replaced.
    let rarely = |bit: u32| parts >> bit & 7 == 7;
    let joined = |ours: &BTreeMap<String, String>, others: BTreeMap<String, String>| {
        ours.clone().into_iter().chain(others).collect::<BTreeMap<_, _>>()
    };
    let Vector { call, device: other, hubs, catalogue, .. } = made_up.clone();
    let mut device = seed.device.clone();
    if taken(0) {
        device.facts = joined(&device.facts, other.facts);
    }
    if taken(1) {
        device.claims = joined(&device.claims, other.claims);
    }
    if taken(2) {
        device.payload = other.payload;
    }
    if taken(3) {
        device.tags = other.tags;
    }
    if taken(4) {
        device.prior = other.prior;
    }
    if taken(5) {
        (device.registration_id, device.attestation) = (other.registration_id, other.attestation);
        (device.enrollment, device.enrollment_id) = (other.enrollment, other.enrollment_id);
    }
    // Removes one fact.
    if rarely(6) {
        let lost =
            device.facts.keys().nth(usize::try_from(parts >> 24).unwrap_or(0) % device.facts.len().max(1)).cloned();
        lost.map(|key| device.facts.remove(&key));
    }
    let seeds_hubs = !seed.hubs.is_empty() && !rarely(10);
    Vector {
        device,
        call: if taken(9) { call } else { seed.call.clone() },
        chosen: seed.chosen.clone().filter(|_| seeds_hubs),
        hubs: if seeds_hubs { seed.hubs.clone() } else { hubs },
        catalogue: if taken(13) { catalogue } else { seed.catalogue.clone() },
        http: seed.http.clone(),
        ..made_up
    }
}

fn call() -> impl Strategy<Value = CallVector> {
    let now = prop_oneof![Just(0), Just(CallVector::default().now), 0..4_102_444_800_000_u64];
    (now, any::<u64>(), 0..3_u32, any::<u64>()).prop_map(|(now, seed, attempt, catalog_revision)| CallVector {
        now,
        seed,
        attempt,
        catalog_revision,
        ..CallVector::default()
    })
}

fn device(words: &[String]) -> impl Strategy<Value = DeviceVector> + use<> {
    let attestation = select(vec![Attestation::X509, Attestation::Tpm, Attestation::SymmetricKey, Attestation::Token]);
    let enrollment = select(vec![EnrollmentKind::Individual, EnrollmentKind::Group]);
    let tags = btree_map(word(words), json(words), 0..4).prop_map(|tags| tags.into_iter().collect::<Map<_, _>>());
    let who = ("[a-z0-9]([a-z0-9._:-]{0,30}[a-z0-9])?", attestation, enrollment, "[a-z0-9]{1,20}");
    let said = (labels(words), labels(words), tags, option::of(json(words)), option::of(prior(words)));
    (who, said).prop_map(|((registration_id, attestation, enrollment, enrollment_id), said)| {
        let (facts, claims, tags, payload, prior) = said;
        DeviceVector { registration_id, attestation, enrollment, enrollment_id, facts, claims, tags, payload, prior }
    })
}

fn prior(words: &[String]) -> impl Strategy<Value = PriorVector> + use<> {
    (host(), vec(word(words), 0..4), any::<u64>()).prop_map(|(hub, group_path, since)| PriorVector {
        hub,
        group_path,
        since,
    })
}

fn hubs(words: &[String]) -> impl Strategy<Value = Vec<HubVector>> + use<> {
    let few = prop_oneof![8 => 1..5_usize, 3 => 5..40_usize, 1 => 40..200_usize];
    let named: Vec<String> = words.iter().filter(|word| word.contains('.')).cloned().collect();
    let name = if named.is_empty() { host().boxed() } else { prop_oneof![host(), select(named)].boxed() };
    let labels = labels(words);
    few.prop_flat_map(move |count| vec(hub(name.clone(), labels.clone()), count)).prop_map(|mut hubs| {
        // The names of linked hubs are unique.
        let mut seen = std::collections::HashSet::new();
        hubs.retain(|hub| seen.insert(hub.name.clone()));
        hubs
    })
}

fn hub(
    name: impl Strategy<Value = String>,
    labels: impl Strategy<Value = BTreeMap<String, String>>,
) -> impl Strategy<Value = HubVector> {
    let capacity = prop_oneof![Just(1), 1..1_000_u64, Just(1_000_000), Just(u64::MAX)];
    let degrees = |most: f64| prop_oneof![Just(0.0), Just(most), Just(-most), -most..most];
    let location =
        (degrees(90.0), degrees(180.0)).prop_map(|(latitude, longitude)| LocationVector { latitude, longitude });
    (name, 1..=1_000_u32, capacity, any::<u64>(), 0..50_u32, option::of(location), labels).prop_map(
        |(name, weight, capacity, assigned, pending, location, labels)| HubVector {
            name,
            weight,
            capacity,
            // A full hub is not a candidate.
            assigned: assigned % capacity,
            pending,
            location,
            labels,
        },
    )
}

fn catalogue(words: &[String]) -> impl Strategy<Value = CatalogueVector> + use<> {
    let count = (vec(word(words), 0..4), any::<u64>()).prop_map(|(path, count)| GroupCountVector { path, count });
    vec(count, 0..4).prop_map(|group_counts| CatalogueVector { group_counts })
}

fn labels(words: &[String]) -> BoxedStrategy<BTreeMap<String, String>> {
    let value = prop_oneof![4 => word(words), 1 => odd(), 1 => number()];
    btree_map(word(words), value, 0..6).boxed()
}

fn word(words: &[String]) -> impl Strategy<Value = String> + use<> {
    let usual = select(USUAL.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    let mut choices = vec![(3, usual.boxed()), (1, "[a-z][a-z0-9-]{0,12}".boxed())];
    if !words.is_empty() {
        choices.push((6, select(words.to_vec()).boxed()));
    }
    Union::new_weighted(choices)
}

fn odd() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), Just("x".repeat(512)), any::<String>(), Just("\u{202e}\u{0}'\"\\".to_owned())]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        Just("1e400".to_owned()),
        Just("-0".to_owned()),
        (-180.0..180.0_f64).prop_map(|number| format!("{number:.4}")),
    ]
}

fn json(words: &[String]) -> impl Strategy<Value = Value> + use<> {
    let plain = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-180.0..180.0_f64).prop_map(Value::from),
        word(words).prop_map(Value::from),
        odd().prop_map(Value::from),
    ];
    let name = word(words).boxed();
    plain.prop_recursive(3, 24, 4, move |inner| {
        let object = btree_map(name.clone(), inner.clone(), 0..4);
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn host() -> impl Strategy<Value = String> {
    "[a-z]{1,6}-[0-9]{1,3}\\.(eu|us|asia)\\.example"
}

/// Every name and text in the settings, and in what the seeds say of devices and hubs; and the parts of texts that
/// look like a path or a template.
fn words_of(settings: &Value, seeds: &[Vector]) -> Vec<String> {
    fn collect(value: &Value, words: &mut Vec<String>) {
        match value {
            Value::String(text) => {
                words.push(text.clone());
                words.extend(
                    text.split(['{', '}', '/', ' ', '.', ',']).filter(|part| part.len() > 1).map(str::to_owned),
                );
            }
            Value::Number(number) => words.push(number.to_string()),
            Value::Array(items) => items.iter().for_each(|item| collect(item, words)),
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                words.push(name.clone());
                collect(value, words);
            }),
            Value::Null | Value::Bool(_) => {}
        }
    }
    let mut words = Vec::new();
    collect(settings, &mut words);
    for Vector { device, hubs, .. } in seeds {
        let labels = [&device.facts, &device.claims].into_iter().chain(hubs.iter().map(|hub| &hub.labels));
        words.extend(labels.flatten().flat_map(|(key, value)| [key.clone(), value.clone()]));
        words.extend(device.tags.keys().cloned());
    }
    words.retain(|word| !word.is_empty() && word.len() <= 256);
    words.sort_unstable();
    words.dedup();
    words.truncate(MOST_WORDS);
    words
}

/// Usual names and values of facts, labels and tags.
const USUAL: &[&str] = &[
    "region",
    "site",
    "customer",
    "model",
    "tier",
    "serial",
    "batch",
    "country",
    "latitude",
    "longitude",
    "location",
    "firmware",
    "line",
    "eu",
    "us",
    "gold",
    "oslo",
    "1",
    "true",
];
/// Maximum number of words that are used.
const MOST_WORDS: usize = 2_000;
