//! What a device that is turned away learns, which is nothing, and what its operator learns, which is everything.

use landfall::client::Answer;
use landfall::provisioning::Cause;
use landfall_domain::clock::Ambient;
use landfall_tests::world::{Device, World, group, json_of, tracking_id};
use serde_json::json;

mod cases;

use cases::Case;

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_the_same_on_the_wire_and_has_its_cause_in_the_ledger() {
    let world = World::new().await;
    let cases = cases::all(&world).await;
    assert!(cases.len() >= 25, "a table of {} cases has lost some", cases.len());
    let mut codes: Vec<_> = cases.iter().map(|case| case.code).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes, CODES, "every cause has a case");

    for Case { what, code, says, device } in &cases {
        // The same for whatever a device may ask, or the answers to a look-up would tell who is known here.
        for (request, answer) in [
            ("register", device.register().await),
            ("register without patience", device.send("PUT", "/register", &[], String::new()).await),
            ("poll", device.poll("4.0123456789abcdef.0197c5c1-0000-7000-8000-000000000000").await),
            ("look up", device.look_up().await),
        ] {
            assert_eq!(in_writing(&answer), REFUSAL, "{what}: {request}");
            let entry = world.ledger(&tracking_id(&answer)).await;
            let refused = &entry["kind"]["refused"];
            assert_eq!(refused["cause"], *code, "{what}: {request}: {entry}");
            let detail = refused["detail"].as_str().unwrap();
            assert!(detail.contains(says), "{what}: {request}: the operator is told {detail:?}, without {says:?}");
            assert_eq!(entry["registrationId"], device.id, "{what}");
            assert_eq!(entry["scope"], device.scope, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_device_leaves_nothing_behind_but_its_ledger_entry() {
    let world = World::new().await;
    let good = world.device("good").await;
    assert_eq!(good.register().await.status, 200);
    let before = registered(&world).await;
    assert_eq!(before, (1, vec!["good".to_owned()]));
    for Case { what, device, .. } in cases::all(&world).await {
        let known = registered(&world).await;
        assert_eq!(device.register().await.status, 401, "{what}");
        assert_eq!(registered(&world).await, known, "{what}");
        if !known.1.contains(&device.id) {
            let path = format!("/api/v1/scopes/{}/registrations/{}", world.scope, device.id);
            assert_eq!(world.manage("GET", &path, b"").await.status, 404, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_under_a_known_id_is_refused_until_an_operator_releases_it() {
    let world = World::new().await;
    let (first, second) = two_keys(&world, "pump-1").await;
    assert_eq!(first.register().await.status, 200);
    let bound = registration(&world, "pump-1").await;

    let answer = second.register().await;
    assert_eq!(in_writing(&answer), REFUSAL);
    let entry = world.ledger(&tracking_id(&answer)).await;
    assert_eq!(entry["kind"]["refused"]["cause"], "key-changed");
    assert_eq!(registration(&world, "pump-1").await, bound, "the attempt has changed the registration");

    let path = format!("/api/v1/scopes/{}/registrations/pump-1/release", world.scope);
    assert_eq!(world.manage("POST", &path, b"").await.status, 204);
    let answer = second.register().await;
    assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
    let now = registration(&world, "pump-1").await;
    assert!(now["keyIdentity"].is_string(), "{now}");
    assert_ne!(now["keyIdentity"], bound["keyIdentity"], "the id belongs to the new key now");
    assert_eq!(first.register().await.status, 401, "a release is for one key, and not for all");
    assert_eq!(registered(&world).await.0, 1, "one device, one place");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_keys_that_claim_an_id_at_once_one_gets_it_and_the_other_is_refused() {
    let world = World::new().await;
    for number in 0..30 {
        let (first, second) = two_keys(&world, &format!("pump-{number}")).await;
        // Each asks twice, so that some requests wait for a result that another one has begun.
        let (a, b, c, d) = tokio::join!(first.register(), second.register(), first.register(), second.register());
        let (winner, loser) = if a.status == 200 { ([a, c], [b, d]) } else { ([b, d], [a, c]) };
        for answer in winner {
            assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
        }
        for answer in loser {
            assert_eq!(in_writing(&answer), REFUSAL);
            let entry = world.ledger(&tracking_id(&answer)).await;
            assert_eq!(entry["kind"]["refused"]["cause"], "key-changed", "{entry}");
        }
    }
    assert_eq!(registered(&world).await.0, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_renews_its_keys_may_say_so() {
    let world = World::new().await;
    let mut renewing = group("factory");
    renewing["keyChange"] = json!("allow");
    world.put("enrollment-groups/devices", &renewing).await;
    let (first, second) = two_keys(&world, "pump-1").await;
    for device in [&first, &second, &first] {
        let answer = device.register().await;
        assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
    }
    assert_eq!(registered(&world).await, (1, vec!["pump-1".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_let_in_once_is_told_no_more_than_a_stranger_when_it_may_not_come_any_more() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    let assigned = json_of(&device.register().await);
    let operation = assigned["operationId"].as_str().unwrap();
    let before = registration(&world, "pump-1").await;
    let mut closed = group("factory");
    closed["enabled"] = json!(false);
    for (what, shut, opened) in [
        ("records/pump-1/state", json!({ "state": "quarantined" }), json!({ "state": "active" })),
        ("enrollment-groups/devices", closed, group("factory")),
    ] {
        world.put(what, &shut).await;
        for answer in [device.register().await, device.poll(operation).await, device.look_up().await] {
            assert_eq!(in_writing(&answer), REFUSAL, "{what}");
        }
        assert_eq!(registration(&world, "pump-1").await, before, "{what}: an operator decides about its place");
        assert_eq!(registered(&world).await.0, 1, "{what}");
        world.put(what, &opened).await;
        assert_eq!(json_of(&device.look_up().await)["assignedHub"], before["assignedHub"], "{what}");
    }
    assert_eq!(json_of(&device.register().await)["status"], "assigned");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_factor_is_enough_only_where_an_operator_has_said_so_in_writing() {
    let world = World::new().await;
    let issued = world.factory.device("pump-1", Ambient::system().now(), 30).unwrap();
    let device = world.stranger("pump-1", &issued);
    let path = format!("/api/v1/scopes/{}/enrollment-groups/devices", world.scope);

    assert_eq!(world.get(&path).await["manufacturing"], "required", "what was not said is the strict way");
    let answer = device.register().await;
    assert_eq!(in_writing(&answer), REFUSAL);
    let entry = world.ledger(&tracking_id(&answer)).await;
    assert_eq!(entry["kind"]["refused"]["cause"], "no-manufacturing-record");

    let mut migrating = group("factory");
    migrating["manufacturing"] = json!("optional");
    // Without a record there are no facts to place it by.
    migrating["allocation"]["grouping"] = json!([]);
    world.put("enrollment-groups/devices", &migrating).await;
    assert_eq!(world.get(&path).await["manufacturing"], "optional");
    let answer = device.register().await;
    assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
    let factors = world.ledger(&tracking_id(&answer)).await["kind"]["decided"]["factors"].clone();
    assert_eq!((&factors["manufacturer"], &factors["evidence"]), (&json!(null), &json!([])), "and it is told later");

    // A record that is there still counts.
    world.record("pump-1", None).await;
    world.put("records/pump-1/state", &json!({ "state": "quarantined" })).await;
    assert_eq!(in_writing(&device.register().await), REFUSAL);
}

/// An answer as it stands on the wire, but for the tracking id and the moment.
fn in_writing(answer: &Answer) -> String {
    let tracking_id = tracking_id(answer);
    let mut text = format!("{}\n", answer.status);
    for (name, value) in &answer.headers {
        let value = if name == "date" { "DATE" } else { value.to_str().unwrap() };
        text.push_str(&format!("{name}: {value}\n"));
    }
    text.push_str(std::str::from_utf8(&answer.bytes).unwrap());
    let moment = json_of(answer)["timestampUtc"].as_str().expect("a moment").to_owned();
    text.replace(&tracking_id, "TRACKING-ID").replace(&moment, "MOMENT")
}

/// Two devices of the factory that claim one id with a key each, and a record that leaves it open which is meant.
async fn two_keys(world: &World, id: &str) -> (Device, Device) {
    let issued = || world.factory.device(id, Ambient::system().now(), 30).unwrap();
    world.record(id, None).await;
    (world.stranger(id, &issued()), world.stranger(id, &issued()))
}

/// Devices on all hubs as the hubs count them, and the ids that are registered.
async fn registered(world: &World) -> (u64, Vec<String>) {
    let all = async |what: &str| world.get(&format!("/api/v1/scopes/{}/{what}", world.scope)).await["items"].clone();
    let assigned = all("hubs").await.as_array().unwrap().iter().map(|hub| hub["assigned"].as_u64().unwrap()).sum();
    let ids = all("registrations").await;
    let ids = ids.as_array().unwrap().iter().map(|one| one["registrationId"].as_str().unwrap().to_owned());
    (assigned, ids.collect())
}

async fn registration(world: &World, id: &str) -> serde_json::Value {
    world.get(&format!("/api/v1/scopes/{}/registrations/{id}", world.scope)).await
}

/// What every refused device is told.
const REFUSAL: &str = "401 Unauthorized
content-type: application/json; charset=utf-8
strict-transport-security: max-age=31536000; includeSubDomains
x-ms-request-id: TRACKING-ID
x-ms-error-code: 401002
content-length: 143
date: DATE
{\"errorCode\":401002,\"trackingId\":\"TRACKING-ID\",\"message\":\"Unauthorized\",\"timestampUtc\":\"MOMENT\"}";

/// The words that the ledger has for causes.
const CODES: [&str; 16] = [
    "certificate-blocked",
    "certificate-not-accepted",
    "certificate-of-another",
    "enrollment-disabled",
    "evidence-mismatch",
    "key-changed",
    "key-of-another",
    "no-credential",
    "no-manufacturing-record",
    "not-enrolled",
    "other-name",
    "record-of-another-manufacturer",
    "record-quarantined",
    "record-retired",
    "unknown-scope",
    "unreadable-certificate",
];

/// Whoever adds a cause is stopped here, and adds its word above and a case for it.
const _: fn(&Cause) = |cause| match cause {
    Cause::UnknownScope(_)
    | Cause::NoCredential
    | Cause::UnreadableCertificate(_)
    | Cause::OtherName { .. }
    | Cause::NotEnrolled(_)
    | Cause::EnrollmentDisabled(_)
    | Cause::CertificateBlocked(_)
    | Cause::CertificateOfAnother(_)
    | Cause::Certificate { .. }
    | Cause::NoRecord(_)
    | Cause::RecordOfAnother { .. }
    // Only in a folder of 0.1.0: what a group rests on cannot become unproven any more; see `revocation`.
    | Cause::AuthorityUnproven { .. }
    // Those of tokens: see `symmetric_keys`.
    | Cause::UnreadableToken(_)
    | Cause::TokenForAnother(_)
    | Cause::TokenExpired(_)
    | Cause::TokenWithoutEnd { .. }
    | Cause::NotEnrolledByKey(_)
    | Cause::NotSigned(_)
    | Cause::AnsweredBefore(_)
    | Cause::KeysNotOpened { .. }
    | Cause::OtherMechanism { .. }
    | Cause::UnreadableBearer(_)
    | Cause::UnknownIssuer(_)
    | Cause::IssuerAway { .. }
    | Cause::IssuerKeyNotYet { .. }
    | Cause::Bearer { .. }
    | Cause::BearerOfAnother { .. }
    | Cause::NotEnrolledByTpm(_)
    | Cause::OtherEndorsementKey { .. }
    | Cause::UnusableTpm(_)
    | Cause::Quarantined(_)
    | Cause::Retired(_)
    | Cause::EvidenceMismatch { .. }
    | Cause::NoEndorsementKey(_)
    | Cause::NoEndorsementCertificate(_)
    | Cause::OtherEndorsementCertificate { .. }
    | Cause::NoMakerGroup { .. }
    | Cause::EndorsementCertificate { .. }
    | Cause::NoDirectoryGroup
    | Cause::Ticket { .. }
    | Cause::TicketAgain(_)
    | Cause::NoAccount { .. }
    | Cause::AccountChanged { .. }
    | Cause::DirectoryAway { .. }
    | Cause::BearerSignature(_)
    | Cause::BeforeProof(_)
    | Cause::OfEnrollment { .. }
    | Cause::AccountOfAnother { .. }
    | Cause::NotInDirectoryGroup { .. }
    | Cause::PasswordsOff
    | Cause::UnreadableBasic(_)
    | Cause::NotEnrolledByPassword(_)
    | Cause::WrongPassword(_)
    | Cause::KeyChanged { .. }
    | Cause::KeyOfAnother { .. } => (),
};
