//! What ends by itself, and what comes back by itself: the server's clock is turned, and nobody waits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use landfall::client::Answer;
use landfall::config::{Config, ThrottleLimits};
use landfall_domain::clock::{Clock as _, ManualClock, Timestamp};
use landfall_tests::https::Place;
use landfall_tests::mutations::storage_key;
use landfall_tests::world::{Device, World, group, json_of, tracking_id};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn an_api_token_is_good_until_its_last_day_is_over() {
    let (world, clock) = standing(|_| {}).await;
    let wish = json!({ "role": "auditor", "note": "a day", "days": 1 });
    let made = world.manage("POST", "/api/v1/tokens", wish.to_string().as_bytes()).await;
    let token = json_of(&made)["token"].as_str().unwrap().to_owned();
    let status = async || world.manage_as(&token, "GET", "/api/v1/scopes", "application/json", b"").await.status;
    clock.advance(DAY - SECOND);
    assert_eq!(status().await, 200);
    clock.advance(SECOND);
    assert_eq!(status().await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_certificate_is_good_until_it_expires() {
    let (world, clock) = standing(|_| {}).await;
    let issued = world.factory.device("short", clock.now(), 1).unwrap();
    world.record("short", None).await;
    let (short, long) = (world.stranger("short", &issued), world.device("long").await);
    clock.advance(DAY - SECOND * 60);
    assert_eq!(short.register().await.status, 200);
    // Its clock and the server's may be apart.
    clock.advance(SECOND * 3600);
    refused(&world, &short.register().await, "expired at").await;
    assert_eq!(long.register().await.status, 200, "it is good for 30 days");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_certificate_that_expired_meanwhile_is_not_taken() {
    let (world, clock) = standing(|_| {}).await;
    world.server().reload_certificate(&world.folder).unwrap();
    clock.advance(DAY * 10_000);
    let error = world.server().reload_certificate(&world.folder).unwrap_err().to_string();
    assert!(error.contains("expired at"), "{error}");
    // What was shown until then has expired as well, and the task that looks at it says so.
    let of_it = || world.server().service.tasks().statuses().into_iter().find(|task| task.name == "server-certificate");
    assert!(world.server().service.tasks().activate("server-certificate"));
    while of_it().is_none_or(|task| task.failed_runs == 0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let said = of_it().unwrap().last_result.unwrap().unwrap_err();
    assert!(said.contains("expired at") && said.contains("landfall certificate renew"), "{said}");
    let metrics = world.manage("GET", "/metrics", b"").await;
    let metrics = String::from_utf8(metrics.bytes.to_vec()).unwrap();
    assert!(metrics.contains("landfall_certificate_expires_in_seconds 0\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_is_told_for_half_its_time_then_another_is() {
    let (world, clock) = standing(|config| config.limits.device.challenge_seconds = 60).await;
    let key = storage_key(0x81);
    let mut enrollment = group("factory");
    enrollment.as_object_mut().unwrap().remove("x509");
    enrollment["tpm"] = json!({ "endorsementKey": key });
    world.put("enrollments/gateway-1", &enrollment).await;
    let device = world.shown("gateway-1", None);
    let body = json!({ "tpm": { "endorsementKey": key, "storageRootKey": key } }).to_string();
    // The names of the challenges that are open or were a moment ago, after one more was asked for.
    let challenged = async || {
        let answer = device.send("PUT", "/register", &[], body.clone()).await;
        assert!(json_of(&answer)["authenticationKey"].is_string(), "{answer:?}");
        let kept = world.server().service.store().challenges().await.unwrap();
        kept.iter().map(|kept| kept.name.to_string()).collect::<BTreeSet<_>>()
    };
    let first = challenged().await;
    // The other half is for the answer, and for the polls after it.
    clock.advance(SECOND * 30);
    assert_eq!(challenged().await, first);
    clock.advance(SECOND);
    let second = challenged().await;
    assert!(second.iter().any(|name| !first.contains(name)), "{second:?}");
    // An operator who sets the clock back opens none again, and ends none.
    clock.set(Timestamp::from_millis(clock.now().as_millis() - 3_600_000));
    assert_eq!(challenged().await, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuers_keys_count_for_their_hours_while_it_is_away() {
    let (world, clock) = standing(|config| config.limits.device.issuer_keys_hours = 2).await;
    let (issuer, pair) = (Place::start().await, Ed25519KeyPair::generate().unwrap());
    let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let published = json!({
        "issuer": issuer.url(""),
        "jwks_uri": issuer.url("/keys"),
        "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k1" }],
    });
    issuer.answers(200, published.to_string().as_bytes());
    let mut relying = group("factory");
    relying.as_object_mut().unwrap().remove("x509");
    relying["token"] = json!({ "issuer": issuer.url(""), "audiences": ["a"], "caCertificate": issuer.certificate });
    world.put("enrollment-groups/sensors", &relying).await;
    world.record("sensor-1", None).await;
    let token = |hours: u64| {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let ends = clock.now().plus(SECOND * 3600 * u32::try_from(hours).unwrap()).as_secs();
        let claims = json!({ "iss": issuer.url(""), "aud": "a", "exp": ends, "sub": "sensor-1" });
        let signed = format!("{}.{}", part(json!({ "alg": "EdDSA", "kid": "k1" })), part(claims));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes())))
    };
    let device = world.shown("sensor-1", None);
    let (short, long) = (token(1), token(9));
    assert_eq!(bearing(&device, &short).await.status, 200);

    issuer.answers(500, b"");
    clock.advance(SECOND * 7199);
    assert_eq!(bearing(&device, &long).await.status, 200, "its keys are fresh enough");
    let answer = bearing(&device, &short).await;
    assert_eq!(answer.status, 401, "the token has ended: {answer:?}");
    clock.advance(SECOND);
    let answer = bearing(&device, &long).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(world.ledger(&tracking_id(&answer)).await["kind"]["refused"]["cause"], "issuer-away");

    // It is back, and is asked again when it has been left alone for its while.
    issuer.answers(200, published.to_string().as_bytes());
    clock.advance(SECOND * 29);
    assert_eq!(bearing(&device, &long).await.status, 503);
    clock.advance(SECOND);
    assert_eq!(bearing(&device, &long).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_list_counts_until_its_date_and_its_grace_are_over() {
    let (world, clock) = standing(|config| config.certificates.stale_crl_hours = 24).await;
    let device = world.device("pump-1").await;
    let list = world.factory.revocation_list(&[], clock.now(), 7).unwrap();
    world.put("authorities/factory/crl", &json!({ "crl": STANDARD.encode(list) })).await;
    clock.advance(DAY * 8 - SECOND * 60);
    assert_eq!(device.register().await.status, 200);
    clock.advance(SECOND * 120);
    refused(&world, &device.register().await, "out of date since").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_asked_too_often_may_come_again_after_its_time() {
    let limits = ThrottleLimits { device_per_minute: 1, device_burst: 2, ..ThrottleLimits::unlimited() };
    let (world, clock) = standing(|config| config.limits.throttle = limits).await;
    let device = world.device("pump-1").await;
    let mut asked = Vec::new();
    for span in [Duration::ZERO, Duration::ZERO, Duration::ZERO, SECOND * 59, SECOND, SECOND * 60, SECOND * 59] {
        clock.advance(span);
        asked.push(device.register().await.status.as_u16());
    }
    assert_eq!(asked, [200, 200, 429, 429, 200, 200, 429]);
}

/// A server whose clock stands.
async fn standing(change: impl FnOnce(&mut Config)) -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::stopped_now());
    (World::with_clock(&clock, change).await, clock)
}

async fn bearing(device: &Device, token: &str) -> Answer {
    let headers = [("authorization", &*format!("Bearer {token}")), ("prefer", "wait=20")];
    device.send("PUT", "/register", &headers, "{}".to_owned()).await
}

async fn refused(world: &World, answer: &Answer, says: &str) {
    assert_eq!(answer.status, 401, "{answer:?}");
    let entry = world.ledger(&tracking_id(answer)).await;
    let detail = entry["kind"]["refused"]["detail"].as_str().unwrap();
    assert!(detail.contains(says), "{detail}");
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
