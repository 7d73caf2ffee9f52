//! Registrations.

use std::sync::Arc;

use axum::extract::{Request, State};
use landfall_attestation::x509::pem;
use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::json::JsonText;
use landfall_domain::names::Digest;
use landfall_domain::registration::{IssuedCertificate, Outcome, Registration, Substatus};
use landfall_store::{DeleteOutcome, RegistrationFilter};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::body::{self, Answer, Asked, At, PageQuery};
use super::hub::known;
use super::problem::Problem;
use crate::provisioning::{Provisioning, WaitingDevice};
use crate::service::Service;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// Only those on this hub.
    hub: Option<String>,
    /// Only those that this enrollment group admitted.
    group: Option<String>,
    /// Only those whose `status` is this.
    #[param(inline)]
    state: Option<StateFilter>,
    /// The key after which the page begins: `next` of the page before.
    after: Option<String>,
    /// At most so many.
    limit: Option<usize>,
}

/// What became of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum StateFilter {
    /// It has a hub.
    Assigned,
    /// It was turned down.
    Failed,
}

pub(super) async fn list(
    State(service): State<Arc<Service>>,
    At(scope): At<String>,
    Asked(filter): Asked<Filter>,
) -> Answer {
    let scope = known(&service, &scope)?;
    let page = PageQuery { after: filter.after, limit: filter.limit };
    let filter = RegistrationFilter {
        hub: filter.hub.as_deref().map(str::parse).transpose()?,
        group: filter.group.as_deref().map(str::parse).transpose()?,
        assigned: filter.state.map(|state| state == StateFilter::Assigned),
    };
    body::listing(service.store().registrations(&scope.scope, page.page(&service), filter).await?, view)
}

pub(super) async fn show(
    State(service): State<Arc<Service>>,
    State(provisioning): State<Arc<Provisioning>>,
    At((scope, id)): At<(String, String)>,
) -> Answer {
    let (scope, id) = (scope.parse()?, id.parse()?);
    let found = service.store().registration(&scope, &id).await?;
    let waiting = provisioning.desk().waiting_of(&scope, &id);
    match (found, waiting.first()) {
        (Some(found), waiting) => {
            let shown = RegistrationView { waiting: waiting.map(waiting_view), ..view(&found) };
            body::tagged(body::ok(&shown)?, Some(&found.etag()))
        }
        (None, Some(waiting)) => Err(Problem::not_found(format!(
            "{id} is not registered yet: it has been waiting since {} ({}): {}. Its last decision is {}",
            waiting.since(),
            waiting.wait.kind,
            waiting.wait.detail,
            waiting.wait.decision
        ))),
        (None, None) => Err(missing(id.as_str())),
    }
}

/// The devices that are told to wait, with the reason.
pub(super) async fn waiting(
    State(service): State<Arc<Service>>,
    State(provisioning): State<Arc<Provisioning>>,
    At(scope): At<String>,
    Asked(page): Asked<PageQuery>,
) -> Answer {
    let scope = known(&service, &scope)?;
    let all = provisioning.desk().waiting(&scope.scope);
    let key = |device: &WaitingDevice| format!("{} {}", device.claimant.id.key(), device.claimant.key);
    body::listing(page.of(&service, all, key), waiting_view)
}

pub(super) async fn remove(
    State(service): State<Arc<Service>>,
    At((scope, id)): At<(String, String)>,
    request: Request,
) -> Answer {
    let scope = known(&service, &scope)?;
    let when = body::precondition(request.headers());
    match service.store().delete_registration(&scope.scope, &id.parse()?, when).await? {
        Ok(_) => body::no_content(),
        Err(DeleteOutcome::Missing) => Err(missing(&id)),
        Err(other) => body::deleted(other, &format!("the registration of {id}")),
    }
}

pub(super) async fn release(
    State(service): State<Arc<Service>>,
    At((scope, id)): At<(String, String)>,
    request: Request,
) -> Answer {
    let when = body::precondition(request.headers());
    match service.store().release_registration(&scope.parse()?, &id.parse()?, when).await? {
        DeleteOutcome::Missing => Err(missing(&id)),
        other => body::deleted(other, &format!("the registration of {id}")),
    }
}

fn missing(id: &str) -> Problem {
    Problem::not_found(format!(
        "{id} is not registered; whether requests of it were refused, and why: landfall decision list --device {id}"
    ))
}

