use landfall_plugin::testing::{self, Catalogue, hub};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const BERLIN: Location = Location { latitude: 52.52, longitude: 13.405 };
const PARIS: Location = Location { latitude: 48.8566, longitude: 2.3522 };
const SYDNEY: Location = Location { latitude: -33.8688, longitude: 151.2093 };
const NEW_YORK: Location = Location { latitude: 40.7128, longitude: -74.006 };
const TOKYO: Location = Location { latitude: 35.6762, longitude: 139.6503 };
const SAO_PAULO: Location = Location { latitude: -23.5505, longitude: -46.6333 };

fn hubs() -> Catalogue {
    Catalogue::new()
        .hub(hub("nowhere.example"))
        .hub(hub("sydney.example").location(SYDNEY.latitude, SYDNEY.longitude))
        .hub(hub("paris.example").location(PARIS.latitude, PARIS.longitude))
        .hub(hub("berlin.example").location(BERLIN.latitude, BERLIN.longitude))
}

fn policy(settings: Value) -> Nearest {
    testing::configure(settings).expect("good settings")
}

/// The names of the chosen hub and its alternates.
fn order(settings: Value, device: &Device, catalogue: &Catalogue) -> Vec<String> {
    let hubs = catalogue.candidates();
    match policy(settings).select_hub(&testing::call(), device, &hubs) {
        Ok(Outcome::Assign(choice)) => {
            let handles = std::iter::once(choice.hub).chain(choice.alternates);
            handles.map(|handle| hubs[handle as usize].name.clone()).collect()
        }
        other => panic!("no hub was chosen: {other:?}"),
    }
}

fn in_potsdam(id: &str) -> Device {
    testing::device(id).fact("latitude", "52.39").fact("longitude", " 13.06 ").build()
}

fn decide(settings: Value, device: &Device) -> Result<Outcome, Fault> {
    hubs().run(|hubs| policy(settings).select_hub(&testing::call(), device, hubs)).answer
}

#[test]
fn hubs_are_tried_by_distance_and_those_without_a_location_last() {
    let expected = ["berlin.example", "paris.example", "sydney.example", "nowhere.example"];
    assert_eq!(order(json!({}), &in_potsdam("pump-1"), &hubs()), expected);
}

#[test]
fn a_hub_whose_last_places_are_being_taken_comes_after_all_that_have_room() {
    let catalogue = Catalogue::new()
        .hub(hub("berlin.example").location(52.52, 13.405).capacity(10).assigned(8).pending(2))
        .hub(hub("nowhere.example"));
    assert_eq!(order(json!({}), &in_potsdam("pump-1"), &catalogue), ["nowhere.example", "berlin.example"]);
}

#[test]
fn hubs_that_are_equally_near_share_their_devices_as_weighted_does() {
    let there = |name: &str, weight| hub(name).location(52.52, 13.405).weight(weight);
    let catalogue = Catalogue::new().hub(there("a.example", 1)).hub(there("b.example", 3));
    let first = |n: u32| order(json!({}), &in_potsdam(&format!("pump-{n}")), &catalogue)[0].clone();
    let at_b = (0..4000).filter(|n| first(*n) == "b.example").count();
    // Five standard deviations of a binomial of 4,000 draws around 3,000.
    assert!(at_b.abs_diff(3000) < 5 * 28, "{at_b}");
}

#[test]
fn a_tie_is_as_wide_as_the_operator_says_and_does_not_chain() {
    // 0, 60 and 120 km to the east of the device, roughly.
    let catalogue = (0..3).fold(Catalogue::new(), |hubs, n| {
        hubs.hub(hub(&format!("{n}.example")).location(0.0, f64::from(n) * 0.54).weight(1000_u32.pow((n == 2).into())))
    });
    let device = |n: u32| testing::device(&format!("pump-{n}")).fact("latitude", "0").fact("longitude", "0").build();
    for n in 0..50 {
        let named = order(json!({"tie-km": 70}), &device(n), &catalogue);
        assert_eq!(named[2], "2.example", "{named:?}");
    }
    assert_eq!(order(json!({}), &device(1), &catalogue), ["0.example", "1.example", "2.example"]);
}

#[test]
fn the_order_of_the_candidates_has_no_influence() {
    let mut turned = hubs().candidates();
    turned.reverse();
    let names = |hubs: &[Hub]| -> Vec<String> {
        let ranked = order::rank("pump-1", Some(BERLIN), hubs, 2000.0, 9);
        ranked.iter().map(|near| near.hub.name.clone()).collect()
    };
    assert_eq!(names(&turned), names(&hubs().candidates()));
}

#[test]
fn sources_are_tried_in_their_order() {
    let sources = json!({
        "sources": [{"fact": "site-position"}, {"payload": "/gps"}, {"facts": ["lat", "lon"]}],
        "believe-payload": true,
    });
    let far = || testing::device("pump-1").fact("lat", "-33").fact("lon", "151");
    let first = |device: &Device| order(sources.clone(), device, &hubs())[0].clone();
    assert_eq!(first(&far().build()), "sydney.example");
    assert_eq!(first(&far().payload(json!({"gps": "48.8,2.3"})).build()), "paris.example");
    let all = far().payload(json!({"gps": "48.8,2.3"})).fact("site-position", "52.5, 13.4").build();
    assert_eq!(first(&all), "berlin.example");
}

