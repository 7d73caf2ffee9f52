//! Devices that prove themselves by a token of an identity provider: a real one.

use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use landfall::client::{self, Answer, Client};
use landfall_attestation::bearer::KeptKeys;
use landfall_domain::clock::{Ambient, ManualClock, Timestamp};
use landfall_tests::https::Place;
use landfall_tests::world::{Device, World, group, in_tests, json_of, tracking_id};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::real_clients::sdk_is_there;

#[tokio::test(flavor = "multi_thread")]
async fn a_device_registers_with_a_token_of_a_provider_and_goes_on_while_the_provider_is_away() {
    if !sdk_is_there().await {
        return;
    }
    let clock = Arc::new(ManualClock::stopped_now());
    let mut world = World::with_clock(&clock, |_| {}).await;
    let mut provider = Provider::new(&world);
    let mut running = provider.start("k1").await;
    world.put("enrollment-groups/sensors", &provider.relied_on(&world)).await;
    world.record("sensor-1", None).await;
    let device = world.shown("sensor-1", None);
    let token = provider.token(&world, "sensor-1", "urn:landfall").await;
    let answer = register(&device, &token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let state = &json_of(&answer)["registrationState"];
    assert_eq!(state["assignedHub"], "hub-1.example", "{state}");
    let decision = world.ledger(&tracking_id(&answer)).await;
    let decided = &decision["kind"]["decided"];
    assert_eq!(decided["device"]["attestation"], "token", "{decided}");
    let claims = decided["device"]["claims"].as_array().unwrap();
    assert!(claims.contains(&json!({ "key": "scope", "value": "device.register" })), "{claims:?}");
    let secret = token.rsplit('.').next().unwrap();
    assert!(!decision.to_string().contains(secret), "a token is a credential");

    for (header, cause) in [
        (format!("Bearer {token}x"), "bearer-token-not-signed"),
        (format!("Bearer {}", unsigned(&token)), "unreadable-bearer-token"),
        (format!("Bearer {}", with_claim(&token, "iss", &json!("https://elsewhere.example"))), "unknown-issuer"),
        (format!("Bearer {}", with_claim(&token, "sub", &json!("sensor-2"))), "bearer-token-not-signed"),
        ("Bearer a.b".to_owned(), "unreadable-bearer-token"),
        (format!("Bearer {}", "a".repeat(17_000)), "unreadable-bearer-token"),
    ] {
        refused(&world, &ask(&device, &header).await, cause).await;
    }
    let for_others = provider.token(&world, "sensor-1", "urn:others").await;
    refused(&world, &register(&device, &for_others).await, "bearer-token-not-accepted").await;
    world.record("sensor-2", None).await;
    refused(&world, &register(&world.shown("sensor-2", None), &token).await, "bearer-token-of-another").await;
    let unknown = provider.token(&world, "sensor-2", "urn:landfall").await;
    assert_eq!(register(&world.shown("sensor-2", None), &unknown).await.status, 200);

    running.kill().await.unwrap();
    assert_eq!(register(&device, &token).await.status, 200, "its keys are fresh enough");
    world.restart().await;
    let device = world.shown_again(&device);
    assert_eq!(register(&device, &token).await.status, 200, "and were kept for a restart");
    // A group that would take the device and is disabled hides others that would.
    let mut off = provider.relied_on(&world);
    off["enabled"] = json!(false);
    world.put("enrollment-groups/a-first", &off).await;
    refused(&world, &register(&device, &token).await, "enrollment-disabled").await;
    let path = format!("/api/v1/scopes/{}/enrollment-groups/a-first", world.scope);
    assert!(world.manage("DELETE", &path, b"").await.status.is_success());

    // It comes back with another key, which is looked for when its first token comes; not at once, lest made-up names of
    // keys have it asked without end. Until then its devices are told to come back, and never that they may not come.
    let _running = provider.start("k2").await;
    let new = provider.token(&world, "sensor-1", "urn:landfall").await;
    let mut answer = register(&device, &new).await;
    if answer.status != 200 {
        // The provider has only just begun and was asked too early; then it is asked again when its time has come.
        told_to_come_back(&world, &answer, "issuer-key-not-yet").await;
        clock.advance(Duration::from_secs(30));
        answer = register(&device, &new).await;
    }
    assert_eq!(answer.status, 200, "the key was changed: {answer:?}");
    // The key that it had before is looked for no more at once either.
    clock.advance(Duration::from_secs(1));
    told_to_come_back(&world, &register(&device, &token).await, "issuer-key-not-yet").await;
    clock.advance(Duration::from_secs(30));
    refused(&world, &register(&device, &token).await, "bearer-token-not-signed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_of_a_provider_that_was_never_reached_are_told_to_come_back() {
    let world = World::new().await;
    let provider = Provider::new(&world);
    let made_up = |claims: Value| {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.{}", part(json!({ "alg": "ES256", "kid": "k1" })), part(claims), URL_SAFE_NO_PAD.encode([7; 64]))
    };
    let token = made_up(
        json!({ "iss": provider.issuer(), "aud": "urn:landfall", "exp": 4_000_000_000_u64, "sub": "sensor-1" }),
    );
    let device = world.shown("sensor-1", None);
    refused(&world, &register(&device, &token).await, "unknown-issuer").await;
    world.put("enrollment-groups/sensors", &provider.relied_on(&world)).await;
    let answer = register(&device, &token).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    let entry = world.ledger(&tracking_id(&answer)).await;
    assert_eq!(entry["kind"]["refused"]["cause"], "issuer-away", "{entry}");

    let path = format!("/api/v1/scopes/{}/enrollment-groups/wrong", world.scope);
    for (member, value) in [
        ("issuer", json!("http://plain.example")),
        ("issuer", json!("no address")),
        ("audiences", json!([])),
        ("caCertificate", json!("nonsense")),
        ("registrationIdClaim", json!("")),
    ] {
        let mut wrong = provider.relied_on(&world);
        wrong["token"][member] = value;
        let answer = world.manage("PUT", &path, wrong.to_string().as_bytes()).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(json_of(&answer)["errors"][0]["pointer"], format!("/token/{member}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_old_are_read_again_though_no_device_comes() {
    let mut world = World::new().await;
    let place = Place::start().await;
    let issuer = place.url("");
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([3; 32]), "kid": "new" });
    let said = json!({ "issuer": issuer, "jwks_uri": place.url("/keys"), "keys": [key] });
    place.answers(200, said.to_string().as_bytes());
    let mut relying = group("factory");
    relying.as_object_mut().unwrap().remove("x509");
    relying["token"] = json!({ "issuer": issuer, "audiences": ["a"], "caCertificate": place.certificate });
    world.put("enrollment-groups/sensors", &relying).await;
    let now = Ambient::system().now();
    let hours = |hours: u64| Timestamp::from_millis(now.as_millis() - hours * 3_600_000);
    let ca_certificate = Some(place.certificate.clone());
    for (read_at, is_asked) in [(hours(0), false), (hours(2), true)] {
        let kept = KeptKeys {
            issuer: issuer.clone(),
            ca_certificate: ca_certificate.clone(),
            public_hosts_only: false,
            read_at,
            keys: Vec::new(),
        };
        world.server().service.store().keep_issuer_keys(kept, hours(9)).await.unwrap();
        world.restart().await;
        // A run reads all that are old.
        let ran = || world.server().service.tasks().statuses().into_iter().find(|task| task.name == "issuer-keys");
        while ran().is_none_or(|task| task.good_runs + task.failed_runs == 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let kept = world.server().service.store().issuer_keys().await.unwrap();
        assert_eq!((place.asked() > 0, kept[0].keys.len()), (is_asked, usize::from(is_asked)));
    }
}

struct Provider {
    port: u16,
    place: tempfile::TempDir,
}

impl Provider {
    fn new(world: &World) -> Self {
        let place = tempfile::tempdir().unwrap();
        let names = ["localhost".to_owned()];
        let issued = world.factory.server(&names, Ambient::system().now(), 9).unwrap();
        std::fs::write(place.path().join("server.pem"), &issued.certificate_pem).unwrap();
        std::fs::write(place.path().join("server.key"), &issued.key_pem).unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        Self { port, place }
    }

    fn issuer(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    async fn start(&mut self, kid: &str) -> Child {
        let mut process = Command::new("node")
            .current_dir(in_tests("clients/node"))
            .args(["provider.mjs", &self.port.to_string()])
            .args([self.place.path().join("server.pem"), self.place.path().join("server.key")])
            .arg(kid)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let listening = tokio::time::timeout(Duration::from_secs(30), async {
            while let Some(line) = said.next_line().await.unwrap() {
                if line == "listening" {
                    return true;
                }
            }
            false
        });
        assert!(listening.await.unwrap(), "the provider ended");
        process
    }

    /// A group that relies on it.
    fn relied_on(&self, world: &World) -> Value {
        let mut relying = group("factory");
        relying.as_object_mut().unwrap().remove("x509");
        relying["token"] = json!({
            "issuer": self.issuer(),
            "audiences": ["urn:landfall"],
            "caCertificate": world.factory.certificate_pem,
        });
        relying
    }

    /// A token for a device, as it would get it itself.
    async fn token(&self, world: &World, id: &str, resource: &str) -> String {
        let address = ([127, 0, 0, 1], self.port).into();
        let tls = client::tls::client(world.factory.certificate_pem.as_bytes(), None).unwrap();
        let mut provider = Client::connect(address, "localhost", tls).await.unwrap();
        let basic = format!("Basic {}", STANDARD.encode(format!("{id}:s3cret")));
        let host = format!("localhost:{}", self.port);
        let form = "application/x-www-form-urlencoded";
        let headers = client::headers(&[("authorization", &basic), ("content-type", form), ("host", &host)]);
        let body = format!("grant_type=client_credentials&resource={resource}&scope=device.register");
        let answer = provider.send(http::Method::POST, "/token", headers, body.into_bytes()).await.unwrap();
        json_of(&answer)["access_token"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    }
}

async fn register(device: &Device, token: &str) -> Answer {
    ask(device, &format!("Bearer {token}")).await
}

async fn ask(device: &Device, header: &str) -> Answer {
    device.send("PUT", "/register", &[("authorization", header), ("prefer", "wait=20")], "{}".to_owned()).await
}

async fn refused(world: &World, answer: &Answer, cause: &str) {
    assert_eq!(answer.status, 401, "{cause}: {answer:?}");
    assert_eq!(json_of(answer)["errorCode"], 401_002);
    let entry = world.ledger(&tracking_id(answer)).await;
    assert_eq!(entry["kind"]["refused"]["cause"], cause, "{entry}");
}

async fn told_to_come_back(world: &World, answer: &Answer, cause: &str) {
    assert_eq!(answer.status, 503, "{cause}: {answer:?}");
    let seconds: u64 = answer.header("retry-after").expect("when").parse().expect("seconds");
    assert!((1..=31).contains(&seconds), "{answer:?}");
    let entry = world.ledger(&tracking_id(answer)).await;
    assert_eq!(entry["kind"]["refused"]["cause"], cause, "{entry}");
}

/// The same token with `alg: none` and no signature.
fn unsigned(token: &str) -> String {
    let claims = token.split('.').nth(1).unwrap();
    format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#))
}

/// The same token with another claim, and the signature that it had.
fn with_claim(token: &str, name: &str, value: &Value) -> String {
    let [head, claims, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    claims[name] = value.clone();
    format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims.to_string()))
}
