//! The protocol's rules that clients in the field rely on, one by one.

use http::HeaderMap;
use landfall::client::{self, Answer};
use landfall_tests::world::{Device, World, json_of};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn every_api_version_that_is_a_date_is_taken_and_nothing_else() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    let path = |query: &str| format!("/{}/registrations/pump-1/register{query}", device.scope);
    for good in [
        "?api-version=2017-08-31-preview",
        "?api-version=2018-04-01",
        "?api-version=2019-03-31",
        "?api-version=2021-06-01&forceRegistration=true",
        "?forceRegistration=true&api-version=2026-11-15-preview",
        "?api-version=2199-01-01",
    ] {
        assert_eq!(asked(&device, "PUT", &path(good), &[], b"{}").await.status, 202, "{good}");
    }
    for bad in
        ["", "?", "?api-version", "?api-version=", "?api-version=latest", "?api-version=2021-6-1", "?x=2021-06-01"]
    {
        for (method, path) in [
            ("PUT", path(bad)),
            ("POST", format!("/{}/registrations/pump-1{bad}", device.scope)),
            ("GET", format!("/{}/registrations/pump-1/operations/5.a.b{bad}", device.scope)),
        ] {
            let answer = asked(&device, method, &path, &[], b"").await;
            assert_eq!(answer.status, 400, "{method} {bad}");
            assert_eq!(json_of(&answer)["errorCode"], 400_004, "{method} {bad}");
        }
    }
}

