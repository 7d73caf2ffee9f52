//! Certificates that their authority has taken back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall::client::Answer;
use landfall::tls::Identity;
use landfall_attestation::x509::make::{Authority, Issued};
use landfall_domain::clock::Ambient;
use landfall_tests::https::Place;
use landfall_tests::world::{Device, World, group, json_of, tracking_id};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer as _, X509Certificate};

mod changes;
mod holds;
mod issuers;
mod lists;

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_on_its_authoritys_list_is_refused_and_no_other() {
    let world = World::new().await;
    let now = Ambient::system().now();
    let (lost, kept) = (issued(&world.factory, "lost"), issued(&world.factory, "kept"));
    for id in ["lost", "kept"] {
        world.record(id, None).await;
    }
    let (lost_device, kept_device) = (world.stranger("lost", &lost), world.stranger("kept", &kept));
    assert_eq!(lost_device.register().await.status, 200);

    let list = world.factory.revocation_list(&[serial(&lost.certificate_der)], now, 7).unwrap();
    let shown = put(&world, "factory", &list).await;
    assert_eq!(shown["crl"]["revoked"], 1, "{shown}");
    refused(&world, &lost_device, "is revoked").await;
    assert_eq!(kept_device.register().await.status, 200);

    let empty = world.factory.revocation_list(&[], now, 7).unwrap();
    put(&world, "factory", &empty).await;
    assert_eq!(lost_device.register().await.status, 200, "the newest list counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_in_the_middle_that_was_taken_back_takes_its_devices_with_it() {
    let world = World::new().await;
    let now = Ambient::system().now();
    let line = world.factory.intermediate("Line 3", now, 30).unwrap();
    let issued = issued(&line, "below");
    world.record("below", None).await;
    let device = world.chained("below", &issued, &[&line]);
    assert_eq!(device.register().await.status, 200);
    let list = world.factory.revocation_list(&[serial(&line.certificate_der)], now, 7).unwrap();
    put(&world, "factory", &list).await;
    refused(&world, &device, "\"CN=Line 3\" is revoked").await;

    // Also as the authority that a group rests on.
    world.upload_authority("line-3", &line).await;
    world.put("enrollment-groups/line-3", &group("line-3")).await;
    refused(&world, &device, "is revoked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_out_of_date_counts_for_its_grace_and_then_nobody_knows() {
    let mut world = World::new().await;
    let now = Ambient::system().now();
    let device = world.device("pump-1").await;
    let list = world.factory.revocation_list(&[], now, -2).unwrap();
    put(&world, "factory", &list).await;
    assert_eq!(device.register().await.status, 200, "three days of grace");
    world.restart_with(|config| config.certificates.stale_crl_hours = 24).await;
    let device = world.shown_again(&device);
    refused(&world, &device, "out of date since").await;
    let path = format!("/api/v1/scopes/{}/authorities/factory/crl", world.scope);
    assert_eq!(world.manage("DELETE", &path, b"").await.status, 204);
    assert_eq!(device.register().await.status, 200);
    assert_eq!(world.manage("DELETE", &path, b"").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_not_the_authoritys_own_is_not_taken() {
    let world = World::new().await;
    let now = Ambient::system().now();
    let stranger = Authority::root("Somebody's CA", now, 30).unwrap();
    let namesake = Authority::root("Test Factory CA", now, 30).unwrap();
    let good = world.factory.revocation_list(&[vec![1]], now, 7).unwrap();
    let mut changed = good.clone();
    let at = changed.len() - 3;
    changed[at] ^= 1;
    for (list, says) in [
        (stranger.revocation_list(&[], now, 7).unwrap(), "not by this authority"),
        (namesake.revocation_list(&[], now, 7).unwrap(), "not signed by the authority's key"),
        (changed, "not signed by the authority's key"),
        (good[..good.len() / 2].to_vec(), "no certificate revocation list"),
        ([good.clone(), vec![0]].concat(), "bytes follow it"),
        (Vec::new(), "/crl"),
    ] {
        let path = format!("/api/v1/scopes/{}/authorities/factory/crl", world.scope);
        let answer = world.manage("PUT", &path, json!({ "crl": STANDARD.encode(&list) }).to_string().as_bytes()).await;
        assert_eq!(answer.status, 400, "{says}: {answer:?}");
        assert!(json_of(&answer).to_string().contains(says), "{says}: {answer:?}");
    }
    assert_eq!(world.device("pump-1").await.register().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_taken_again_where_the_group_says_so_and_with_the_key_that_it_had_only() {
    let world = World::new().await;
    let now = Ambient::system().now();
    // Good for one more second or two.
    let params = |seconds: i64| {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "stored");
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        let start = time::OffsetDateTime::from_unix_timestamp(i64::try_from(now.as_secs()).unwrap()).unwrap();
        (params.not_before, params.not_after) =
            (start - time::Duration::days(9), start + time::Duration::seconds(seconds));
        params
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let shown = |seconds: i64, key: &rcgen::KeyPair| Identity {
        chain: vec![world.factory.sign(params(seconds), key).unwrap().into()],
        key: rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into()),
    };
    world.record("stored", None).await;
    let good = world.shown("stored", Some(shown(3600, &key)));
    let expired = world.shown("stored", Some(shown(-3600, &key)));
    let mut tolerant = group("factory");
    tolerant["expiredCertificates"] = json!("reprovision");
    world.put("enrollment-groups/devices", &tolerant).await;
    refused(&world, &expired, "expired at").await;
    assert_eq!(good.register().await.status, 200);
    assert_eq!(expired.register().await.status, 200, "it registered before, with this key");
    let other = world.shown("stored", Some(shown(-3600, &rcgen::KeyPair::generate().unwrap())));
    refused(&world, &other, "expired at").await;
    world.put("enrollment-groups/devices", &group("factory")).await;
    refused(&world, &expired, "expired at").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_fetched_from_where_an_operator_says_and_none_takes_an_older_ones_place() {
    let world = World::new().await;
    let place = Place::start().await;
    let now = Ambient::system().now();
    let lost = issued(&world.factory, "lost");
    world.record("lost", None).await;
    let device = world.stranger("lost", &lost);
    let list = world.factory.revocation_list(&[serial(&lost.certificate_der)], now, 7).unwrap();
    place.answers(200, &list);
    let source = |minutes: u64| json!({ "crlUrl": place.url("/factory.crl"), "crlRefreshMinutes": minutes, "crlCaCertificate": place.certificate });
    revocation(&world, &source(60)).await;
    until(&world, |shown| shown["crl"]["revoked"] == 1).await;
    refused(&world, &device, "is revoked").await;
    assert_eq!(place.asked(), 1);

    // An older list, another's and none at all: what is there stays, and the operator is told.
    let older = landfall_domain::clock::Timestamp::from_millis(now.as_millis() - 3_600_000);
    let old = world.factory.revocation_list(&[], older, 7).unwrap();
    let others = Authority::root("Somebody's CA", now, 30).unwrap().revocation_list(&[], now, 7).unwrap();
    for (minutes, status, body, says) in [
        (61, 200, old, "older than the list that is there"),
        (62, 200, others, "not by this authority"),
        (63, 503, Vec::new(), "status 503"),
        (64, 200, vec![0xff; 100], "no certificate revocation list"),
    ] {
        place.answers(status, &body);
        revocation(&world, &source(minutes)).await;
        let told = |shown: &Value| shown["revocation"]["crlTrouble"].as_str().is_some_and(|told| told.contains(says));
        let shown = until(&world, told).await;
        assert_eq!(shown["crl"]["revoked"], 1, "{says}: {shown}");
    }
    refused(&world, &device, "is revoked").await;
    let later = landfall_domain::clock::Timestamp::from_millis(now.as_millis() + 60_000);
    let text = world.factory.revocation_list(&[], later, 7).unwrap();
    place.answers(
        200,
        format!("-----BEGIN X509 CRL-----\n{}\n-----END X509 CRL-----\n", STANDARD.encode(text)).as_bytes(),
    );
    revocation(&world, &source(65)).await;
    let shown = until(&world, |shown| shown["crl"]["revoked"] == 0).await;
    assert_eq!(shown["revocation"].get("crlTrouble"), None, "{shown}");
    assert_eq!(device.register().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_that_is_expected_nobody_knows_unless_an_operator_rather_has_it_so() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    let place = Place::start().await;
    let source = json!({ "crlUrl": place.url("/none"), "crlCaCertificate": place.certificate, "crlUnchecked": true });
    revocation(&world, &source).await;
    refused(&world, &device, "out of date since it was never there").await;
    revocation(&world, &json!({ "whenStale": "warn" })).await;
    assert_eq!(device.register().await.status, 200);
    revocation(&world, &json!({ "whenStale": "refuse" })).await;
    refused(&world, &device, "out of date").await;
    revocation(&world, &json!({ "crlUrl": "" })).await;
    assert_eq!(device.register().await.status, 200);
    // What is on a list that is out of date is revoked all the same.
    let lost = issued(&world.factory, "lost");
    world.record("lost", None).await;
    let now = Ambient::system().now();
    put(&world, "factory", &world.factory.revocation_list(&[serial(&lost.certificate_der)], now, -30).unwrap()).await;
    let shown = revocation(&world, &json!({ "whenStale": "warn" })).await;
    assert_eq!(shown["crl"]["stale"], true, "{shown}");
    refused(&world, &world.stranger("lost", &lost), "is revoked").await;
    assert_eq!(device.register().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_revokes_numbers_and_whole_authorities_at_once_without_their_keys() {
    let world = World::new().await;
    let now = Ambient::system().now();
    let line = world.factory.intermediate("Line 3", now, 30).unwrap();
    let (lost, below) = (issued(&world.factory, "lost"), issued(&line, "below"));
    for id in ["lost", "below"] {
        world.record(id, None).await;
    }
    let (device, below) = (world.stranger("lost", &lost), world.chained("below", &below, &[&line]));
    assert_eq!(device.register().await.status, 200);
    let number = hex(&serial(&lost.certificate_der));
    // On a connection that is open already too: it is the next request that is judged.
    let mut open = device.connect().await.unwrap();
    let shown = revocation(&world, &json!({ "revokeSerials": [{ "from": number }] })).await;
    assert_eq!(shown["revocation"]["serials"].as_array().unwrap().len(), 1, "{shown}");
    let headers = landfall::client::headers(&[("prefer", "wait=20")]);
    let answer = open.send("PUT".parse().unwrap(), &device.path("/register"), headers, b"{}".to_vec()).await.unwrap();
    assert_eq!(answer.status, 401, "{answer:?}");
    refused(&world, &device, "among those that an operator has revoked").await;
    assert_eq!(below.register().await.status, 200);
    let all = json!([{ "from": "0", "to": "F".repeat(40) }]);
    revocation(&world, &json!({ "revokeSerials": all })).await;
    refused(&world, &below, "\"CN=Line 3\" is revoked").await;
    revocation(&world, &json!({ "restoreSerials": all })).await;
    refused(&world, &device, "among those that an operator has revoked").await;
    revocation(&world, &json!({ "restoreSerials": [{ "from": number }] })).await;
    assert_eq!(
        (device.register().await.status, below.register().await.status),
        (200.try_into().unwrap(), 200.try_into().unwrap())
    );

    revocation(&world, &json!({ "revoked": true })).await;
    refused(&world, &device, "is revoked by an operator").await;
    refused(&world, &below, "is revoked by an operator").await;
    revocation(&world, &json!({ "revoked": false })).await;
    assert_eq!(device.register().await.status, 200);
    // The one in the middle alone.
    world.upload_authority("line-3", &line).await;
    world.put("authorities/line-3/revocation", &json!({ "revoked": true })).await;
    assert_eq!(device.register().await.status, 200);
    refused(&world, &below, "\"CN=Line 3\" is revoked by an operator").await;

    let path = format!("/api/v1/scopes/{}/authorities/factory/revocation", world.scope);
    for (body, pointer) in [
        (json!({ "revokeSerials": [{ "from": "x" }] }), "/revokeSerials/0/from"),
        (json!({ "restoreSerials": [{ "from": "2", "to": "1" }] }), "/restoreSerials/0/to"),
        (json!({ "crlUrl": "ftp://pki.example/x" }), "/crlUrl"),
        (json!({ "crlRefreshMinutes": 5 }), "/crlUrl"),
        (json!({ "crlUrl": "https://pki.example/x", "crlRefreshMinutes": 0 }), "/crlRefreshMinutes"),
    ] {
        let answer = world.manage("PUT", &path, body.to_string().as_bytes()).await;
        assert_eq!(json_of(&answer)["errors"][0]["pointer"], pointer, "{answer:?}");
    }
}

async fn revocation(world: &World, said: &Value) -> Value {
    world.put("authorities/factory/revocation", said).await
}

/// The authority as soon as it is so.
async fn until(world: &World, so: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/api/v1/scopes/{}/authorities/factory", world.scope);
    for _ in 0..500 {
        let shown = world.get(&path).await;
        if so(&shown) {
            return shown;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("it never was: {}", world.get(&path).await)
}

fn issued(authority: &Authority, id: &str) -> Issued {
    authority.device(id, Ambient::system().now(), 30).unwrap()
}

/// The serial number as it stands in the DER.
fn serial(der: &[u8]) -> Vec<u8> {
    X509Certificate::from_der(der).unwrap().1.raw_serial().to_vec()
}

async fn put(world: &World, authority: &str, list: &[u8]) -> Value {
    world.put(&format!("authorities/{authority}/crl"), &json!({ "crl": STANDARD.encode(list) })).await
}

async fn refused(world: &World, device: &Device, says: &str) {
    let answer = device.register().await;
    assert_eq!(answer.status, 401, "{answer:?}");
    let detail = tracked(world, &answer).await;
    assert!(detail.contains(says), "{detail}");
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Why a device was refused.
async fn tracked(world: &World, answer: &Answer) -> String {
    let entry = world.ledger(&tracking_id(answer)).await;
    entry["kind"]["refused"]["detail"].as_str().unwrap().to_owned()
}
