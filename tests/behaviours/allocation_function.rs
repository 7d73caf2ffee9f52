//! A team's allocation function, asked over HTTPS while a device waits; and policies that ask what they may not.

mod operators;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use landfall::config::{Config, HttpGrant};
use landfall_domain::clock::Ambient;
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
    let url = function.url("/api/Allocate?code=hunter2");
    world.enroll(&url).await;

    let shown = world.world.get("/api/v1/scopes/0neTEST/enrollment-groups/devices").await;
    assert_eq!(shown["allocation"]["selection"]["plugin"], function.url("/api/Allocate?****"), "{shown}");
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
    assert!(kept.contains("/api/Allocate?sha256:") && !kept.contains("hunter2"), "the key is the function's: {kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_function_is_shown_to_nobody_and_what_comes_back_masked_stays_as_it_is() {
    let function = Function::start().await;
    let world = world(&function, &[]).await.world;
    let path = "/api/v1/scopes/0neTEST/enrollment-groups";
    let (whole, masked) = (function.url("/a?code=hunter2"), function.url("/a?****"));
    let bound = |url: &str| json!({ "plugin": "webhook", "settings": { "url": url, "api-version": "2021-10-01" } });
    let mut devices = group("factory");
    devices["allocation"] = json!({ "selection": bound(&whole), "grouping": [bound(&whole)] });
    let put = world.put("enrollment-groups/devices", &devices).await;
    for shown in [put, world.get(&format!("{path}/devices")).await, world.get(path).await] {
        let text = shown.to_string();
        assert!(text.contains("/a?****") && !text.contains("hunter2"), "{text}");
    }
    devices["allocation"] = json!({ "selection": bound(&masked), "grouping": [bound(&masked)] });
    world.put("enrollment-groups/devices", &devices).await;
    function.answers(200, r#"{"iotHubHostName": "hub-1.example"}"#);
    assert_eq!(json_of(&world.device("pump-1").await.register().await)["status"], "assigned");
    assert_eq!(function.targets().last().map(String::as_str), Some("/a?code=hunter2"));

    // There is no key for another address, nor for an enrollment that has none.
    for (id, url) in [("devices", function.url("/b?****")), ("others", masked)] {
        devices["allocation"] = json!({ "selection": bound(&url) });
        let answer = world.manage("PUT", &format!("{path}/{id}"), devices.to_string().as_bytes()).await;
        assert_eq!(json_of(&answer)["errors"][0]["pointer"], "/allocation/selection/settings/url", "{answer:?}");
    }
}

/// The key is in the settings of a resort, too, and in the address of a revocation list.
#[tokio::test(flavor = "multi_thread")]
async fn keys_in_addresses_are_shown_to_nobody_wherever_an_operator_has_given_one() {
    let function = Function::start().await;
    let world = world(&function, &[]).await.world;
    let rules = "/api/v1/scopes/0neTEST/plugins/webhook";
    let resort = |url: &str| json!({ "onFailure": [{ "shipped": "webhook", "settings": { "url": url } }] }).to_string();
    let (whole, masked) = (function.url("/a?code=hunter2"), function.url("/a?****"));
    for url in [&whole, &masked] {
        let answer = world.manage("PATCH", rules, resort(url).as_bytes()).await;
        let told = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert!(answer.status.is_success(), "{told}");
        assert!(told.contains("/a?****") && !told.contains("hunter2"), "{told}");
    }
    let kept = &world.server().service.scope(&world.scope).unwrap();
    let kept = format!("{:?}", kept.plugin(&"webhook".parse().unwrap()).unwrap().rules);
    assert!(kept.contains("code=hunter2"), "what came back masked stays as it is: {kept}");
    let elsewhere = world.manage("PATCH", rules, resort(&function.url("/b?****")).as_bytes()).await;
    assert_eq!(json_of(&elsewhere)["errors"][0]["pointer"], "/onFailure/0/settings/url", "{elsewhere:?}");

    let list = |url: &str| json!({ "crlUrl": url, "crlUnchecked": true });
    for url in ["https://localhost:1/list.crl?sig=hunter2", "https://localhost:1/list.crl?****"] {
        let told = world.put("authorities/factory/revocation", &list(url)).await.to_string();
        assert!(told.contains("/list.crl?****") && !told.contains("hunter2"), "{told}");
    }
    let path = "/api/v1/scopes/0neTEST/authorities/factory/revocation";
    let body = list("https://localhost:1/other.crl?****").to_string();
    assert_eq!(world.manage("PUT", path, body.as_bytes()).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_keeps_its_hub_is_told_what_the_function_says_today_and_loses_nothing() {
    let function = Function::start().await;
    let world = world(&function, &[]).await.world;
    let mut stays = group("factory");
    stays["allocation"] = json!({ "selection": { "plugin": function.url("/a?code=1") } });
    stays["reprovision"] = json!({ "updateHubAssignment": false, "migrateDeviceData": true });
    world.put("enrollment-groups/devices", &stays).await;
    let device = world.device("pump-1").await;
    let registers = async || json_of(&device.register().await)["registrationState"].clone();
    let twin = async || {
        let kept = world.get("/api/v1/scopes/0neTEST/registrations/pump-1").await;
        json!([kept["tags"], kept["desired"]])
    };
    let says = |hub: &str, hello: u32| {
        json!({
            "iotHubHostName": hub, "payload": { "hello": hello },
            "initialTwin": { "tags": { "t": hello }, "properties": { "desired": { "d": hello } } },
        })
    };
    function.answers(200, &says("hub-2.example", 1).to_string());
    let first = registers().await;
    assert_eq!((&first["assignedHub"], &first["payload"]), (&json!("hub-2.example"), &json!({ "hello": 1 })));
    let before = twin().await;
    assert_eq!(before, json!([{ "t": 1 }, { "d": 1 }]));

    function.answers(200, &says("hub-2.example", 2).to_string());
    let second = registers().await;
    assert_eq!((&second["assignedHub"], &second["payload"]), (&json!("hub-2.example"), &json!({ "hello": 2 })));
    assert_eq!(function.asked().last().unwrap()["linkedHubs"], json!(["hub-2.example"]));
    // Whatever it says, or does not say: the device keeps its hub, its twin and what it has been told.
    for (status, said) in [(400, "no".to_owned()), (500, String::new()), (200, says("hub-1.example", 3).to_string())] {
        function.answers(status, &said);
        let again = registers().await;
        assert_eq!(
            (&again["assignedHub"], &again["payload"]),
            (&json!("hub-2.example"), &json!({ "hello": 2 })),
            "{status}"
        );
    }
    assert_eq!(twin().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_says_last_counts_while_it_waits_and_after_a_restart() {
    let function = Function::start().await;
    let mut world = world(&function, &[]).await;
    world.enroll(&function.url("/a")).await;
    let device = world.world.device("pump-1").await;
    let says = async |device: &Device, said: &str| {
        let body = json!({ "payload": { "said": said } }).to_string();
        let answer = device.send("PUT", "/register", &[("prefer", "wait=20")], body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        json_of(&answer)["operationId"].as_str().expect("an operation").to_owned()
    };
    let heard =
        |function: &Function| function.asked().last().expect("it is asked")["deviceRuntimeContext"]["payload"].clone();
    function.answers(500, "");
    let first = says(&device, "a").await;
    assert_eq!(says(&device, "a").await, first, "nothing new");
    let second = says(&device, "b").await;
    assert_ne!(first, second);
    assert_eq!(heard(&function), json!({ "said": "b" }), "what is new is decided at once");

    function.answers(200, r#"{"iotHubHostName": "hub-1.example"}"#);
    world.world.restart().await;
    let device = world.world.shown_again(&device);
    assert_eq!(until_assigned(&device, &second).await["assignedHub"], "hub-1.example");
    assert_eq!(heard(&function), json!({ "said": "b" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_says_while_a_decision_is_made_is_decided_next() {
    let function = Function::start().await;
    let world = world(&function, &[]).await;
    world.enroll(&function.url("/a")).await;
    let device = world.world.device("pump-1").await;
    let says = async |said: &str| {
        let answer = device.send("PUT", "/register", &[], json!({ "payload": said }).to_string()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        json_of(&answer)["operationId"].as_str().expect("an operation").to_owned()
    };
    function.behaves(Manner::Silent);
    says("a").await;
    while function.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    says("b").await;
    let last = says("c").await;
    function.answers(200, r#"{"iotHubHostName": "hub-1.example"}"#);
    assert_eq!(until_assigned(&device, &last).await["status"], "assigned");
    let said: Vec<Value> =
        function.asked().iter().map(|asked| asked["deviceRuntimeContext"]["payload"].clone()).collect();
    assert_eq!((said.first(), said.last()), (Some(&json!("a")), Some(&json!("c"))), "{said:?}");
}

/// Polls an operation until it is over; gives the registration's state.
async fn until_assigned(device: &Device, operation: &str) -> Value {
    for _ in 0..1_000 {
        let answer = device.poll(operation).await;
        if answer.status == 200 {
            return json_of(&answer)["registrationState"].clone();
        }
        assert_eq!(answer.status, 202, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} is still assigning", device.id)
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
    _trusted: tempfile::NamedTempFile,
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
            let allow_private_networks = !name.ends_with("in-public");
            let grant = HttpGrant { allow: allow.clone(), allow_private_networks, scopes: None };
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
    Granted { world, _trusted: file }
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
        self.world.record("neighbour", Some(landfall_domain::names::Digest::of(&record.certificate_der))).await;
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
    targets: Arc<Mutex<Vec<String>>>,
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
            targets: Arc::default(),
        };
        let (acceptor, manner, asked) =
            (TlsAcceptor::from(Arc::new(tls)), Arc::clone(&function.manner), Arc::clone(&function.asked));
        let targets = Arc::clone(&function.targets);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, manner, asked) = (acceptor.clone(), Arc::clone(&manner), Arc::clone(&asked));
                let targets = Arc::clone(&targets);
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let Some((target, body)) = request(&mut stream).await else { return };
                    targets.lock().expect("a lock").push(target);
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

    fn targets(&self) -> Vec<String> {
        self.targets.lock().expect("a lock").clone()
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().expect("a lock").clone()
    }
}

/// Reads a request: its target, and its body as JSON.
async fn request(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<(String, Value)> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0_usize) {
                let from = bytes.len() - body.len();
                let target = text.split(' ').nth(1).unwrap_or_default().to_owned();
                return Some((target, serde_json::from_slice(&bytes[from..]).unwrap_or(Value::Null)));
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