/// A registration id is one whatever its case; an id scope is compared letter by letter.
#[tokio::test(flavor = "multi_thread")]
async fn ids_are_compared_without_case_and_scopes_with_it() {
    let world = World::new().await;
    let device = world.device("Pump-1").await;
    for written in ["Pump-1", "pump-1", "PUMP-1", "%50ump%2D1"] {
        let mut other = device.clone();
        other.id = written.to_owned();
        let body = json!({ "registrationId": "pUMP-1" }).to_string();
        let answer = other.send("PUT", "/register", &[("prefer", "wait=20")], body).await;
        assert_eq!(answer.status, 200, "{written}: {answer:?}");
        assert_eq!(json_of(&answer)["registrationState"]["registrationId"], "Pump-1", "as it was first registered");
    }
    let mut lost = device.clone();
    lost.scope = device.scope.to_lowercase();
    assert_ne!(lost.scope, device.scope);
    let answer = lost.register().await;
    assert_eq!(answer.status, 401);
    assert_eq!(json_of(&answer)["errorCode"], 401_002);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_character_that_an_id_may_have_comes_through_a_path() {
    let world = World::new().await;
    // A certificate's common name has at most 64.
    for id in ["a", "7", ":a", "_._:-", "A:b.c_d-e", &"x".repeat(64)] {
        let device = world.device(id).await;
        for written in [id.to_owned(), id.replace(':', "%3A").replace('_', "%5f")] {
            let answer = Device { id: written, ..device.clone() };
            let answer = answer.send("PUT", "/register", &[("prefer", "wait=20")], "{}".to_owned()).await;
            assert_eq!(answer.status, 200, "{id}: {answer:?}");
            assert_eq!(json_of(&answer)["registrationState"]["registrationId"], *id);
        }
    }
    let device = world.device("pump-1").await;
    for bad in ["pump-1.", "pump-1:", "pump%201", "p%C3%BCmp", "pump%2F1", &"x".repeat(129)] {
        let answer = Device { id: bad.to_owned(), ..device.clone() }.register().await;
        assert_eq!(answer.status, 400, "{bad}: {answer:?}");
        assert_eq!(json_of(&answer)["message"], "Invalid RegistrationId", "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_says_of_its_content_and_its_host_is_not_looked_at() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    for headers in [
        &[("content-type", "text/plain")][..],
        &[("content-type", "")],
        &[("content-encoding", " utf-8")],
        &[("accept", "text/html")],
        &[("useragent", "prov_device_client/1.0"), ("connection", "keep-alive")],
        &[("host", "localhost:443")],
        &[("host", "global.azure-devices-provisioning.net")],
    ] {
        let answer = asked(&device, "PUT", &device.path("/register"), headers, b"{}").await;
        assert_eq!(answer.status, 202, "{headers:?}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_body_is_an_empty_object_and_another_devices_id_is_a_bad_request() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    device.register().await;
    for (method, what, fine) in [("PUT", "/register", 202), ("POST", "", 200)] {
        for good in ["", " \r\n", "{}", r#"{"registrationId":null,"payload":null,"tpm":{},"x":[]}"#] {
            let answer = asked(&device, method, &device.path(what), &[], good.as_bytes()).await;
            assert_eq!(answer.status, fine, "{method} {good:?}: {answer:?}");
        }
        for bad in [
            r#"{"registrationId":"pump-2"}"#,
            r#"{"registrationId":""}"#,
            r#"{"registrationId":1}"#,
            "[]",
            "\u{feff}{}",
        ] {
            let answer = asked(&device, method, &device.path(what), &[], bad.as_bytes()).await;
            assert_eq!(answer.status, 400, "{method} {bad}: {answer:?}");
            assert_eq!(json_of(&answer)["errorCode"], 400_004);
        }
        let csr = r#"{"csr":"MIIB"}"#;
        assert_eq!(asked(&device, method, &device.path(what), &[], csr.as_bytes()).await.status, 400, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_the_limit_is_taken_and_one_byte_more_is_too_large() {
    let world = World::new().await;
    let limit = 98_304;
    let device = world.device("pump-1").await;
    let sized = |bytes: usize| {
        let frame = r#"{"payload":""}"#.len();
        format!(r#"{{"payload":"{}"}}"#, "x".repeat(bytes - frame)).into_bytes()
    };
    let answer = device.try_send("PUT", "/register", &[("prefer", "wait=20")], sized(limit)).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(json_of(&answer)["status"], "assigned");
    // However much follows, its sender gets to read the answer.
    for bytes in [limit + 1, 2 * limit, 4_000_000] {
        for _ in 0..8 {
            let answer = device.try_send("PUT", "/register", &[], sized(bytes)).await;
            let answer = answer.unwrap_or_else(|error| panic!("{bytes} bytes: {error}"));
            assert_eq!(answer.status, 413, "{answer:?}");
            assert_eq!(json_of(&answer)["errorCode"], 413_001);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_wait_that_is_a_number_makes_the_answer_wait() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    device.register().await;
    for form in
        ["wait=20", "Wait=20", "wait = 20", "wait=\"20\"", "respond-async, wait=20", "wait=20; x=y", "wait=4294967296"]
    {
        let answer = asked(&device, "PUT", &device.path("/register"), &[("prefer", form)], b"{}").await;
        assert_eq!(answer.status, 200, "{form}: {answer:?}");
        assert!(answer.header("retry-after").is_none(), "{form}: {answer:?}");
    }
    // Old clients refuse anything but a bare 202.
    for form in ["", "wait", "wait=", "wait=soon", "wait=-1", "wait=1.5", "await=20", "respond-async"] {
        let answer = asked(&device, "PUT", &device.path("/register"), &[("prefer", form)], b"{}").await;
        assert_eq!(answer.status, 202, "{form}: {answer:?}");
        assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
        assert!(json_of(&answer).get("registrationState").is_none(), "{form}: {answer:?}");
    }
    // Who waits for no time is told how far it is, which is one or the other.
    let answer = asked(&device, "PUT", &device.path("/register"), &[("prefer", "wait=0")], b"{}").await;
    assert!([200, 202].contains(&answer.status.as_u16()), "{answer:?}");
    assert_eq!(json_of(&answer)["registrationState"]["registrationId"], "pump-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_told_to_its_own_device_only() {
    let world = World::new().await;
    let (mine, other) = (world.device("pump-1").await, world.device("pump-2").await);
    other.register().await;
    let accepted = mine.send("PUT", "/register", &[], "{}".to_owned()).await;
    let operation = json_of(&accepted)["operationId"].as_str().unwrap().to_owned();

    let told = other.poll(&operation).await;
    assert_eq!((told.status.as_u16(), &json_of(&told)["errorCode"]), (404, &json!(404_202)), "under its own id");
    let path = mine.path(&format!("/operations/{operation}"));
    let told = asked(&other, "GET", &path, &[], b"").await;
    assert_eq!((told.status.as_u16(), &json_of(&told)["errorCode"]), (401, &json!(401_002)), "under the other's id");
    let told = asked(&other, "POST", &mine.path(""), &[], b"").await;
    assert_eq!(told.status, 401, "a look-up of the other");

    // A poll's body is whatever a client's library puts there.
    for junk in ["", "{}", " ", "{\"registrationId\":\"pump-2\"}", "no JSON"] {
        let answer = asked(&mine, "GET", &path, &[("prefer", "wait=20")], junk.as_bytes()).await;
        assert_eq!(answer.status, 200, "{junk:?}: {answer:?}");
        assert_eq!(json_of(&answer)["operationId"], *operation);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_protocol_does_not_know_is_an_error_with_a_body() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    for (method, path, status, code) in [
        ("GET", "/".to_owned(), 404, 404_202),
        ("GET", "//".to_owned(), 404, 404_202),
        ("PUT", device.path("/register/"), 404, 404_202),
        ("PUT", device.path("/registers"), 404, 404_202),
        ("GET", device.path("/register"), 405, 405_001),
        ("POST", device.path("/register"), 405, 405_001),
        ("DELETE", device.path(""), 405, 405_001),
        ("OPTIONS", device.path("/register"), 405, 405_001),
        ("PUT", device.path("/operations/5.a.b"), 405, 405_001),
        ("BREW", device.path("/register"), 405, 405_001),
    ] {
        let answer = asked(&device, method, &path, &[], b"").await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert_eq!(json_of(&answer)["errorCode"], code, "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(json_of(&answer)["trackingId"], answer.header("x-ms-request-id").unwrap());
    }
}

/// Sends a request as it is, over a connection of its own.
async fn asked(device: &Device, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let headers: HeaderMap = client::headers(headers);
    let mut connection = device.connect().await.unwrap();
    connection.send(method.parse().unwrap(), path, headers, body.to_vec()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_served_here_is_answered_with_what_it_is() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    for (path, said) in [
        ("/enrollments/pump-1?api-version=2021-10-01", "service API"),
        ("/enrollmentGroups/query?api-version=2021-10-01", "service API"),
        ("/registrations/pump-1?api-version=2021-10-01", "service API"),
        ("/$iothub/websocket?iothub-no-client-cert=true", "MQTT"),
        ("/api/v1/status", "management API"),
        ("/0neTEST/registrations/pump-1/getDeviceUpdate?api-version=2026-11-15-preview", "Updates"),
        ("/nothing", "Not found"),
    ] {
        let mut client = device.connect().await.unwrap();
        let headers = landfall::client::headers(&[]);
        let answer = client.send(http::Method::GET, path, headers, Vec::new()).await.unwrap();
        assert_eq!(answer.status, 404, "{path}");
        let told = json_of(&answer);
        assert_eq!(told["errorCode"], 404_202, "{path}");
        assert!(told["message"].as_str().unwrap().contains(said), "{path}: {told}");
    }
}
