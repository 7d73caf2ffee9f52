//! What an operator changes while a device's policy still thinks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_domain::names::Digest;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::*;

/// What an operator does, and what becomes of the device when it comes back: refused, or admitted anew.
const ACTIONS: [(&str, Then); 8] = [
    ("the group is disabled", Then::Refused),
    ("the group is deleted", Then::Refused),
    ("the group is changed", Then::Admitted),
    ("the certificate is revoked", Then::Refused),
    ("the authority is taken from the group", Then::Refused),
    ("the device is quarantined", Then::Refused),
    ("the device gets a disabled enrollment", Then::Refused),
    ("the certificate is blocked", Then::Refused),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Refused,
    Admitted,
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_an_operator_takes_back_while_a_policy_thinks_is_not_assigned() {
    let function = Function::start().await;
    let granted = world_that_waits(&function, &[], 60_000).await;
    let world = &granted.world;
    let other = landfall_attestation::x509::make::Authority::root("Other", Ambient::system().now(), 30).unwrap();
    world.upload_authority("other", &other).await;
    for (number, (action, then)) in ACTIONS.into_iter().enumerate() {
        granted.enroll(&function.url("/api/Allocate")).await;
        let id = format!("pump-{number}");
        let issued = world.factory.device(&id, Ambient::system().now(), 30).unwrap();
        world.record(&id, None).await;
        let device = world.stranger(&id, &issued);
        let (asked, answers) = function.holds(r#"{"iotHubHostName": "hub-1.example"}"#);
        let registering = tokio::spawn(async move { (device.register().await, device) });
        asked.acquire().await.unwrap().forget();
        operate(world, &function, action, &id, &issued).await;
        answers.add_permits(1);
        let (answer, device) = registering.await.unwrap();
        assert_eq!(answer.status, 202, "{action}: {answer:?}");
        let entry = world.ledger(&tracking_id(&answer)).await.to_string();
        assert!(entry.contains("changed meanwhile"), "{action}: {entry}");
        let path = format!("/api/v1/scopes/{}/registrations/{id}", world.scope);
        assert_eq!(world.manage("GET", &path, b"").await.status, 404, "{action}");

        function.answers(200, r#"{"iotHubHostName": "hub-2.example"}"#);
        let operation = json_of(&answer)["operationId"].as_str().unwrap().to_owned();
        let polled = polled(&device, &operation).await;
        match then {
            Then::Refused => assert_eq!(polled.status, 401, "{action}: {polled:?}"),
            Then::Admitted => {
                assert_eq!(json_of(&polled)["registrationState"]["assignedHub"], "hub-2.example", "{polled:?}");
            }
        }
    }
}

/// Enrollments of other devices come by the thousand, and hold nobody up.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_says_of_others_and_of_hubs_holds_nobody_up() {
    let function = Function::start().await;
    let granted = world_that_waits(&function, &[], 60_000).await;
    let world = &granted.world;
    granted.enroll(&function.url("/api/Allocate")).await;
    let device = world.device("pump-1").await;
    let (asked, answers) = function.holds(r#"{"iotHubHostName": "hub-1.example"}"#);
    let registering = tokio::spawn(async move { device.register().await });
    asked.acquire().await.unwrap().forget();
    let pin = json!({ "certificates": { "primary": { "sha256": Digest::of(b"other") } } });
    world.put("enrollments/other", &individual(pin, true)).await;
    world.link_hub("hub-3.example", 1, 10).await;
    answers.add_permits(1);
    let answer = registering.await.unwrap();
    assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
}

async fn operate(
    world: &World,
    function: &Function,
    action: &str,
    id: &str,
    issued: &landfall_attestation::x509::make::Issued,
) {
    let mut group = group("factory");
    group["allocation"] = json!({ "selection": { "plugin": function.url("/api/Allocate") } });
    match action {
        "the group is disabled" => {
            group["enabled"] = json!(false);
            world.put("enrollment-groups/devices", &group).await;
        }
        "the group is deleted" => {
            let path = format!("/api/v1/scopes/{}/enrollment-groups/devices", world.scope);
            assert_eq!(world.manage("DELETE", &path, b"").await.status, 204);
        }
        "the group is changed" => {
            group["initialTwin"] = json!({ "tags": { "new": true }, "desired": {} });
            world.put("enrollment-groups/devices", &group).await;
        }
        "the certificate is revoked" => {
            let (_, read) = X509Certificate::from_der(&issued.certificate_der).unwrap();
            let serial = read.raw_serial().to_vec();
            let list = world.factory.revocation_list(&[serial], Ambient::system().now(), 7).unwrap();
            world.put("authorities/factory/crl", &json!({ "crl": STANDARD.encode(list) })).await;
        }
        "the authority is taken from the group" => {
            group["x509"]["authorities"]["primary"] = json!("other");
            world.put("enrollment-groups/devices", &group).await;
        }
        "the device is quarantined" => {
            world.put(&format!("records/{id}/state"), &json!({ "state": "quarantined" })).await;
        }
        "the device gets a disabled enrollment" => {
            let pin = json!({ "certificates": { "primary": { "sha256": Digest::of(b"another") } } });
            world.put(&format!("enrollments/{id}"), &individual(pin, false)).await;
        }
        "the certificate is blocked" => {
            let pin = json!({ "certificates": { "primary": issued.certificate_pem } });
            world.put("enrollments/stolen", &individual(pin, false)).await;
        }
        other => panic!("{other}"),
    }
}

fn individual(pin: Value, enabled: bool) -> Value {
    json!({ "x509": pin, "enabled": enabled, "allocation": { "selection": { "plugin": "weighted" } } })
}

/// Polls until the device need not wait any more.
async fn polled(device: &Device, operation: &str) -> landfall::client::Answer {
    for _ in 0..1_000 {
        let answer = device.poll(operation).await;
        if answer.status != 202 {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} is still assigning", device.id)
}
