//! Certificates that their authority has taken back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall::clock::Ambient;
use landfall::tls::Identity;
use landfall::tls::make::{Authority, Issued};
use landfall_tests::world::{Device, World, group, json_of, tracking_id};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer as _, X509Certificate};

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
    let entry = world.ledger(&tracking_id(&answer)).await;
    let detail = entry["kind"]["refused"]["detail"].as_str().unwrap();
    assert!(detail.contains(says), "{detail}");
}
