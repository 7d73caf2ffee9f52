//! What parsers of others have stumbled over, sent to the devices' listener: broken JSON, and strings that break
//! programs, in every place of a request where a client can put them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use landfall::client::{Answer, Client};
use landfall_tests::world::{Device, World, json_of, tracking_id};
use serde_json::{Map, Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn broken_json_is_a_bad_request_wherever_it_stands_and_odd_json_is_taken() {
    // JSON by the letter, of which one reader takes the first member and another the last.
    let twofold = |name: &str| name.contains("duplicated_key");
    let world = patient_world().await;
    let mut device = Talking::new(world.device("pump-1").await).await;
    let cases = json_cases();
    assert_eq!(cases.len(), 340, "the corpus is whole");
    for (name, bytes) in &cases {
        let as_body = device.put(bytes.clone()).await;
        let as_payload = device.put([b"{\"payload\":", &bytes[..], b"}"].concat()).await;
        let as_id = device.put([b"{\"registrationId\":", &bytes[..], b"}"].concat()).await;
        // No input is text that names the device.
        assert!(refused(as_id.status) || bytes == b"null", "{name} as registration id: {as_id:?}");
        match name.get(..2) {
            // Registering needs an object, or nothing at all.
            _ if twofold(name) => assert!(refused(as_body.status), "{name} as body: {as_body:?}"),
            Some("y_") if bytes.trim_ascii_start().starts_with(b"{") => assert_eq!(as_body.status, 202, "{name}"),
            Some("n_") if bytes.trim_ascii().is_empty() => assert_eq!(as_body.status, 202, "{name}"),
            Some("y_" | "n_") => assert!(refused(as_body.status), "{name} as body: {as_body:?}"),
            _ => assert!(as_body.status == 202 || refused(as_body.status), "{name} as body: {as_body:?}"),
        }
        match name.get(..2) {
            _ if twofold(name) => assert!(refused(as_payload.status), "{name} as payload: {as_payload:?}"),
            Some("y_") => assert_eq!(as_payload.status, 202, "{name} as payload: {as_payload:?}"),
            Some("n_") => assert!(refused(as_payload.status), "{name} as payload: {as_payload:?}"),
            _ => assert!(as_payload.status == 202 || refused(as_payload.status), "{name}: {as_payload:?}"),
        }
    }
    still_serves(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_payloads_that_are_taken_end_in_a_registration() {
    let world = patient_world().await;
    let device = world.device("pump-1").await;
    for (name, bytes) in json_cases().iter().filter(|(name, _)| !name.starts_with("n_")) {
        let body = [b"{\"payload\":", &bytes[..], b"}"].concat();
        let answer = device.try_send("PUT", "/register", &[("prefer", "wait=20")], body).await.unwrap();
        if answer.status != 400 {
            assert_eq!(answer.status, 200, "{name}: {answer:?}");
            assert_eq!(json_of(&answer)["registrationState"]["assignedHub"], "hub-1.example", "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn naughty_strings_in_a_body_are_payload_or_a_bad_request() {
    let world = patient_world().await;
    let mut device = Talking::new(world.device("pump-1").await).await;
    for text in naughty() {
        let answer = device.put(json!({ "payload": text }).to_string().into_bytes()).await;
        assert_eq!(answer.status, 202, "{text:?} as payload: {answer:?}");
        let answer = device.put(json!({ "payload": { &text: 1 } }).to_string().into_bytes()).await;
        assert_eq!(answer.status, 202, "{text:?} as name: {answer:?}");
        let answer = device.put(json!({ "registrationId": text }).to_string().into_bytes()).await;
        assert_eq!(answer.status, 400, "{text:?} as registration id: {answer:?}");
        let answer = device.put(text.clone().into_bytes()).await;
        // An empty body counts as an empty object, and one of the strings is JSON.
        let fine = text.trim().is_empty() || serde_json::from_str::<Map<String, Value>>(&text).is_ok();
        assert_eq!(answer.status, if fine { 202 } else { 400 }, "{text:?} as body: {answer:?}");
    }
    still_serves(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn naughty_strings_in_a_path_name_nobody() {
    let world = patient_world().await;
    let mut device = Talking::new(world.device("pump-1").await).await;
    for text in naughty() {
        let encoded = percent_encoded(text.as_bytes());
        let version = "?api-version=2021-06-01";
        for (path, allowed) in [
            // Some are well-formed ids, only not this device's.
            (format!("/{}/registrations/{encoded}/register{version}", device.device.scope), [400, 401, 404]),
            (format!("/{encoded}/registrations/pump-1/register{version}"), [401, 401, 404]),
            (format!("/{}/registrations/pump-1/{encoded}{version}", device.device.scope), [404, 404, 404]),
            (format!("/{encoded}"), [404, 404, 404]),
            (device.device.path("/register") + "&" + &encoded, [202, 202, 202]),
            (device.device.path("/register").replace("2021-06-01", &encoded), [400, 400, 400]),
        ] {
            let answer = device.send("PUT", &path, HeaderMap::new(), b"{}".to_vec()).await;
            assert!(allowed.contains(&answer.status.as_u16()), "{text:?} in {path}: {answer:?}");
        }
        let operation = device.device.path(&format!("/operations/{encoded}"));
        let answer = device.send("GET", &operation, HeaderMap::new(), Vec::new()).await;
        assert_eq!(answer.status, 404, "{text:?} as operation: {answer:?}");
    }
    still_serves(&world).await;
}

/// Bytes that are no text once they are decoded, and escapes that are none.
#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_no_text_is_answered_like_any_other_bad_path() {
    let world = patient_world().await;
    let mut device = Talking::new(world.device("pump-1").await).await;
    let scope = device.device.scope.clone();
    for odd in ["%FF", "pump%C3%28", "%ED%A0%80", "%", "%1", "%zz", "pump-1%00", "%2e%2e", "..", "pump-1%2Fregister"] {
        for (method, path, allowed) in [
            ("PUT", format!("/{scope}/registrations/{odd}/register?api-version=2021-06-01"), [400, 400]),
            ("POST", format!("/{scope}/registrations/{odd}?api-version=2021-06-01"), [400, 400]),
            ("PUT", format!("/{odd}/registrations/pump-1/register?api-version=2021-06-01"), [400, 401]),
            ("GET", format!("/{scope}/registrations/pump-1/operations/{odd}?api-version=2021-06-01"), [400, 404]),
        ] {
            let answer = device.send(method, &path, HeaderMap::new(), b"{}".to_vec()).await;
            assert!(allowed.contains(&answer.status.as_u16()), "{path}: {answer:?}");
        }
    }
    still_serves(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn naughty_strings_in_headers_change_nothing() {
    let world = patient_world().await;
    let mut device = Talking::new(world.device("pump-1").await).await;
    let mut legal = 0;
    for text in naughty() {
        let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) else { continue };
        legal += 1;
        for name in
            ["content-type", "content-encoding", "authorization", "user-agent", "request-id", "accept", "prefer"]
        {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), value.clone());
            let path = device.device.path("/register");
            let answer = device.send("PUT", &path, headers, b"{}".to_vec()).await;
            assert_eq!(answer.status, 202, "{name}: {text:?}: {answer:?}");
        }
    }
    assert!(legal > 400, "only {legal} of the strings can be headers");
    still_serves(&world).await;
}

/// A device that sends one request after the other over one connection.
struct Talking {
    device: Device,
    client: Client,
}

impl Talking {
    async fn new(device: Device) -> Self {
        Self { client: device.connect().await.unwrap(), device }
    }

    async fn put(&mut self, body: Vec<u8>) -> Answer {
        let path = self.device.path("/register");
        self.send("PUT", &path, HeaderMap::new(), body).await
    }

    /// The answer is well formed whatever was asked, and the connection lives on unless the body was too large.
    async fn send(&mut self, method: &str, path: &str, headers: HeaderMap, body: Vec<u8>) -> Answer {
        let answer = self.client.send(method.parse().unwrap(), path, headers, body).await;
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path} has no answer: {error}"));
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"), "{path}: {answer:?}");
        let body = json_of(&answer);
        if answer.status.is_success() {
            assert!(body["operationId"].is_string(), "{path}: {answer:?}");
            assert!(!tracking_id(&answer).is_empty());
        } else {
            assert!(answer.status.is_client_error(), "{path}: {answer:?}");
            let code = body["errorCode"].as_u64().unwrap_or_else(|| panic!("no code: {answer:?}"));
            assert_eq!(code / 1000, u64::from(answer.status.as_u16()), "{path}: {answer:?}");
            assert_eq!(answer.header("x-ms-error-code"), Some(code.to_string().as_str()));
            assert_eq!(body["trackingId"], tracking_id(&answer));
            assert!(!body["message"].as_str().unwrap().is_empty());
        }
        if answer.status == 413 {
            self.client = self.device.connect().await.unwrap();
        }
        answer
    }
}

/// A world whose connections are not closed because they have carried too much.
async fn patient_world() -> World {
    World::with(|config| config.limits.listener.requests_per_connection = 1_000_000).await
}

/// Another device gets its hub as if nothing had happened.
async fn still_serves(world: &World) {
    let answer = world.device("good-device").await.register().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(json_of(&answer)["status"], "assigned");
}

fn refused(status: http::StatusCode) -> bool {
    status == 400 || status == 413
}

/// Names and bytes.
fn json_cases() -> Vec<(String, Vec<u8>)> {
    let decoded = |text: &str| STANDARD.decode(text).unwrap();
    let case = |line: &str| {
        let [name, part, times, rest] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        (name.to_owned(), [decoded(part).repeat(times.parse().unwrap()), decoded(rest)].concat())
    };
    include_str!("../vectors/jsontestsuite/cases.tsv").lines().map(case).collect()
}

fn naughty() -> Vec<String> {
    let all: Vec<String> = serde_json::from_str(include_str!("../vectors/blns/blns.json")).unwrap();
    assert_eq!(all.len(), 515, "the corpus is whole");
    all
}

fn percent_encoded(bytes: &[u8]) -> String {
    let one = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(*byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    bytes.iter().map(one).collect()
}

/// A moment here; `prove fuzz` takes as long as it is told.
#[test]
fn whatever_a_parser_of_strangers_bytes_is_given_it_reads_or_refuses() {
    let reports = landfall_tests::fuzz::run(std::time::Duration::from_millis(100), 7).unwrap();
    assert_eq!(reports.len(), 12);
    for report in reports {
        assert!(report.faults.is_empty() && report.inputs > 10, "{report:?}");
    }
}
