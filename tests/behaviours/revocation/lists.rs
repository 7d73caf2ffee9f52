//! Which lists are taken, and which of two is the newer one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_tests::https::Place;
use landfall_tests::world::{World, json_of};
use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope, SerialNumber,
};
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::{issued, put, refused, revocation, serial, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_list_with_the_greater_number_counts_and_no_older_one_brings_a_device_back() {
    let world = World::new().await;
    let lost = issued(&world.factory, "lost");
    world.record("lost", None).await;
    let device = world.stranger("lost", &lost);
    put(&world, "factory", &list(&world, 5, -1, &[&lost.certificate_der], |_| {})).await;
    refused(&world, &device, "is revoked").await;
    // Made later by a clock that is wrong, and an older one.
    for (number, days) in [(3, 0), (3, -20), (5, -2)] {
        let older = list(&world, number, days, &[], |_| {});
        let (status, said) = bring(&world, STANDARD.encode(older)).await;
        assert_eq!(status, 409, "{said}");
        assert!(said.contains("older than the list that is there (CRLNumber 5"), "{said}");
    }
    refused(&world, &device, "is revoked").await;
    put(&world, "factory", &list(&world, 0x10, -2, &[], |_| {})).await;
    assert_eq!(device.register().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_the_future_is_not_taken() {
    let world = World::new().await;
    let (list, says) = (list(&world, 9, 3650, &[], |_| {}), "not valid before");
    let (status, said) = bring(&world, STANDARD.encode(&list)).await;
    assert!(status == 400 && said.contains(says), "{status} {said}");
    let place = Place::start().await;
    place.answers(200, &list);
    let source = json!({ "crlUrl": place.url("/x"), "crlCaCertificate": place.certificate, "crlUnchecked": true });
    revocation(&world, &source).await;
    let told = |trouble: &serde_json::Value| trouble.as_str().is_some_and(|told| told.contains(says));
    let shown = until(&world, |shown| told(&shown["revocation"]["crlTrouble"])).await;
    assert_eq!(shown.get("crl"), None, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_says_where_it_is_published_is_taken_and_one_of_a_part_is_not() {
    let world = World::new().await;
    let address = || CrlDistributionPoint { uris: vec!["http://pki.example/factory.crl".to_owned()] };
    let narrowed = |scope| {
        move |params: &mut CertificateRevocationListParams| {
            params.issuing_distribution_point =
                Some(CrlIssuingDistributionPoint { distribution_point: address(), scope });
        }
    };
    for (scope, says) in
        [(CrlScope::UserCertsOnly, "onlyContainsUserCerts"), (CrlScope::CaCertsOnly, "onlyContainsCACerts")]
    {
        let part = list(&world, 1, -1, &[], narrowed(Some(scope)));
        let (status, said) = bring(&world, STANDARD.encode(part)).await;
        assert!(status == 400 && said.contains(says), "{status} {said}");
    }
    let lost = issued(&world.factory, "lost");
    world.record("lost", None).await;
    let whole = list(&world, 2, -1, &[&lost.certificate_der], narrowed(None));
    put(&world, "factory", &whole).await;
    refused(&world, &world.stranger("lost", &lost), "is revoked").await;
    assert_eq!(world.device("pump-1").await.register().await.status, 200);

    // A certificate that is on lists at other addresses only may be on one that is not here.
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "elsewhere");
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.crl_distribution_points =
        vec![CrlDistributionPoint { uris: vec!["http://pki.example/other-part.crl".to_owned()] }];
    let certificate = world.factory.sign(params, &key).unwrap();
    let identity = landfall::tls::Identity {
        chain: vec![certificate.into()],
        key: rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into()),
    };
    world.record("elsewhere", None).await;
    let device = world.shown("elsewhere", Some(identity));
    refused(&world, &device, "may be the list of others").await;
    revocation(&world, &json!({ "whenStale": "warn" })).await;
    assert_eq!(device.register().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_in_every_form_that_tools_write_and_anything_else_is_refused_in_a_sentence() {
    let world = World::new().await;
    let pem = |der: &[u8]| format!("-----BEGIN X509 CRL-----\n{}\n-----END X509 CRL-----\n", STANDARD.encode(der));
    let text = "Certificate Revocation List (CRL):\n        Version 2 (0x1)\n";
    type Form = fn(&str) -> String;
    let forms: [Form; 5] = [
        |pem| pem.replace('\n', "\r\n"),
        |pem| format!("\u{feff}{pem}"),
        |pem| pem.replace("X509 CRL", "CRL"),
        |pem| format!("{pem}\n\nthat was it"),
        |pem| STANDARD.encode(pem),
    ];
    for (number, form) in (1..).zip(forms) {
        let list = format!("{text}{}", pem(&list(&world, number, -1, &[&number.to_string().into_bytes()], |_| {})));
        let (status, said) = bring(&world, form(&list)).await;
        assert_eq!(status, 200, "{number}: {said}");
        assert!(said.contains(&format!("\"number\":\"{number}\"")), "{said}");
    }
    let one = pem(&list(&world, 99, -1, &[], |_| {}));
    for (given, says) in [
        (one.repeat(2), "it holds 2 revocation lists"),
        (world.factory.certificate_pem.clone(), "it is a certificate, not the revocation list"),
        ("nonsense!".to_owned(), "no certificate revocation list (RFC 5280) in PEM"),
        (one[..one.len() / 2].to_owned(), "was the file cut?"),
    ] {
        let (status, said) = bring(&world, given).await;
        assert!(status == 400 && said.contains(says) && !said.contains('['), "{status} {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_fetched_over_http_where_the_operator_says_so() {
    let world = World::new().await;
    let lost = issued(&world.factory, "lost");
    world.record("lost", None).await;
    let place = Place::without_tls().await;
    place.answers(200, &list(&world, 1, -1, &[&lost.certificate_der], |_| {}));
    revocation(&world, &json!({ "crlUrl": place.url("/factory.crl") })).await;
    until(&world, |shown| shown["crl"]["revoked"] == 1).await;
    refused(&world, &world.stranger("lost", &lost), "is revoked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_place_of_a_list_that_was_removed_the_next_one_is_fetched_at_once() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    let place = Place::without_tls().await;
    place.answers(200, &list(&world, 1, -1, &[], |_| {}));
    let source = json!({ "crlUrl": place.url("/factory.crl"), "crlRefreshMinutes": 43_200 });
    revocation(&world, &source).await;
    until(&world, |shown| shown["crl"]["number"] == "1").await;
    place.answers(200, &list(&world, 2, -1, &[], |_| {}));
    let path = format!("/api/v1/scopes/{}/authorities/factory/crl", world.scope);
    assert_eq!(world.manage("DELETE", &path, b"").await.status, 204);
    until(&world, |shown| shown["crl"]["number"] == "2").await;
    assert_eq!(device.register().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_address_of_a_list_refuses_no_device_and_takes_no_list_away() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    let place = Place::without_tls().await;
    let path = format!("/api/v1/scopes/{}/authorities/factory", world.scope);
    let name = async |url: &str, unchecked: bool| {
        let body = json!({ "crlUrl": url, "crlUnchecked": unchecked }).to_string();
        let answer = world.manage("PUT", &format!("{path}/revocation"), body.as_bytes()).await;
        (answer.status.as_u16(), json_of(&answer).to_string())
    };
    // Nothing of the name, nothing at the address, and no list there.
    let closed = format!("http://localhost:{}/x", free_port());
    for (url, says) in [
        (place.url("/factory.crl"), "status 404"),
        (closed, "nothing answers"),
        ("http://pki.invalid/factory.crl".to_owned(), "pki.invalid"),
    ] {
        let (status, said) = name(&url, false).await;
        assert!(status == 422 && said.contains(says) && said.contains("nothing was changed"), "{status} {said}");
    }
    assert!(world.get(&path).await["revocation"].get("crlUrl").is_none());
    assert_eq!(device.register().await.status, 200, "a slip in an address refuses no factory");

    place.answers(200, &list(&world, 3, -1, &[&vec![7]], |_| {}));
    let (status, said) = name(&place.url("/factory.crl"), false).await;
    assert!(status == 200 && said.contains("\"number\":\"3\""), "it says what it has found: {said}");
    // Another address with an older list, or with none: the one that is there stays, and so does its address.
    let other = Place::without_tls().await;
    let (status, _) = name(&other.url("/factory.crl"), false).await;
    assert_eq!(status, 422);
    other.answers(200, &list(&world, 2, -1, &[], |_| {}));
    let (status, said) = name(&other.url("/factory.crl"), false).await;
    assert!(status == 409 && said.contains("older than the list that is there"), "{said}");
    let shown = world.get(&path).await;
    assert_eq!(
        (&shown["crl"]["number"], &shown["revocation"]["crlUrl"]),
        (&json!("3"), &json!(place.url("/factory.crl")))
    );
    assert_eq!(shown["revocation"].get("crlTrouble"), None, "{shown}");

    // Who insists keeps the list all the same, is told of the trouble, and of that address only.
    other.answers(404, b"");
    assert_eq!(name(&other.url("/factory.crl"), true).await.0, 200);
    let told =
        |shown: &serde_json::Value| shown["revocation"]["crlTrouble"].as_str().is_some_and(|it| it.contains("404"));
    let shown = until(&world, told).await;
    assert_eq!(shown["crl"]["number"], "3", "{shown}");
    assert_eq!(device.register().await.status, 200);
    let (status, said) = name(&place.url("/factory.crl"), false).await;
    assert!(status == 200 && !said.contains("crlTrouble"), "the trouble of another address: {said}");
}

/// A port on which nobody listens.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A list of the factory's, made so many days from now and good for 30, that revokes these certificates (DER) or numbers.
fn list(
    world: &World,
    number: u64,
    days: i64,
    revoked: &[&Vec<u8>],
    change: impl FnOnce(&mut CertificateRevocationListParams),
) -> Vec<u8> {
    let key = rcgen::KeyPair::from_pem(&world.factory.key_pem()).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_der(&world.factory.certificate_der.clone().into(), key).unwrap();
    let made = OffsetDateTime::from_unix_timestamp(
        i64::try_from(landfall_domain::clock::Ambient::system().now().as_secs()).unwrap(),
    )
    .unwrap()
        + Duration::days(days);
    let number_of = |one: &Vec<u8>| if one.len() > 20 { serial(one) } else { one.clone() };
    let revoked = revoked.iter().map(|one| rcgen::RevokedCertParams {
        serial_number: SerialNumber::from_slice(&number_of(one)),
        revocation_time: made,
        reason_code: None,
        invalidity_date: None,
    });
    let mut params = CertificateRevocationListParams {
        this_update: made,
        next_update: made + Duration::days(30),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    change(&mut params);
    params.signed_by(&issuer).unwrap().der().to_vec()
}

/// What the server says of a list.
async fn bring(world: &World, list: String) -> (u16, String) {
    let path = format!("/api/v1/scopes/{}/authorities/factory/crl", world.scope);
    let answer = world.manage("PUT", &path, json!({ "crl": list }).to_string().as_bytes()).await;
    let said = match answer.status.as_u16() {
        400 => json_of(&answer)["errors"][0]["message"].as_str().unwrap_or_default().to_owned(),
        _ => json_of(&answer).to_string(),
    };
    (answer.status.as_u16(), said)
}
