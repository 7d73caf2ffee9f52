//! Devices that prove themselves by tokens.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall::client::Answer;
use landfall::server::Server;
use landfall_attestation::symmetric_key::SymmetricKey;
use landfall_domain::clock::Ambient;
use landfall_tests::world::{Device, World, group, json_of, tracking_id};
use serde_json::{Value, json};

const MINUTE: u64 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn a_device_registers_with_its_own_key_and_polls_with_the_same_token() {
    let world = World::new().await;
    let told = world.put("enrollments/meter-1", &shared(json!({}))).await;
    let keys = [key_of(&told, "primaryKey"), key_of(&told, "secondaryKey")];
    world.record("meter-1", None).await;
    let device = world.shown("meter-1", None);
    for key in &keys {
        let token = token(&world, "meter-1", key, MINUTE);
        let answer = register(&device, &token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let state = &json_of(&answer)["registrationState"];
        assert_eq!((&state["assignedHub"], &state["deviceId"]), (&json!("hub-1.example"), &json!("meter-1")));
        assert!(state.get("x509").is_none() && state.get("symmetricKey").is_none(), "{state}");
    }
    let token = token(&world, "meter-1", &keys[0], MINUTE);
    let accepted = device.send("PUT", "/register", &[("authorization", &token)], "{}".to_owned()).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let operation = json_of(&accepted)["operationId"].as_str().unwrap().to_owned();
    let headers = [("authorization", token.as_str()), ("prefer", "wait=20")];
    let polled = device.send("GET", &format!("/operations/{operation}"), &headers, "{}".to_owned()).await;
    assert_eq!(json_of(&polled)["status"], "assigned", "{polled:?}");
    let decision = world.ledger(&tracking_id(&register(&device, &token).await)).await;
    let factors = &decision["kind"]["decided"]["factors"];
    assert_eq!(factors["credential"], "symmetric key of the individual enrollment", "{factors}");
    assert_eq!(decision["kind"]["decided"]["device"]["attestation"], "symmetric-key");
}

/// A token names no group and is tried with the keys of all: how many there are bounds what a stranger's token costs.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_scope_has_so_many_groups_and_no_more() {
    let world = World::with(|config| config.limits.store.groups_per_scope = 3).await;
    let path = |id: &str| format!("/api/v1/scopes/{}/enrollment-groups/{id}", world.scope);
    let put = async |id: &str| world.manage("PUT", &path(id), shared(json!({})).to_string().as_bytes()).await;
    let there = world.get(&format!("/api/v1/scopes/{}/enrollment-groups", world.scope)).await;
    let free = 3 - there["items"].as_array().unwrap().len();
    assert!(free > 0, "{there}");
    for number in 0..free {
        assert_eq!(put(&format!("g-{number}")).await.status, 201);
    }
    let refused = put("one-more").await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.bytes).contains("limits.store.groups_per_scope"), "{refused:?}");
    assert_eq!(put("g-0").await.status, 200, "one that is there can be changed");
    assert_eq!(world.manage("PUT", "/api/v1/scopes/0neOTHER", b"").await.status, 201);
    let elsewhere = "/api/v1/scopes/0neOTHER/enrollment-groups/g";
    let answer = world.manage("PUT", elsewhere, shared(json!({})).to_string().as_bytes()).await;
    assert_eq!(answer.status, 201, "another scope has its own: {answer:?}");
    assert_eq!(world.manage("DELETE", &path("g-0"), b"").await.status, 204);
    assert_eq!(put("one-more").await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn among_very_many_groups_a_device_is_found_by_its_key_while_strangers_try_theirs() {
    let world = World::new().await;
    for number in 0..40 {
        world.put(&format!("enrollment-groups/g-{number:02}"), &shared(json!({}))).await;
    }
    let told = world.put("enrollment-groups/z", &shared(json!({}))).await;
    let key = key_of(&told, "primaryKey").derive("meter-1");
    world.record("meter-1", None).await;
    let device = world.shown("meter-1", None);
    let good = token(&world, "meter-1", &key, MINUTE);
    let forged = token(&world, "meter-1", &SymmetricKey::parse(&STANDARD.encode([7; 32])).unwrap(), MINUTE);
    let flood: Vec<_> = (0..30)
        .map(|_| {
            let (device, forged) = (device.clone(), forged.clone());
            tokio::spawn(async move { register(&device, &forged).await.status.as_u16() })
        })
        .collect();
    assert_eq!(register(&device, &good).await.status, 200);
    for one in flood {
        assert_eq!(one.await.unwrap(), 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_devices_of_a_group_have_keys_derived_from_its_two() {
    let world = World::new().await;
    let told = world.put("enrollment-groups/meters", &shared(json!({}))).await;
    for (number, key) in ["primaryKey", "secondaryKey"].into_iter().enumerate() {
        let (id, group) = (format!("Meter-{number}"), key_of(&told, key));
        world.record(&id, None).await;
        let device = world.shown(&id, None);
        for from in [id.clone(), id.to_lowercase()] {
            let answer = register(&device, &token(&world, &id, &group.derive(&from), MINUTE)).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let state = &json_of(&answer)["registrationState"];
            assert_eq!(state["symmetricKey"], json!({ "enrollmentGroupId": "meters" }), "{state}");
        }
        refused(&world, &register(&device, &token(&world, &id, &group, MINUTE)).await, "not-enrolled-by-key").await;
        let another = token(&world, &id, &group.derive("meter-9"), MINUTE);
        refused(&world, &register(&device, &another).await, "not-enrolled-by-key").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_right_is_refused_and_the_operator_reads_why() {
    let world = World::new().await;
    let told = world.put("enrollments/meter-1", &shared(json!({}))).await;
    let key = key_of(&told, "primaryKey");
    world.record("meter-1", None).await;
    let device = world.shown("meter-1", None);
    let good = token(&world, "meter-1", &key, MINUTE);
    let other = SymmetricKey::parse(&STANDARD.encode([7; 32])).unwrap();
    let expired = signed(&world, "meter-1", &key, now() - 3600);
    for (header, cause) in [
        ("Digest abc".to_owned(), "unreadable-token"),
        (good.replace("&se=", "&st="), "unreadable-token"),
        (good.replace("se=", "se=1&se="), "unreadable-token"),
        (token(&world, "meter-2", &key, MINUTE), "token-for-another"),
        (good.replace("0neTEST", "0neOTHER"), "token-for-another"),
        (expired, "token-expired"),
        (signed(&world, "meter-1", &key, now() + 20 * 365 * 86_400), "token-without-end"),
        (token(&world, "meter-1", &other, MINUTE), "token-not-signed"),
        (good.replace("&se=17", "&se=18"), "token-not-signed"),
    ] {
        refused(&world, &register(&device, &header).await, cause).await;
    }
    let twice = [("authorization", good.as_str()), ("authorization", good.as_str()), ("prefer", "wait=20")];
    refused(&world, &device.send("PUT", "/register", &twice, "{}".to_owned()).await, "unreadable-token").await;
    assert_eq!(register(&device, &good).await.status, 200);

    // The other mechanism, both ways.
    let shows_a_certificate = world.device("meter-1").await;
    refused(&world, &shows_a_certificate.register().await, "other-mechanism").await;
    let issued = world.factory.device("pump-1", Ambient::system().now(), 30).unwrap();
    let mut pinned = group("factory");
    pinned["x509"] = json!({ "certificates": { "primary": issued.certificate_pem } });
    world.put("enrollments/pump-1", &pinned).await;
    let pump = world.shown("pump-1", None);
    refused(&world, &register(&pump, &token(&world, "pump-1", &key, MINUTE)).await, "other-mechanism").await;

    // The record demands what a token cannot show; and there is none.
    world.record("meter-1", Some(landfall_domain::names::Digest::of(b"a certificate"))).await;
    refused(&world, &register(&device, &good).await, "evidence-mismatch").await;
    let told = world.put("enrollments/meter-3", &shared(json!({}))).await;
    let unknown = token(&world, "meter-3", &key_of(&told, "primaryKey"), MINUTE);
    refused(&world, &register(&world.shown("meter-3", None), &unknown).await, "no-manufacturing-record").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_enrollment_hides_the_group_that_would_take_its_device() {
    let world = World::new().await;
    let told = world.put("enrollment-groups/meters", &shared(json!({}))).await;
    let derived = key_of(&told, "primaryKey").derive("meter-1");
    world.record("meter-1", None).await;
    let device = world.shown("meter-1", None);
    let token = token(&world, "meter-1", &derived, MINUTE);
    assert_eq!(register(&device, &token).await.status, 200);
    let own = json!({ "primaryKey": derived.to_base64().expose(), "secondaryKey": derived.to_base64().expose() });
    let mut disabled = shared(own);
    disabled["enabled"] = json!(false);
    world.put("enrollments/meter-1", &disabled).await;
    refused(&world, &register(&device, &token).await, "enrollment-disabled").await;
    disabled["symmetricKey"] = json!({});
    disabled["enabled"] = json!(true);
    world.put("enrollments/meter-1", &disabled).await;
    assert_eq!(register(&device, &token).await.status, 200, "the keys that stood were kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_told_once_and_kept_until_others_are_given() {
    let world = World::new().await;
    let told = world.put("enrollment-groups/meters", &shared(json!({}))).await;
    let path = format!("/api/v1/scopes/{}/enrollment-groups/meters", world.scope);
    let mut read = world.get(&path).await;
    assert_eq!(read["symmetricKey"], json!({}));
    read["initialTwin"] = json!({ "tags": { "a": 1 } });
    let again = world.put("enrollment-groups/meters", &read).await;
    assert_eq!(again["symmetricKey"], json!({}), "what was read can be sent back, and changes no key");
    let (id, primary) = ("meter-1", key_of(&told, "primaryKey"));
    world.record(id, None).await;
    let device = world.shown(id, None);
    assert_eq!(register(&device, &token(&world, id, &primary.derive(id), MINUTE)).await.status, 200);

    let new = STANDARD.encode([9; 32]);
    let changed = world.put("enrollment-groups/meters", &shared(json!({ "primaryKey": new }))).await;
    assert_eq!(changed["symmetricKey"], json!({ "primaryKey": new }), "the key that stays is not told again");
    let secondary = key_of(&told, "secondaryKey");
    let old = token(&world, id, &primary.derive(id), MINUTE);
    refused(&world, &register(&device, &old).await, "not-enrolled-by-key").await;
    for key in [SymmetricKey::parse(&new).unwrap(), secondary] {
        assert_eq!(register(&device, &token(&world, id, &key.derive(id), MINUTE)).await.status, 200);
    }
    let bad = world.manage("PUT", &path, shared(json!({ "primaryKey": "c2hvcnQ=" })).to_string().as_bytes()).await;
    assert_eq!(bad.status, 400);
    let wrong = json_of(&bad);
    assert_eq!(wrong["errors"][0]["pointer"], "/symmetricKey/primaryKey", "{wrong}");
    assert!(!bad.bytes.windows(8).any(|window| window == b"c2hvcnQ="), "what may be most of a key is not repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_sealed_in_the_database_and_can_be_sealed_anew() {
    let mut world = World::new().await;
    let told = world.put("enrollment-groups/meters", &shared(json!({}))).await;
    let own = world.put("enrollments/own", &shared(json!({}))).await;
    world.record("meter-1", None).await;
    world.record("own", None).await;
    let derived = key_of(&told, "primaryKey").derive("meter-1");
    let own = key_of(&own, "secondaryKey");
    let folder = world.folder.clone();
    world.restart().await;
    let database = std::fs::read(folder.database()).unwrap();
    for key in [key_of(&told, "primaryKey"), key_of(&told, "secondaryKey"), own.clone()] {
        let bytes = key.expose();
        assert!(!database.windows(bytes.len()).any(|window| window == bytes), "a key stands in the database");
    }
    let before = std::fs::read(folder.sealing_key()).unwrap();
    let told = world.stopped_for(&["secrets", "rotate"]).await;
    assert!(told.contains("2 enrollments are sealed with a new key"), "{told}");
    assert_ne!(std::fs::read(folder.sealing_key()).unwrap(), before);
    assert_eq!(std::fs::read(folder.former_sealing_key()).unwrap(), before);
    for (id, key) in [("meter-1", &derived), ("own", &own)] {
        let answer = register(&world.shown(id, None), &token(&world, id, key, MINUTE)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    // With the wrong key nothing is lost, and the operator reads what is the matter.
    let right = std::fs::read(folder.sealing_key()).unwrap();
    std::fs::write(folder.sealing_key(), &before).unwrap();
    world.restart().await;
    let answer = register(&world.shown("own", None), &token(&world, "own", &own, MINUTE)).await;
    refused(&world, &answer, "keys-not-opened").await;
    std::fs::write(folder.sealing_key(), right).unwrap();
    world.restart().await;
    assert_eq!(register(&world.shown("own", None), &token(&world, "own", &own, MINUTE)).await.status, 200);

    // A rotation that was cut short is finished before anything is served.
    std::fs::write(folder.next_sealing_key(), [1; 32]).unwrap();
    let config = world.server().service.config().clone();
    let (_place, _) = world.stop().await;
    let error = Server::start(&folder, config.clone(), Ambient::system()).await.err().unwrap().to_string();
    assert!(error.contains("landfall secrets rotate"), "{error}");

    // A key that is gone is not made anew over secrets that need it.
    std::fs::remove_file(folder.next_sealing_key()).unwrap();
    std::fs::remove_file(folder.sealing_key()).unwrap();
    let error = Server::start(&folder, config, Ambient::system()).await.err().unwrap().to_string();
    assert!(error.contains("bring it back") && !folder.sealing_key().exists(), "{error}");
}

/// An enrollment or a group with symmetric keys.
/// Two who change one enrollment at once: whoever gives a new key has given it, and who gives none keeps what stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_never_lost_to_a_change_beside_it() {
    let world = World::new().await;
    for (place, id) in [("enrollments/meter-1", "meter-1"), ("enrollment-groups/meters", "meter-2")] {
        world.put(place, &shared(json!({}))).await;
        world.record(id, None).await;
        for round in 0..30_u8 {
            let key = SymmetricKey::parse(&STANDARD.encode([round + 1; 32])).unwrap();
            let rotated = shared(json!({ "primaryKey": key.to_base64().expose() }));
            let mut disabled = shared(json!({}));
            disabled["enabled"] = json!(false);
            tokio::join!(world.put(place, &rotated), world.put(place, &disabled), world.put(place, &disabled));
            world.put(place, &shared(json!({}))).await;
            let own = if id == "meter-2" { key.derive(id) } else { key };
            let answer = register(&world.shown(id, None), &token(&world, id, &own, MINUTE)).await;
            assert_eq!(answer.status, 200, "{place}, round {round}: {answer:?}");
        }
    }
}

fn shared(keys: Value) -> Value {
    let mut enrollment = group("factory");
    enrollment.as_object_mut().unwrap().remove("x509");
    enrollment["symmetricKey"] = keys;
    enrollment
}

fn key_of(told: &Value, name: &str) -> SymmetricKey {
    SymmetricKey::parse(told["symmetricKey"][name].as_str().unwrap_or_else(|| panic!("{told}"))).unwrap()
}

fn now() -> u64 {
    Ambient::system().now().as_secs()
}

fn token(world: &World, id: &str, key: &SymmetricKey, lives: u64) -> String {
    signed(world, id, key, now() + lives)
}

fn signed(world: &World, id: &str, key: &SymmetricKey, expires: u64) -> String {
    let resource = format!("{}%2Fregistrations%2F{id}", world.scope);
    let text = format!("{resource}\n{expires}");
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), text.as_bytes());
    let signature = STANDARD.encode(signature).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("SharedAccessSignature sr={resource}&sig={signature}&se={expires}&skn=registration")
}

async fn register(device: &Device, token: &str) -> Answer {
    device.send("PUT", "/register", &[("authorization", token), ("prefer", "wait=20")], "{}".to_owned()).await
}

async fn refused(world: &World, answer: &Answer, cause: &str) {
    assert_eq!(answer.status, 401, "{cause}: {answer:?}");
    let body = json_of(answer);
    assert_eq!((&body["errorCode"], &body["message"]), (&json!(401_002), &json!("Unauthorized")), "{cause}");
    let entry = world.ledger(&tracking_id(answer)).await;
    assert_eq!(entry["kind"]["refused"]["cause"], cause, "{entry}");
}
