//! What the function is sent: the contract's body, from what a policy is told.
//!
//! Members that the function's host knows and a policy does not (the enrollment's etag, dates, re-provisioning, the device's
//! id in its hub, and the desired properties of its initial twin) are left out, as the service leaves out what is not set:
//! an empty one would be a false one. The address is masked, as there: its query is a credential.

use landfall_plugin::{Attestation, Device, EnrollmentKind, Fault, Hub, Label};
use serde_json::{Map, Value, json};

use crate::Webhook;

pub(crate) fn body(webhook: &Webhook, device: &Device, candidates: &[Hub]) -> Result<Value, Fault> {
    let hubs: Vec<&str> = candidates.iter().map(|hub| hub.name.as_str()).collect();
    let (record, id) = match device.enrollment {
        EnrollmentKind::Individual => ("individualEnrollment", "registrationId"),
        EnrollmentKind::Group => ("enrollmentGroup", "enrollmentGroupId"),
    };
    let tags = object(&device.tags, |text| serde_json::from_str(text).unwrap_or(Value::Null));
    let mut enrollment = members(json!({
        id: device.enrollment_id,
        "attestation": { "type": attestation(device.attestation) },
        "capabilities": { "iotEdge": false },
        "provisioningStatus": "enabled",
        "allocationPolicy": "custom",
        "iotHubs": hubs,
        "customAllocationDefinition": { "webhookUrl": masked(&webhook.url), "apiVersion": webhook.api_version },
    }));
    if !tags.is_empty() {
        enrollment.insert("initialTwin".into(), json!({ "tags": tags }));
    }
    let mut context = members(json!({ "registrationId": device.registration_id }));
    if let Some(prior) = &device.prior {
        context.insert("currentIotHubHostName".into(), prior.hub.as_str().into());
        context.insert("currentDeviceId".into(), device.registration_id.as_str().into());
    }
    let proof = match device.attestation {
        Attestation::X509 => json!({ "clientCertificate": { "info": object(&device.claims, |text| text.into()) } }),
        Attestation::Tpm | Attestation::SymmetricKey | Attestation::Token => json!({}),
    };
    context.insert(attestation(device.attestation).into(), proof);
    if let Some(payload) = device.payload::<Value>()? {
        context.insert("payload".into(), payload);
    }
    Ok(json!({ record: enrollment, "deviceRuntimeContext": context, "linkedHubs": hubs }))
}

fn members(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn attestation(attestation: Attestation) -> &'static str {
    match attestation {
        Attestation::X509 => "x509",
        Attestation::Tpm => "tpm",
        Attestation::SymmetricKey => "symmetricKey",
        // Not one of DPS's; the nearest that says nothing.
        Attestation::Token => "none",
    }
}

fn object(labels: &[Label], value: impl Fn(&str) -> Value) -> Map<String, Value> {
    labels.iter().map(|label| (label.key.clone(), value(&label.value))).collect()
}

fn masked(url: &str) -> String {
    match url.split_once('?') {
        Some((address, _)) => format!("{address}?****"),
        None => url.to_owned(),
    }
}