#[test]
fn a_payload_is_read_in_the_shapes_that_devices_send() {
    let settings = || json!({"sources": [{"payload": "/at"}], "believe-payload": true});
    for at in [
        json!({"latitude": 48.8, "longitude": 2.3}),
        json!({"lat": 48.8, "lon": 2.3}),
        json!({"lat": 48.8, "lng": 2.3, "accuracy": 12}),
        json!({"type": "Point", "coordinates": [2.3, 48.8, 35]}),
        json!("48.8, 2.3"),
    ] {
        let device = testing::device("pump-1").payload(json!({"at": at})).build();
        assert_eq!(order(settings(), &device, &hubs())[0], "paris.example", "{at}");
    }
    for at in [json!([48.8, 2.3]), json!({"lat": 91, "lon": 2}), json!({"lat": "48"}), json!("NaN,NaN"), json!(7)] {
        let device = testing::device("pump-1").payload(json!({"at": at})).build();
        assert!(matches!(decide(settings(), &device), Ok(Outcome::Abstain(_))), "{at}");
    }
}

#[test]
fn a_payload_is_not_believed_unless_the_operator_says_so() {
    let problems = testing::configure::<Nearest>(json!({"sources": [{"payload": "/gps"}]})).expect_err("refused");
    assert_eq!(problems[0].pointer, "/sources/0/payload");
    // Without a source that reads it, it has no influence.
    let device = testing::device("pump-1").payload(json!({"latitude": 1, "longitude": 1})).build();
    assert!(matches!(decide(json!({}), &device), Ok(Outcome::Abstain(_))));
}

#[test]
fn a_fact_that_is_no_place_is_a_fault_that_names_it() {
    for (latitude, longitude) in [("north", "1"), ("90.1", "0"), ("0", "-181"), ("NaN", "0"), ("inf", "0"), ("", "")] {
        let device = testing::device("pump-1").fact("latitude", latitude).fact("longitude", longitude).build();
        let answer = decide(json!({"missing": "any"}), &device);
        assert!(matches!(&answer, Err(Fault::BadInput(why)) if why.contains("`latitude`")), "{latitude}: {answer:?}");
    }
}

#[test]
fn a_device_without_a_location_is_handled_as_the_operator_says() {
    let device = testing::device("pump-1").fact("latitude", "1").build();
    assert!(matches!(decide(json!({}), &device), Ok(Outcome::Abstain(reason)) if reason.code == "nearest-no-location"));
    assert!(matches!(decide(json!({"missing": "reject"}), &device), Ok(Outcome::Reject(_))));
    assert_eq!(order(json!({"missing": "any"}), &device, &hubs()).len(), 4);
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_place() {
    let problems = testing::configure::<Nearest>(json!({
        "sources": [{}, {"fact": "a", "payload": "/b"}, {"payload": "gps"}],
        "tie-km": -1, "alternates": 17, "believe-payload": true,
    }));
    let places: Vec<_> = problems.expect_err("refused").into_iter().map(|problem| problem.pointer).collect();
    assert_eq!(places, ["/sources/0", "/sources/1", "/sources/2/payload", "/tie-km", "/alternates"]);
    assert!(testing::configure::<Nearest>(json!({"sources": []})).is_err());
}

#[test]
fn cities_are_as_far_apart_as_an_atlas_says() {
    for (from, to, km) in [
        (BERLIN, PARIS, 878.0),
        (BERLIN, SYDNEY, 16_090.0),
        (NEW_YORK, TOKYO, 10_850.0),
        (NEW_YORK, SAO_PAULO, 7_686.0),
        (PARIS, NEW_YORK, 5_837.0),
    ] {
        let measured = from.distance_km(to);
        // The sphere is off by half a percent at most.
        assert!((measured - km).abs() < km * 0.005, "{measured} and not {km}");
    }
}

fn anywhere() -> impl Strategy<Value = Location> {
    (-90.0..=90.0, -180.0..=180.0).prop_map(|(latitude, longitude)| Location { latitude, longitude })
}

/// Half the circumference of the Earth.
const FARTHEST_KM: f64 = std::f64::consts::PI * 6371.0088;

proptest! {
    #[test]
    fn it_is_as_far_there_as_back_and_never_farther_than_to_the_antipodes(a in anywhere(), b in anywhere()) {
        let there = a.distance_km(b);
        prop_assert_eq!(there.to_bits(), b.distance_km(a).to_bits());
        prop_assert!((0.0..=FARTHEST_KM).contains(&there), "{}", there);
    }

    #[test]
    fn the_antipodes_are_half_a_circumference_away_and_here_is_no_distance(a in anywhere()) {
        let turned = if a.longitude > 0.0 { a.longitude - 180.0 } else { a.longitude + 180.0 };
        let antipode = Location { latitude: -a.latitude, longitude: turned };
        prop_assert!((a.distance_km(antipode) - FARTHEST_KM).abs() < 0.5);
        prop_assert_eq!(a.distance_km(a), 0.0);
    }

    #[test]
    fn a_detour_is_never_shorter(a in anywhere(), b in anywhere(), c in anywhere()) {
        prop_assert!(a.distance_km(c) <= a.distance_km(b) + b.distance_km(c) + 0.001);
    }

    #[test]
    fn no_hub_that_is_nearer_is_passed_over(
        places in proptest::collection::vec(anywhere(), 1..20),
        at in anywhere(),
    ) {
        let catalogue = places.iter().enumerate().fold(Catalogue::new(), |hubs, (n, place)| {
            hubs.hub(hub(&format!("{n}.example")).location(place.latitude, place.longitude))
        });
        let hubs = catalogue.candidates();
        let ranked = order::rank("pump-1", Some(at), &hubs, 0.0, 20);
        prop_assert_eq!(ranked.len(), places.len());
        for pair in ranked.windows(2) {
            prop_assert!(pair[0].km <= pair[1].km);
        }
    }
}
