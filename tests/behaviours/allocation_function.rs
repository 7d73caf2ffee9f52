//! A team's allocation function, asked over HTTPS while a device waits; and policies that ask what they may not.

mod operators;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use landfall::clock::Ambient;
use landfall::config::{Config, HttpGrant};
use landfall_tests::guests::component;
use landfall_tests::world::{Device, World, group, json_of, tracking_id};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

#[tokio::test(flavor = "multi_thread")]
async fn a_function_named_by_its_address_chooses_the_hub_and_the_twin_and_is_asked_once() {
    let function = Function::start().await;
    let world = world(&function, &[]).await;
    let url = function.url("/api/Allocate?code=key");
    world.enroll(&url).await;

    let shown = world.world.get("/api/v1/scopes/0neTEST/enrollment-groups/devices").await;
    assert_eq!(shown["allocation"]["selection"]["plugin"], url.as_str(), "{shown}");
    // What is shown can be put as it is.
    let same = json!({ "x509": { "authorities": { "primary": "factory" } }, "allocation": shown["allocation"] });
    world.world.put("enrollment-groups/devices", &same).await;

    function.answers(
        200,
        r#"{"iotHubHostName": "hub-2.example", "payload": {"property1": "value1"},
        "initialTwin": {"tags": {"deviceType": "toaster"}, "properties": {"desired": {"state": "ready"}}}}"#,
    );
    let device = world.world.device("pump-1").await;
    let answer = device.register().await;
    let state = &json_of(&answer)["registrationState"];
    assert_eq!((&state["status"], &state["assignedHub"]), (&json!("assigned"), &json!("hub-2.example")), "{state}");
    assert_eq!(state["payload"], json!({ "property1": "value1" }));

    let asked = function.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0]["linkedHubs"], json!(["hub-1.example", "hub-2.example"]));
    assert_eq!(asked[0]["deviceRuntimeContext"]["registrationId"], "pump-1");
    assert_eq!(asked[0]["enrollmentGroup"]["enrollmentGroupId"], "devices");

    // All of it is kept with the decision.
    let kept = world.world.ledger(&tracking_id(&answer)).await.to_string();
    assert!(kept.contains("deviceType") && kept.contains("linkedHubs"), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_fails_delays_its_devices_and_one_that_refuses_turns_them_away() {
    let function = Function::start().await;
    let world = world(&function, &[]).await;
    world.enroll(&function.url("/api/Allocate")).await;
    let device = world.world.device("pump-1").await;

    for (status, body, said) in [
        (500, "", "status code: 500"),
        (200, "<html>", "not JSON"),
        (200, r#"{"iotHubHostName": "evil.example"}"#, "not offered"),
    ] {
        function.answers(status, body);
        world.waits(json!(null), said).await;
    }
    function.behaves(Manner::Silent);
    world.waits(json!(null), "http-time").await;

    function.answers(400, "no");
    let state = json_of(&device.register().await);
    assert_eq!(state["registrationState"]["status"], "failed", "{state}");
    assert_eq!(state["registrationState"]["errorCode"], 400_207, "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_beyond_a_grant_ends_in_a_failure_of_its_own_while_others_go_on() {
    let function = Function::start().await;
    let world = world(&function, &["asks", "asks-in-public"]).await;
    world.enroll_plugin("asks").await;
    let device = world.world.device("pump-1").await;
    let neighbour = world.neighbour().await;
    let said = |url: &str, times: u32, bytes: usize| json!({ "url": url, "times": times, "bytes": bytes });
    let url = function.url("/");

    function.answers(200, "{}");
    let answer = world.register(&device, said(&url, 2, 10)).await;
    assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
    let kept = world.world.ledger(&tracking_id(&answer)).await.to_string();
    assert!(kept.contains("sha256:") && !kept.contains("hunter2"), "{kept}");

    world.waits(said("https://elsewhere.example/", 1, 1), "http-origin").await;
    world.waits(said("https://127.0.0.1:9443/", 1, 1), "http-origin").await;
    world.waits(said(&url, 3, 10), "http-requests").await;
    world.waits(said(&url, 1, 20_000), "http-bytes-out").await;
    for (manner, kind) in [
        (Manner::Silent, "http-time"),
        (Manner::Trickles, "http-time"),
        (Manner::HugeBody, "http-bytes-in"),
        (Manner::HugeHeaders, "http-headers"),
        (Manner::HangsUp, "fault-internal"),
    ] {
        function.behaves(manner);
        let (_, beside) = tokio::join!(world.waits(said(&url, 1, 1), kind), neighbour.register());
        assert_eq!(json_of(&beside)["status"], "assigned", "{beside:?}");
    }

    // The name is on the list, and it leads to this machine.
    function.answers(200, "{}");
    world.enroll_plugin("asks-in-public").await;
    world.waits(said(&url, 1, 1), "http-private-address").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_wants_the_network_is_not_published_before_it_is_granted() {
    let world = World::new().await;
    let answer = world.manage("PUT", "/api/v1/scopes/0neTEST/plugins/asks", component("asks")).await;
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(json_of(&answer)["detail"].as_str().is_some_and(|text| text.contains("[policy.http.plugins.asks]")));
}

struct Granted {
    world: World,
}

/// A server that lets some plugins ask the function, besides `webhook`; those named `in-public`, public addresses only.
async fn world(function: &Function, plugins: &[&str]) -> Granted {
    world_that_waits(function, plugins, 1_500).await
}

/// The same, with the patience of its calls in milliseconds.
async fn world_that_waits(function: &Function, plugins: &[&str], wait_ms: u64) -> Granted {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &function.certificate).expect("a file");
    let world = World::empty(|config: &mut Config| {
        // Each breach is to be seen, and not the breaker that they would open together.
        config.limits.policy.breaker_failures = 1_000;
        config.limits.policy.breaker_success_percent = 0;
        let allow = vec![function.url("").parse().expect("an origin")];
        for name in plugins.iter().chain(&["webhook"]) {
            let grant = HttpGrant { allow: allow.clone(), allow_private_networks: !name.ends_with("in-public") };
            config.policy.http.plugins.insert(name.parse().expect("a name"), grant);
        }
        config.policy.http.ca_file = Some(file.path().to_owned());
        let limits = &mut config.limits.http;
        (limits.requests, limits.request_kib, limits.response_kib, limits.header_kib) = (2, 16, 16, 8);
        limits.wait_ms = wait_ms;
    })
    .await;
    world.link_hub("hub-1.example", 1, 1_000_000).await;
    world.link_hub("hub-2.example", 1, 1_000_000).await;
    world.upload_authority("factory", &world.factory).await;
    for name in plugins {
        let answer = world.manage("PUT", &format!("/api/v1/scopes/0neTEST/plugins/{name}"), component("asks")).await;
        assert!(answer.status.is_success(), "{answer:?}");
    }
    Granted { world }
}

impl Granted {
    async fn enroll(&self, plugin: &str) {
        let mut group = group("factory");
        group["allocation"] = json!({ "selection": { "plugin": plugin } });
        self.world.put("enrollment-groups/devices", &group).await;
    }

    async fn enroll_plugin(&self, plugin: &str) {
        self.enroll(plugin).await;
    }

    /// A device with an enrollment of its own, whose policy asks nobody.
    async fn neighbour(&self) -> Device {
        let record = self.world.factory.device("neighbour", Ambient::system().now(), 30);
        let record = record.expect("a certificate");
        self.world.record("neighbour", Some(landfall::names::Digest::of(&record.certificate_der))).await;
        let enrollment = json!({
            "x509": { "certificates": { "primary": record.certificate_pem } },
            "allocation": { "selection": { "plugin": "weighted" } },
        });
        self.world.put("enrollments/neighbour", &enrollment).await;
        self.world.stranger("neighbour", &record)
    }

    async fn register(&self, device: &Device, payload: Value) -> landfall::client::Answer {
        let body = json!({ "registrationId": device.id, "payload": payload }).to_string();
        device.send("PUT", "/register", &[("prefer", "wait=20")], body).await
    }

    /// The device has to wait, and the operator is told why.
    async fn waits(&self, payload: Value, said: &str) {
        let device = self.world.device(&format!("waits-{}", Ambient::system().now().as_millis())).await;
        let answer = self.register(&device, payload).await;
        assert_eq!(answer.status, 202, "{said}: {answer:?}");
        let entry = self.world.ledger(&tracking_id(&answer)).await.to_string();
        assert!(entry.contains(said), "{said}: {entry}");
    }
}

/// How the function behaves.
#[derive(Clone)]
enum Manner {
    Answers(u16, String),
    /// Says that it was asked, and answers when it may.
    Holds(Arc<Semaphore>, Arc<Semaphore>, String),
    Silent,
    Trickles,
    HugeBody,
    HugeHeaders,
    HangsUp,
}

/// A team's function, as a small HTTPS server.
struct Function {
    port: u16,
    certificate: String,
    manner: Arc<Mutex<Manner>>,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Function {
    async fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.expect("versions").with_no_client_auth().with_single_cert(chain, key).expect("TLS");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let function = Self {
            port: listener.local_addr().expect("an address").port(),
            certificate: made.cert.pem(),
            manner: Arc::new(Mutex::new(Manner::Silent)),
            asked: Arc::default(),
        };
        let (acceptor, manner, asked) =
            (TlsAcceptor::from(Arc::new(tls)), Arc::clone(&function.manner), Arc::clone(&function.asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, manner, asked) = (acceptor.clone(), Arc::clone(&manner), Arc::clone(&asked));
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let Some(body) = request(&mut stream).await else { return };
                    asked.lock().expect("a lock").push(body);
                    let manner = manner.lock().expect("a lock").clone();
                    let _ = answer(&mut stream, manner).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        function
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    fn answers(&self, status: u16, body: &str) {
        self.behaves(Manner::Answers(status, body.to_owned()));
    }

    /// Holds back its answers: the first semaphore counts what was asked, and the second lets answers go.
    fn holds(&self, body: &str) -> (Arc<Semaphore>, Arc<Semaphore>) {
        let (asked, may) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        self.behaves(Manner::Holds(Arc::clone(&asked), Arc::clone(&may), body.to_owned()));
        (asked, may)
    }

    fn behaves(&self, manner: Manner) {
        *self.manner.lock().expect("a lock") = manner;
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().expect("a lock").clone()
    }
}

/// Reads a request; its body as JSON.
async fn request(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<Value> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0_usize) {
                let from = bytes.len() - body.len();
                return Some(serde_json::from_slice(&bytes[from..]).unwrap_or(Value::Null));
            }
        }
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
    }
}

async fn answer(stream: &mut (impl AsyncWriteExt + Unpin), manner: Manner) -> std::io::Result<()> {
    let head = |length: usize| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
    match manner {
        Manner::Answers(status, body) => {
            let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).await
        }
        Manner::Holds(asked, may, body) => {
            asked.add_permits(1);
            if let Ok(one) = may.acquire().await {
                one.forget();
            }
            stream.write_all(format!("{}{body}", head(body.len())).as_bytes()).await
        }
        Manner::Silent => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok(())
        }
        Manner::Trickles => {
            stream.write_all(head(1_000).as_bytes()).await?;
            loop {
                stream.write_all(b"x").await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Manner::HugeBody => {
            stream.write_all(head(1 << 20).as_bytes()).await?;
            stream.write_all(&vec![b'x'; 1 << 20]).await
        }
        Manner::HugeHeaders => {
            let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(100_000));
            stream.write_all(head.as_bytes()).await
        }
        Manner::HangsUp => Ok(()),
    }
}
