use landfall_plugin::Attestation;
use landfall_plugin::http::{Error, Request};
use landfall_plugin::testing::{self, Catalogue};
use serde_json::{Value, json};

use super::*;

const URL: &str = "https://fn.example/api/Allocate?code=hunter2";

fn webhook() -> Webhook {
    testing::configure(json!({ "url": URL })).expect("good settings")
}

fn select(device: &Device, service: impl Fn(&Request) -> Result<Response, Error> + 'static) -> Result<Outcome, Fault> {
    let hubs = Catalogue::of(["toasters.example", "heatpumps.example"]).candidates();
    testing::with_service(service, || webhook().select_hub(&testing::call(), device, &hubs))
}

fn answering(status: u16, body: &'static str) -> Result<Outcome, Fault> {
    select(&testing::device("pump-1").build(), move |_| Ok(Response::new(status, body)))
}

#[test]
fn the_function_is_sent_the_contracts_body() {
    let device = testing::device("breakroom499-contoso-tstrsd-007")
        .in_group("contoso-custom-allocated-devices")
        .attested_by(Attestation::SymmetricKey)
        .was_at("toasters.example", &[])
        .payload(json!({ "MyDeviceFirmwareVersion": "12.0.2.5" }))
        .build();
    let answer = select(&device, |request| {
        assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", URL));
        assert!(request.headers.contains(&("content-type".into(), "application/json".into())));
        let sent: Value = serde_json::from_slice(&request.body).expect("JSON");
        // As captured from the service, but for members that a policy is not told.
        let expected = json!({
            "enrollmentGroup": {
                "enrollmentGroupId": "contoso-custom-allocated-devices",
                "attestation": { "type": "symmetricKey" },
                "capabilities": { "iotEdge": false },
                "provisioningStatus": "enabled",
                "allocationPolicy": "custom",
                "iotHubs": ["toasters.example", "heatpumps.example"],
                "customAllocationDefinition": {
                    "webhookUrl": "https://fn.example/api/Allocate?****", "apiVersion": "2021-10-01"
                },
            },
            "deviceRuntimeContext": {
                "registrationId": "breakroom499-contoso-tstrsd-007",
                "currentIotHubHostName": "toasters.example",
                "currentDeviceId": "breakroom499-contoso-tstrsd-007",
                "symmetricKey": {},
                "payload": { "MyDeviceFirmwareVersion": "12.0.2.5" },
            },
            "linkedHubs": ["toasters.example", "heatpumps.example"],
        });
        assert_eq!(sent, expected);
        Ok(Response::new(200, r#"{"iotHubHostName": "heatpumps.example"}"#))
    });
    assert!(matches!(answer, Ok(Outcome::Assign(choice)) if choice.hub == 1));
}

#[test]
fn of_the_initial_twin_the_function_is_sent_what_a_policy_is_told_and_nothing_false() {
    let device = testing::device("pump-1").tag("z", json!(1)).build();
    let answer = select(&device, |request| {
        let sent: Value = serde_json::from_slice(&request.body).expect("JSON");
        assert_eq!(sent["individualEnrollment"]["initialTwin"], json!({ "tags": { "z": 1 } }));
        Ok(Response::new(200, r#"{"iotHubHostName": "toasters.example"}"#))
    });
    assert!(answer.is_ok());
}

#[test]
fn a_device_that_was_never_assigned_and_says_nothing_is_sent_as_such() {
    let answer = select(&testing::device("pump-1").build(), |request| {
        let sent: Value = serde_json::from_slice(&request.body).expect("JSON");
        let context = sent["deviceRuntimeContext"].as_object().expect("an object");
        assert_eq!(context.keys().collect::<Vec<_>>(), ["registrationId", "x509"]);
        assert_eq!(sent["individualEnrollment"]["registrationId"], "pump-1");
        assert!(sent.get("enrollmentGroup").is_none());
        Ok(Response::new(200, r#"{"iotHubHostname": "TOASTERS.example"}"#))
    });
    assert!(matches!(answer, Ok(Outcome::Assign(choice)) if choice.hub == 0));
}

#[test]
fn a_function_that_refuses_is_told_apart_from_one_that_is_broken() {
    for status in [400, 401, 403, 404, 422] {
        assert!(matches!(answering(status, "no"), Ok(Outcome::Reject(why))
            if why.detail == format!("Custom allocation failed with status code: {status}")));
    }
    for status in [301, 408, 429, 500, 502, 503] {
        assert!(matches!(answering(status, "no"), Err(Fault::Internal(why)) if why.contains(&status.to_string())));
    }
    let gone = select(&testing::device("pump-1").build(), |_| Err(Error::Network("refused".into())));
    assert!(matches!(gone, Err(Fault::Internal(_))));
}

#[test]
fn an_answer_that_is_not_one_names_what_is_wrong() {
    for (body, wrong) in [
        ("", "not JSON"),
        ("<html>", "not JSON"),
        ("[]", "not an object"),
        ("{}", "`iotHubHostName` is missing"),
        (r#"{"iotHubHostName": 3}"#, "not a text"),
        (r#"{"iotHubHostName": "evil.example"}"#, "was not offered"),
        (r#"{"iotHubHostName": "toasters.example", "initialTwin": 3}"#, "`initialTwin`"),
    ] {
        assert!(matches!(answering(200, body), Err(Fault::BadInput(why)) if why.contains(wrong)), "{body}");
    }
}

fn place(body: &'static str) -> Result<Placement, Fault> {
    let hub = testing::hub("toasters.example").alone();
    let device = testing::device("pump-1").build();
    let service = move |request: &Request| {
        assert!(request.headers.contains(&("cache-control".into(), "only-if-cached".into())));
        Ok(if body.is_empty() { Response::new(504, "") } else { Response::new(200, body) })
    };
    testing::with_service(service, || webhook().place(&testing::call(), &device, &hub))
}

#[test]
fn the_twin_and_the_payload_of_the_one_answer_are_the_placement() {
    let placement = place(
        r#"{"iotHubHostName": "toasters.example", "payload": {"property1": "value1"},
            "initialTwin": {"tags": {"deviceType": "toaster"}, "properties": {"desired": {"state": "ready"}}}}"#,
    )
    .expect("a placement");
    assert_eq!((placement.tags[0].key.as_str(), placement.tags[0].value.as_str()), ("deviceType", r#""toaster""#));
    assert_eq!(placement.desired.as_deref(), Some(r#"{"state":"ready"}"#));
    assert_eq!(placement.reply.as_deref(), Some(r#"{"property1":"value1"}"#));
}

#[test]
fn without_an_answer_for_this_hub_there_is_no_opinion_about_the_place() {
    assert_eq!(place(""), Ok(Placement::none()));
    assert_eq!(place(r#"{"iotHubHostName": "other.example", "payload": 1}"#), Ok(Placement::none()));
}

#[test]
fn an_address_that_cannot_be_called_is_refused_with_its_place() {
    for url in ["", "http://fn.example/", "https://", "https://u:p@fn.example/", "https://fn.example/a b", "plugin:x"] {
        let problems = testing::configure::<Webhook>(json!({ "url": url })).expect_err("this must be refused");
        assert_eq!(problems[0].pointer, "/url", "{url}");
    }
}
