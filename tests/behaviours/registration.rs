//! A device registers, with whatever patience its SDK has.

use landfall_tests::world::{World, group, json_of, tracking_id};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_device_with_both_factors_gets_its_hub_and_its_place() {
    let world = World::new().await;
    let device = world.device("Pump-1").await;

    let answer = device.register().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = json_of(&answer);
    let state = &body["registrationState"];
    assert_eq!(body["status"], "assigned");
    assert_eq!(state["registrationId"], "Pump-1");
    assert_eq!(state["assignedHub"], "hub-1.example");
    assert_eq!(state["deviceId"], "Pump-1");
    assert_eq!(state["substatus"], "initialAssignment");
    assert_eq!(state["payload"], json!({ "group": ["oslo"], "tags": { "from": "table" }, "desired": {} }));
    assert_eq!(state["x509"]["enrollmentGroupId"], "devices");
    for field in [
        "subjectName",
        "sha1Thumbprint",
        "sha256Thumbprint",
        "issuerName",
        "notBeforeUtc",
        "notAfterUtc",
        "serialNumber",
        "version",
    ] {
        assert!(!state["x509"]["certificateInfo"][field].is_null(), "{field} is missing: {state}");
    }

    let entry = world.ledger(&tracking_id(&answer)).await;
    let decision = &entry["kind"]["decided"];
    assert_eq!(decision["factors"]["manufacturer"], "acme");
    assert_eq!(decision["factors"]["evidence"], json!(["certificate"]));
    assert_eq!(decision["calls"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_cannot_wait_is_told_202_and_polls() {
    let world = World::new().await;
    let device = world.device("pump-1").await;

    let accepted = device.send("PUT", "/register", &[], "{}".to_owned()).await;
    assert_eq!(accepted.status, 202);
    assert_eq!(accepted.header("content-type"), Some("application/json; charset=utf-8"));
    assert!(accepted.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    let body = json_of(&accepted);
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    assert_eq!(body["status"], "assigning");

    let answer = device.register_and_poll().await;
    assert_eq!(answer.status, 200);
    assert_eq!(json_of(&answer)["registrationState"]["status"], "assigned");
    assert_eq!(answer.header("retry-after"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_after_a_restart_finds_the_result() {
    let mut world = World::new().await;
    let device = world.device("pump-1").await;
    let accepted = json_of(&device.send("PUT", "/register", &[], String::new()).await);
    let operation = accepted["operationId"].as_str().unwrap().to_owned();
    assert_eq!(device.poll(&operation).await.status.as_u16() / 100, 2);
    world.restart().await;

    let device = world.shown_again(&device);
    let mut answer = device.poll(&operation).await;
    while answer.status == 202 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        answer = device.poll(&operation).await;
    }
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(json_of(&answer)["registrationState"]["assignedHub"], "hub-1.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_nobody_began_is_not_found() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    for made_up in ["4.0123456789abcdef.0197c5c1-0000-7000-8000-000000000000", "x", "5.a.b"] {
        let answer = device.poll(made_up).await;
        assert_eq!(answer.status, 404, "{made_up}");
        assert_eq!(json_of(&answer)["errorCode"], 404_202);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_tells_the_registration_and_starts_none() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    assert_eq!(device.look_up().await.status, 404);
    device.register().await;
    let answer = device.look_up().await;
    assert_eq!(answer.status, 200);
    assert_eq!(json_of(&answer)["assignedHub"], "hub-1.example", "not wrapped: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_comes_back_keeps_its_hub_its_date_and_its_writing() {
    let world = World::new().await;
    let device = world.device("Pump-1").await;
    let first = json_of(&device.register().await)["registrationState"].clone();
    world.link_hub("hub-2.example", 1, 10).await;
    let mut lower = device.clone();
    lower.id = "PUMP-1".to_owned();
    let second = json_of(&lower.register().await)["registrationState"].clone();
    assert_eq!(second["registrationId"], "Pump-1");
    assert_eq!(second["createdDateTimeUtc"], first["createdDateTimeUtc"]);
    assert_ne!(second["etag"], first["etag"]);
    let hub = world.get(&format!("/api/v1/scopes/{}/hubs/hub-1.example", world.scope)).await;
    let other = world.get(&format!("/api/v1/scopes/{}/hubs/hub-2.example", world.scope)).await;
    assert_eq!(hub["assigned"].as_u64().unwrap() + other["assigned"].as_u64().unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hub_ever_gets_more_devices_than_it_takes() {
    let world = World::empty(|_| {}).await;
    for (hub, capacity) in [("a.example", 5), ("b.example", 3), ("c.example", 2)] {
        world.link_hub(hub, 1, capacity).await;
    }
    world.enroll_factory().await;
    let mut devices = Vec::new();
    for number in 0..30 {
        devices.push(world.device(&format!("d-{number}")).await);
    }
    let registering: Vec<_> = devices
        .into_iter()
        .map(|device| {
            tokio::spawn(async move { json_of(&device.register().await)["status"].as_str().unwrap().to_owned() })
        })
        .collect();
    let mut statuses = Vec::new();
    for one in registering {
        statuses.push(one.await.unwrap());
    }
    assert_eq!(statuses.iter().filter(|status| *status == "assigned").count(), 10, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| *status == "failed").count(), 20, "{statuses:?}");
    for (hub, capacity) in [("a.example", 5), ("b.example", 3), ("c.example", 2)] {
        let hub = world.get(&format!("/api/v1/scopes/{}/hubs/{hub}", world.scope)).await;
        assert_eq!(hub["assigned"], capacity, "{hub}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_individual_enrollment_counts_before_its_group() {
    let world = World::new().await;
    let issued = world.factory.device("pump-1", landfall_domain::clock::Ambient::system().now(), 30).unwrap();
    world.record("pump-1", None).await;
    let mut enrollment = group("factory");
    let fields = enrollment.as_object_mut().unwrap();
    fields.insert("x509".to_owned(), json!({ "certificates": { "primary": issued.certificate_pem } }));
    fields.insert("deviceId".to_owned(), json!("the-first-pump"));
    world.put("enrollments/pump-1", &enrollment).await;

    let body = json_of(&world.stranger("pump-1", &issued).register().await);
    assert_eq!(body["registrationState"]["deviceId"], "the-first-pump", "{body}");
    assert!(body["registrationState"]["x509"].get("enrollmentGroupId").is_none());

    let other = world.factory.device("pump-1", landfall_domain::clock::Ambient::system().now(), 30).unwrap();
    assert_eq!(world.stranger("pump-1", &other).register().await.status, 401, "not the pinned certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_devices_data_stays_and_moves_with_it_and_is_reset_only_when_the_enrollment_says_so() {
    let world = World::new().await;
    world.link_hub("hub-2.example", 1, 1000).await;
    let device = world.device("pump-1").await;
    let enroll = async |twin: u32, hub: &str, migrate: bool| {
        let mut devices = group("factory");
        devices["initialTwin"] = json!({ "tags": { "twin": twin }, "desired": { "of": twin } });
        devices["hubs"] = json!([hub]);
        devices["reprovision"] = json!({ "updateHubAssignment": true, "migrateDeviceData": migrate });
        world.put("enrollment-groups/devices", &devices).await;
        let state = json_of(&device.register().await)["registrationState"].clone();
        let kept = world.get("/api/v1/scopes/0neTEST/registrations/pump-1").await;
        assert_eq!(state["payload"]["tags"], kept["tags"], "what the device is told is what is kept");
        (
            state["assignedHub"].clone(),
            state["substatus"].clone(),
            kept["tags"]["twin"].clone(),
            kept["desired"].clone(),
        )
    };
    let expected = |hub: &str, how: &str, twin: u32| (json!(hub), json!(how), json!(twin), json!({ "of": twin }));
    assert_eq!(enroll(1, "hub-1.example", true).await, expected("hub-1.example", "initialAssignment", 1));
    assert_eq!(enroll(2, "hub-1.example", true).await, expected("hub-1.example", "initialAssignment", 1));
    assert_eq!(enroll(3, "hub-1.example", false).await, expected("hub-1.example", "initialAssignment", 1));
    assert_eq!(enroll(4, "hub-2.example", true).await, expected("hub-2.example", "deviceDataMigrated", 1));
    let back = enroll(5, "hub-1.example", false).await;
    assert_eq!(back, expected("hub-1.example", "reprovisionedToInitialAssignment", 5));
    assert_eq!(enroll(6, "hub-2.example", false).await, expected("hub-2.example", "deviceDataReset", 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_has_the_id_in_its_hub_that_its_certificate_says_however_the_url_is_written() {
    let world = World::new().await;
    let mut device = world.device("pump-2").await;
    device.id = "Pump-2".to_owned();
    let state = json_of(&device.register().await)["registrationState"].clone();
    assert_eq!((&state["deviceId"], &state["registrationId"]), (&json!("pump-2"), &json!("pump-2")), "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_was_told_leads_to_the_decision_by_any_of_its_ids() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    let accepted = json_of(&device.send("PUT", "/register", &[], String::new()).await);
    let operation = accepted["operationId"].as_str().unwrap().to_owned();
    let polled = loop {
        let answer = device.poll(&operation).await;
        if answer.status == 200 {
            break answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    let shown = world.get("/api/v1/scopes/0neTEST/registrations/pump-1").await;
    let decision = world.ledger(shown["decision"].as_str().unwrap()).await;
    assert_eq!(decision["kind"]["decided"]["verdict"]["assigned"]["hub"], "hub-1.example", "{decision}");
    for id in [tracking_id(&polled), operation, tracking_id(&device.look_up().await)] {
        assert_eq!(world.ledger(&id).await, decision, "{id}");
    }
    for unknown in ["4.0123456789abcdef.0197c5c1-0000-7000-8000-000000000000", "0197c5c1-0000-7000-8000-000000000000"] {
        let answer = world.manage("GET", &format!("/api/v1/decisions/{unknown}"), b"").await;
        assert_eq!(answer.status, 404, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_intermediate_is_missing_is_refused_with_its_name() {
    let world = World::new().await;
    let line = world.factory.intermediate("Line 3", landfall_domain::clock::Ambient::system().now(), 30).unwrap();
    let issued = line.device("pump-1", landfall_domain::clock::Ambient::system().now(), 30).unwrap();
    world.record("pump-1", None).await;
    let refused = world.stranger("pump-1", &issued).register().await;
    assert_eq!(refused.status, 401);
    let told = world.ledger(&tracking_id(&refused)).await["kind"]["refused"].clone();
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains("issued by CN=Line 3, which the device did not send"), "{told}");
    let shown = told["shown"].to_string();
    assert!(shown.contains("CN=pump-1") && shown.contains(r#"{"key":"certificates","value":"1"}"#), "{shown}");
    assert_eq!(world.chained("pump-1", &issued, &[&line]).register().await.status, 200);
}