/// A registration as it is. The words are those of DPS's registration state where it has them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RegistrationView {
    registration_id: String,
    /// `assigned` or `failed`.
    status: &'static str,
    /// The hub that the device is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    assigned_hub: Option<String>,
    /// Its id there.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<String>,
    /// How it came there.
    #[serde(skip_serializing_if = "Option::is_none")]
    substatus: Option<Substatus>,
    /// Since when it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// Its group in the solution, from the outermost inwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    group_path: Option<Vec<String>>,
    /// Its twin's first tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    tags: Option<Value>,
    /// Its twin's first desired properties.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    desired: Option<Value>,
    /// What it is told beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    payload: Option<Value>,
    /// Why it failed: DPS's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<u32>,
    /// What the device was told then.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
    /// What admitted it: `{"group": ID}` or `{"individual": ID}`.
    #[schema(value_type = Object)]
    enrollment: EnrollmentRef,
    /// SHA-256 of the public key that the id belongs to; absent once it was released.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_identity: Option<String>,
    /// The certificate that was issued to the device last.
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_certificate: Option<IssuedView>,
    /// The device has registered again since, and waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<WaitingView>,
    operation_id: String,
    /// The tracking id under which the ledger explains it.
    decision: String,
    /// The decisions before it that the ledger still holds, the latest first.
    earlier_decisions: Vec<String>,
    created_at: String,
    updated_at: String,
    /// 1 for the first state, one more for each later one.
    generation: u64,
}

/// A device that waits: its policy could not decide yet, or no hub could take it. It is tried again when it polls.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WaitingView {
    registration_id: String,
    /// SHA-256 of the public key that it showed.
    key_identity: String,
    /// Since when it waits.
    since: String,
    /// What holds it up, for programs.
    reason: &'static str,
    /// The same, for people.
    detail: String,
    /// Its next poll after this moment tries again.
    retry_at: String,
    operation_id: String,
    /// The tracking id under which the ledger explains it.
    decision: String,
}

fn waiting_view(device: &WaitingDevice) -> WaitingView {
    let wait = &device.wait;
    WaitingView {
        registration_id: device.claimant.id.to_string(),
        key_identity: device.claimant.key.to_string(),
        since: device.since().to_string(),
        reason: wait.kind,
        detail: wait.detail.clone(),
        retry_at: wait.again_at.to_string(),
        operation_id: device.operation.to_string(),
        decision: wait.decision.to_string(),
    }
}

/// A certificate that was issued.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct IssuedView {
    /// The issuer's name in `landfall.toml`.
    issuer: String,
    /// The serial number, in hexadecimal digits.
    serial_number: String,
    /// SHA-256 of the DER.
    sha256: String,
    /// When the certificate ends, RFC 3339.
    not_after: String,
    /// The certificate, PEM.
    certificate: String,
}

fn issued_view(issued: &IssuedCertificate) -> IssuedView {
    IssuedView {
        issuer: issued.issuer.to_string(),
        serial_number: issued.serial.to_string(),
        sha256: Digest::of(&issued.der).to_string(),
        not_after: issued.not_after.to_string(),
        certificate: pem::text_of(&issued.der),
    }
}

fn view(registration: &Registration) -> RegistrationView {
    let assigned = registration.assignment();
    let (error_code, error_message) = match &registration.outcome {
        Outcome::Assigned(_) => (None, None),
        Outcome::Failed { code, message } => (Some(*code), Some(message.clone())),
    };
    RegistrationView {
        registration_id: registration.registration_id.to_string(),
        status: if assigned.is_some() { "assigned" } else { "failed" },
        assigned_hub: assigned.map(|place| place.hub.to_string()),
        device_id: assigned.map(|place| place.device_id.to_string()),
        substatus: assigned.map(|place| place.substatus),
        since: assigned.map(|place| place.since.to_string()),
        group_path: assigned.map(|place| place.group_path.clone()),
        tags: assigned.map(|place| place.tags.value()),
        desired: assigned.map(|place| place.desired.value()),
        payload: assigned.and_then(|place| place.payload.as_ref()).map(JsonText::value),
        error_code,
        error_message,
        enrollment: registration.enrollment.clone(),
        key_identity: registration.key_identity.map(|key| key.to_string()),
        issued_certificate: registration.issued.as_ref().map(issued_view),
        waiting: None,
        operation_id: registration.operation.to_string(),
        decision: registration.decision.to_string(),
        earlier_decisions: registration.earlier.iter().map(ToString::to_string).collect(),
        created_at: registration.created_at.to_string(),
        updated_at: registration.updated_at.to_string(),
        generation: registration.generation,
    }
}
