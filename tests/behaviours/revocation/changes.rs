//! What an operator does to an authority in use: nothing is lost, and nothing is changed by accident.

use landfall::client::{self, Client};
use landfall_attestation::x509::make::Authority;
use landfall_attestation::x509::pem;
use landfall_domain::clock::Ambient;
use landfall_tests::world::{World, group, json_of};
use serde_json::{Value, json};

use super::{issued, put, revocation, serial};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_certificate_uploaded_over_an_authority_in_use_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let now = Ambient::system().now();
    let device = world.device("pump-1").await;
    let wrong = Authority::root("Wrong CA", now, 30).unwrap();
    let other_key = Authority::root("Test Factory CA", now, 30).unwrap();
    let list = world.factory.revocation_list(&[vec![7]], now, 7).unwrap();
    put(&world, "factory", &list).await;
    let before = shown(&world, "factory").await;
    for certificate in [&wrong.certificate_pem, &other_key.certificate_pem] {
        for path in ["authorities/factory", "authorities/factory?replace=true"] {
            let (status, said) = upload(&world, path, certificate).await;
            assert_eq!(status, 409, "{said}");
            let detail = said["detail"].as_str().unwrap();
            assert!(detail.contains("enrollment group devices") && detail.contains("--secondary-ca"), "{detail}");
        }
    }
    let (status, again) = upload(&world, "authorities/factory", &world.factory.certificate_pem).await;
    assert_eq!((status, again), (200, before), "the same certificate changes nothing");
    assert_eq!(device.register().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_nothing_rests_on_is_replaced_when_that_is_said_and_begins_unproven() {
    let world = World::new().await;
    let now = Ambient::system().now();
    let (first, second) = (Authority::root("One", now, 30).unwrap(), Authority::root("Two", now, 30).unwrap());
    world.upload_authority("spare", &first).await;
    world.put("authorities/spare/revocation", &json!({ "revoked": true })).await;
    let (status, said) = upload(&world, "authorities/spare", &second.certificate_pem).await;
    assert_eq!(status, 409, "{said}");
    assert!(said["detail"].as_str().unwrap().contains("--replace"), "{said}");
    let (status, now_there) = upload(&world, "authorities/spare?replace=true", &second.certificate_pem).await;
    assert_eq!((status, &now_there["verified"]), (200, &json!(false)), "{now_there}");
    assert_eq!(now_there["revocation"]["revoked"], false, "it is another authority: {now_there}");
    // What was said of the first one waits for it, under whatever name.
    let (_, back) = upload(&world, "authorities/one-again", &first.certificate_pem).await;
    assert_eq!(back["revocation"]["revoked"], true, "{back}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_of_an_authority_is_one_thing_under_all_its_names_and_certificates() {
    let world = World::new().await;
    let lost = issued(&world.factory, "lost");
    world.record("lost", None).await;
    let device = world.stranger("lost", &lost);
    let key = rcgen::KeyPair::from_pem(&world.factory.key_pem()).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Test Factory CA");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let renewed = params.self_signed(&key).unwrap().pem();
    upload(&world, "authorities/factory-2", &renewed).await;
    let number = super::hex(&serial(&lost.certificate_der));
    world.put("authorities/factory-2/revocation", &json!({ "revokeSerials": [{ "from": number }] })).await;
    assert_eq!(device.register().await.status, 401);
    assert_eq!(shown(&world, "factory").await["revocation"]["serials"].as_array().unwrap().len(), 1);
    revocation(&world, &json!({ "restoreSerials": [{ "from": number }] })).await;
    assert_eq!(device.register().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_of_what_was_not_revoked_so_says_so_and_changes_nothing() {
    let world = World::new().await;
    revocation(&world, &json!({ "revokeSerials": [{ "from": "10", "to": "1F" }] })).await;
    let path = format!("/api/v1/scopes/{}/authorities/factory/revocation", world.scope);
    // All commands of a request, or none.
    let body = json!({ "revoked": true, "restoreSerials": [{ "from": "12" }] });
    let answer = world.manage("PUT", &path, body.to_string().as_bytes()).await;
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(json_of(&answer)["detail"].as_str().unwrap().contains("12 was not revoked so"), "{answer:?}");
    let said = shown(&world, "factory").await["revocation"].clone();
    assert_eq!((&said["revoked"], &said["serials"]), (&json!(false), &json!([{ "from": "10", "to": "1F" }])), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_names_a_version_of_an_authority_changes_no_other() {
    let world = World::new().await;
    let path = format!("/api/v1/scopes/{}/authorities/factory", world.scope);
    let seen = world.manage("GET", &path, b"").await.header("etag").unwrap().to_owned();
    revocation(&world, &json!({ "revokeSerials": [{ "from": "10" }] })).await;
    let since = world.manage("GET", &path, b"").await.header("etag").unwrap().to_owned();
    assert_ne!(seen, since);
    let body = json!({ "revokeSerials": [{ "from": "11" }] }).to_string();
    for (tag, status) in [(&seen, 412), (&since, 200), (&since, 412)] {
        let answer = put_if(&world, &format!("{path}/revocation"), tag, &body).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let body = json!({ "certificate": world.factory.certificate_pem }).to_string();
    assert_eq!(put_if(&world, &path, &since, &body).await.status, 412);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_that_an_authority_is_revoked_through_one_above_it() {
    let world = World::new().await;
    let now = Ambient::system().now();
    let line = world.factory.intermediate("Line 3", now, 30).unwrap();
    world.upload_authority("line-3", &line).await;
    assert_eq!(shown(&world, "line-3").await["revocation"].get("refusedBecause"), None);
    revocation(&world, &json!({ "revoked": true })).await;
    let why = shown(&world, "line-3").await["revocation"]["refusedBecause"].clone();
    assert!(why.as_str().unwrap().contains("\"CN=Test Factory CA\" is revoked"), "{why}");
}

/// An authority that two have certified is sound while one of the two certificates is.
#[tokio::test(flavor = "multi_thread")]
async fn a_good_path_beside_a_revoked_one_is_taken_in_whatever_order_it_is_sent() {
    let world = World::new().await;
    let now = Ambient::system().now();
    let line = world.factory.intermediate("Line 3", now, 30).unwrap();
    // Another certificate of the line's key, with a number of its own.
    let key = rcgen::KeyPair::from_pem(&line.key_pem()).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Line 3");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    params.serial_number = Some(rcgen::SerialNumber::from(77));
    let reissued = pem::text_of(&world.factory.sign(params, &key).unwrap());
    let reissued = Authority::load(&reissued, &line.key_pem()).unwrap();
    world.record("pump-7", None).await;
    let issued = issued(&line, "pump-7");
    revocation(&world, &json!({ "revokeSerials": [{ "from": super::hex(&serial(&line.certificate_der)) }] })).await;
    for sent in [[&line, &reissued], [&reissued, &line]] {
        let answer = world.chained("pump-7", &issued, &sent).register().await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    super::refused(&world, &world.chained("pump-7", &issued, &[&line]), "is revoked").await;
    // A group that rests on the certificate that was taken back has no other path.
    world.upload_authority("line-3", &line).await;
    world.put("enrollment-groups/line-3", &group("line-3")).await;
    super::refused(&world, &world.stranger("pump-7", &issued), "is revoked").await;
}

async fn upload(world: &World, what: &str, certificate_pem: &str) -> (u16, Value) {
    let path = format!("/api/v1/scopes/{}/{what}", world.scope);
    let body = json!({ "certificate": certificate_pem }).to_string();
    let answer = world.manage("PUT", &path, body.as_bytes()).await;
    (answer.status.as_u16(), json_of(&answer))
}

async fn shown(world: &World, name: &str) -> Value {
    world.get(&format!("/api/v1/scopes/{}/authorities/{name}", world.scope)).await
}

async fn put_if(world: &World, path: &str, tag: &str, body: &str) -> client::Answer {
    let mut client = Client::connect(world.server().management_addr, "localhost", world.tls(None)).await.unwrap();
    let bearer = format!("Bearer {}", world.operator_token);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("if-match", tag)];
    client.send(http::Method::PUT, path, client::headers(&headers), body.as_bytes().to_vec()).await.unwrap()
}
