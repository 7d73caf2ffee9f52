//! What a device is answered that is neither a result nor a refusal has a story too, under the tracking id that it logs. And
//! whatever is wrong with a request, no answer and no story repeats what could be a secret in it.

use std::sync::Arc;

use landfall::client::Answer;
use landfall_tests::world::{Device, World, json_of, tracking_id};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

#[tokio::test(flavor = "multi_thread")]
async fn every_error_that_a_device_is_told_has_a_story() {
    let world = World::with(|config| config.limits.device.max_body_bytes = 2_048).await;
    let device = world.device("pump-1").await;
    let (register, look_up, at) = (device.path("/register"), device.path(""), device.address.ip().to_string());
    let poll = |operation: &str| device.path(&format!("/operations/{operation}"));
    let unknown = poll("4.0123456789abcdef.0197c5c1-0000-7000-8000-000000000000");
    let two_hosts = [("host", "localhost"), ("host", "elsewhere")];
    let bad_id = Device { id: "pump%201".to_owned(), ..device.clone() }.path("/register");
    let bare = register.split('?').next().unwrap();
    for (method, path, headers, body, status, says) in [
        ("PUT", bare, &[][..], "{}", 400, "The api-version is missing from the query"),
        ("PUT", &register, &[], "{\"a\":\"hunter2", 400, "not JSON: EOF while parsing a string at line 1"),
        ("PUT", &register, &[], r#"{"tpm":"hunter2"}"#, 400, "at tpm: invalid type: string"),
        ("PUT", &register, &[], r#"{"registrationId":"pump-2"}"#, 400, "is not that of the URL"),
        ("PUT", &register, &[], r#"{"csr":"hunter2!"}"#, 400, "character 7"),
        ("PUT", &bad_id, &[], "{}", 400, "Invalid RegistrationId"),
        ("PUT", &register, &two_hosts, "{}", 400, "one Host header: it has 2"),
        ("POST", &look_up, &[], "{}", 404, "no registration"),
        ("GET", &poll("hunter"), &[], "", 404, "no such operation"),
        ("GET", &unknown, &[], "", 404, "no such operation"),
        ("GET", "/nothing/here", &[], "", 404, "nothing is served under this path"),
        ("GET", "/enrollments/pump-1", &[], "", 404, "The service API of DPS is not served here"),
        ("DELETE", &register, &[], "", 405, "Method not allowed"),
        ("PUT", &register, &[], &format!("[{}]", " ".repeat(2_048)), 413, "more than 2048 bytes"),
    ] {
        let answer = asked(&device, method, path, headers, body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        let story = story(&world, &answer).await;
        let told = &story["kind"]["answered"];
        assert_eq!(told["status"], status, "{story}");
        assert!(told["detail"].as_str().unwrap().contains(says), "{method} {path}: {says:?} is not in {story}");
        assert_eq!(told["asked"], format!("{method} {}", path.split('?').next().unwrap()), "{story}");
        assert_eq!(story["source"], at, "{story}");
        assert!(story["at"].is_u64() || story["at"].is_string(), "{story}");
        assert!(!story.to_string().contains("hunter2"), "{story}");
        let of_device = path.contains("/registrations/");
        assert_eq!(story["scope"], if of_device { json!(world.scope) } else { Value::Null }, "{story}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_so_under_an_id_that_leads_to_the_measure() {
    let world = World::with(|config| {
        config.limits.throttle.device_per_minute = 1;
        config.limits.throttle.device_burst = 1;
    })
    .await;
    let device = world.device("pump-1").await;
    assert_eq!(device.register().await.status, 200);
    let answer = device.register().await;
    assert_eq!(answer.status, 429);
    let story = story(&world, &answer).await;
    assert_eq!(story["registrationId"], "pump-1");
    let detail = story["kind"]["answered"]["detail"].as_str().unwrap();
    assert!(detail.contains("asked too often (registration-id)"), "{detail}");
}

/// hyper answers such bytes by itself, and knows no tracking ids.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_request_is_answered_with_a_tracking_id() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    for (sent, status, code, says) in [
        ("GET\r\n\r\n".to_owned(), 400, 400_004, "invalid HTTP"),
        ("\u{10}\u{c}\0\u{4}MQTT\u{4}\u{2}\0\u{3c}\0\0".to_owned(), 400, 400_004, "invalid HTTP method parsed"),
        ("PUT / HTTP/9.9\r\n\r\n".to_owned(), 400, 400_004, "invalid HTTP version parsed"),
        ("GET / HTTP/1.1\r\nauthorization hunter2: c\r\n\r\n".to_owned(), 400, 400_004, "invalid HTTP header parsed"),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "x: hunter2\r\n".repeat(500)), 431, 431_001, "message head is too large"),
        // After one that was answered.
        ("GET /x HTTP/1.1\r\nhost: a\r\n\r\nGET\r\n\r\n".to_owned(), 400, 400_004, "invalid HTTP"),
    ] {
        let socket = TcpStream::connect(device.address).await.unwrap();
        let tls = TlsConnector::from(Arc::clone(&device.tls));
        let mut connection = tls.connect("localhost".try_into().unwrap(), socket).await.unwrap();
        connection.write_all(sent.as_bytes()).await.unwrap();
        let mut told = String::new();
        connection.read_to_string(&mut told).await.unwrap();
        let (_, last) = told.rsplit_once("HTTP/1.1 4").unwrap_or_else(|| panic!("{sent:?}: {told:?}"));
        let (head, body) = last.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&status.to_string()[1..]), "{sent:?}: {told}");
        let body: Value = serde_json::from_str(body).unwrap();
        let id = body["trackingId"].as_str().unwrap();
        assert!(head.contains(&format!("x-ms-request-id: {id}\r\n")), "{head}");
        assert!(head.contains(&format!("x-ms-error-code: {code}\r\n")), "{head}");
        assert_eq!(body["errorCode"], code);
        let story = world.ledger(id).await;
        let answered = &story["kind"]["answered"];
        assert_eq!(answered["status"], status, "{story}");
        assert!(answered["detail"].as_str().unwrap().contains(says), "{sent:?}: {story}");
        assert!(!story.to_string().contains("hunter2"), "{story}");
    }
    assert_eq!(device.register().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_from_elsewhere_hides_no_answer() {
    let world = World::with(|config| config.limits.device.answers_kept = 4).await;
    let device = world.device("pump-1").await;
    assert_eq!(device.register().await.status, 200);
    // On one connection, so that it has proven itself.
    let mut connection = device.connect().await.unwrap();
    let headers = || landfall::client::headers(&[("content-type", "application/json")]);
    let mut send = async |method: http::Method, path: &str| {
        connection.send(method, path, headers(), b"{}".to_vec()).await.unwrap()
    };
    assert_eq!(send(http::Method::POST, &device.path("")).await.status, 200);
    let missed = send(http::Method::GET, "/missed").await;
    let stranger = world.shown("pump-1", None);
    let mut last = None;
    for _ in 0..20 {
        last = Some(asked(&stranger, "GET", "/flood", &[], "").await);
    }
    assert_eq!(story(&world, &missed).await["kind"]["answered"]["asked"], "GET /missed");
    assert_eq!(story(&world, &last.unwrap()).await["kind"]["answered"]["asked"], "GET /flood");
}

/// A password in the wrong place, of the wrong type, under a wrong name.
#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_the_management_api_repeats_a_password() {
    let world = World::new().await;
    let path = format!("/api/v1/scopes/{}/enrollments/meter-1", world.scope);
    for body in [
        json!({ "password": "hunter2-hunter2" }),
        json!({ "password": ["hunter2-hunter2"] }),
        json!({ "password": { "password": ["hunter2-hunter2"] } }),
        json!({ "password": { "password": { "hunter": "hunter2-hunter2" } } }),
        json!({ "password": { "password": 47_114_711 } }),
        json!({ "symmetricKey": { "primaryKey": 47_114_711 } }),
        json!({ "symmetricKey": { "primaryKey": "hunter2-hunter2" } }),
        json!({ "symmetricKey": "hunter2-hunter2" }),
        json!({ "tpm": "hunter2-hunter2" }),
        json!("hunter2-hunter2"),
    ] {
        let answer = world.manage("PUT", &path, body.to_string().as_bytes()).await;
        let told = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert_eq!(answer.status, 400, "{body}: {told}");
        assert!(!told.contains("hunter2") && !told.contains("47114711"), "{body}: {told}");
        let says = ["invalid", "base64", "member", "object"];
        assert!(says.iter().any(|word| told.contains(word)), "{body}: {told}");
    }
}

async fn story(world: &World, answer: &Answer) -> Value {
    assert_eq!(json_of(answer)["trackingId"], tracking_id(answer), "{answer:?}");
    world.ledger(&tracking_id(answer)).await
}

async fn asked(device: &Device, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut client = device.connect().await.unwrap();
    let headers = landfall::client::headers(headers);
    client.send(method.parse().unwrap(), path, headers, body.as_bytes().to_vec()).await.unwrap()
}
