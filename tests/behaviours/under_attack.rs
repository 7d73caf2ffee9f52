//! Somebody attacks, from addresses of this machine, bounded in count; honest devices are served all the same, and the
//! operator finds what happened to them.
#![cfg(target_os = "linux")]

use std::net::Ipv4Addr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall::client::{self, Answer, Client, ClientLimits};
use landfall::config::ThrottleLimits;
use landfall_tests::odd::{Draft, Key};
use landfall_tests::world::{Device, World, tracking_id};
use rustls::ClientConfig;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn honest_devices_are_served_beside_floods_of_every_bad_credential() {
    let world = World::with(|config| {
        config.passwords.enabled = true;
        // The default: the attacker's address is slowed, and passwords wait in a line.
        config.limits.throttle = ThrottleLimits::default();
    })
    .await;
    let device = world.device("pump-1").await;
    let nobody = world.shown("pump-1", None);
    let basic = format!("Basic {}", STANDARD.encode("pump-1:none of anybody's"));
    for bad in ["", "Bearer a.b.c", "SharedAccessSignature sr=a&sig=b&se=1", "Negotiate YII=", &basic] {
        let mut flood = JoinSet::new();
        for _ in 0..8 {
            let (nobody, bad) = (nobody.tls.clone(), bad.to_owned());
            let (address, path) = (device.address, device.path("/register"));
            flood.spawn(async move {
                let mut connection = connect(address, [127, 0, 7, 1], nobody).await;
                for _ in 0..40 {
                    let answer = send(&mut connection, &path, &bad).await;
                    assert!([401, 429, 503].contains(&answer.status.as_u16()), "{bad}: {answer:?}");
                }
            });
        }
        for _ in 0..5 {
            assert_eq!(device.register().await.status, 200, "beside {bad:?}");
        }
        while let Some(ended) = flood.join_next().await {
            ended.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_hides_the_refusals_of_another() {
    let world = World::with(|config| {
        config.limits.throttle = ThrottleLimits {
            strangers_kept_per_minute: 10,
            strangers_kept_per_address_per_minute: 1,
            ..ThrottleLimits::unlimited()
        };
    })
    .await;
    let nobody = world.shown("pump-1", None);
    let mut flood = connect(nobody.address, [127, 0, 7, 1], nobody.tls.clone()).await;
    let mut last = None;
    for _ in 0..300 {
        last = Some(send(&mut flood, &nobody.path("/register"), "").await);
    }
    let other = nobody.register().await;
    assert_eq!(world.ledger(&tracking_id(&other)).await["kind"]["refused"]["cause"], "no-credential");
    let path = format!("/api/v1/decisions/{}", tracking_id(&last.unwrap()));
    assert_eq!(world.manage("GET", &path, b"").await.status, 404, "of one address only so many are kept");
}

/// Names and key identifiers cost nothing; signatures do.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_only_names_the_factory_is_a_strangers() {
    let world = World::with(|config| {
        config.limits.throttle = ThrottleLimits { strangers_kept_per_minute: 1, ..ThrottleLimits::unlimited() };
        config.limits.store.refusals_kept = 1_000;
    })
    .await;
    let issued = world.factory.device("no-record", landfall_domain::clock::Ambient::system().now(), 30).unwrap();
    let matters = world.stranger("no-record", &issued).register().await;
    let pinned = world.factory.device("pump-disabled", landfall_domain::clock::Ambient::system().now(), 30).unwrap();
    let disabled = serde_json::json!({
        "x509": { "certificates": { "primary": pinned.certificate_pem } },
        "enabled": false,
        "allocation": { "selection": { "plugin": "weighted" } },
    });
    world.put("enrollments/pump-disabled", &disabled).await;
    let forger = Key::p256();
    let mut forgeries = Vec::new();
    for (id, cause) in [("pump-1", "certificate-not-accepted"), ("pump-disabled", "enrollment-disabled")] {
        let key = Arc::new(Key::p256());
        let forged = Draft::of(id).issue(&key, Some(("Test Factory CA", &forger)));
        let shown = showing(&world, id, forged, &key);
        let mut connection = shown.connect().await.unwrap();
        let first = send(&mut connection, &shown.path("/register"), "").await;
        assert_eq!(world.ledger(&tracking_id(&first)).await["kind"]["refused"]["cause"], cause);
        forgeries.push((connection, shown.path("/register")));
    }
    for (mut connection, path) in forgeries {
        for _ in 0..750 {
            assert_eq!(send(&mut connection, &path, "").await.status, 401);
        }
    }
    let told = world.ledger(&tracking_id(&matters)).await;
    assert_eq!(told["kind"]["refused"]["cause"], "no-manufacturing-record");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_names_anothers_device_is_told_of_and_a_token_can_be_held_to_its_own() {
    let world = World::new().await;
    let import = async |token: &str, rows: &str| {
        let path = format!("/api/v1/scopes/{}/records", world.scope);
        landfall_tests::world::json_of(
            &world.manage_as(token, "POST", &path, "application/x-ndjson", rows.as_bytes()).await,
        )
    };
    let token = async |manufacturer: &str, prefixes: serde_json::Value| {
        let wish = serde_json::json!({
            "role": "manufacturer", "manufacturer": manufacturer, "scope": world.scope.as_str(), "prefixes": prefixes,
        });
        let made = world.manage("POST", "/api/v1/tokens", wish.to_string().as_bytes()).await;
        landfall_tests::world::json_of(&made)["token"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned()
    };
    let (bolt, acme) = (token("bolt", serde_json::json!([])).await, token("acme", serde_json::json!(["pump-"])).await);
    let row = "{\"registrationId\":\"pump-6000\"}\n";
    assert_eq!(import(&bolt, row).await["added"], 1);
    let report =
        import(&acme, &format!("{row}{{\"registrationId\":\"Pump-1\"}}\n{{\"registrationId\":\"valve-1\"}}\n")).await;
    assert_eq!(
        (&report["added"], &report["refused"], &report["ofOthers"]),
        (&1.into(), &2.into(), &1.into()),
        "{report}"
    );
    assert!(report["errors"][1]["reason"].as_str().unwrap().contains("only ids that begin with pump-"), "{report}");

    let record = format!("/api/v1/scopes/{}/records/pump-6000", world.scope);
    let shown = world.get(&record).await;
    assert_eq!(
        (&shown["manufacturer"], &shown["claimedBy"]["manufacturer"]),
        (&"bolt".into(), &"acme".into()),
        "{shown}"
    );
    let own = world.manage_as(&bolt, "GET", &record, "application/json", b"").await;
    assert!(landfall_tests::world::json_of(&own).get("claimedBy").is_none(), "{own:?}");
    let metrics = world.manage("GET", "/metrics", b"").await;
    let metrics = String::from_utf8(metrics.bytes.to_vec()).unwrap();
    assert!(metrics.contains("landfall_import_rows_of_others_total 1\n"), "{metrics}");
}

/// A client that comes from another address of this machine.
async fn connect(address: std::net::SocketAddr, [a, b, c, d]: [u8; 4], tls: Arc<ClientConfig>) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(a, b, c, d), 0).into()).unwrap();
    let socket = socket.connect(address).await.unwrap();
    Client::over(socket, address, "localhost", tls, ClientLimits::default()).await.unwrap()
}

async fn send(connection: &mut Client, path: &str, authorization: &str) -> Answer {
    let mut headers = client::headers(&[("content-type", "application/json")]);
    if !authorization.is_empty() {
        headers.insert("authorization", authorization.parse().unwrap());
    }
    connection.send(http::Method::PUT, path, headers, b"{}".to_vec()).await.unwrap()
}

/// Somebody who shows a certificate, whatever it is.
fn showing(world: &World, id: &str, certificate: Vec<u8>, key: &Arc<Key>) -> Device {
    let Key::Usual(pair) = &**key else { panic!("a usual key") };
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(pair.serialize_der()).into();
    world.shown(id, Some(landfall::tls::Identity { chain: vec![certificate.into()], key }))
}
