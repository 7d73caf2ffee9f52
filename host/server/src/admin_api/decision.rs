//! One decision or refusal, with all its inputs and calls.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use landfall_domain::decision::{Entry, EntryKind};
use landfall_domain::hub::Hub;
use landfall_domain::names::{OperationId, TrackingId};
use serde::Serialize;
use serde_json::Value;

use super::authorize::Caller;
use super::body::{self, Answer, At};
use super::problem::Problem;
use crate::provisioning::Provisioning;
use crate::service::Service;

/// What is kept of one request of a device: why it was refused, or what policies decided and all that they were told. It is
/// complete enough to run every call again. Digests are SHA-256, in hexadecimal digits.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct DecisionView {
    #[serde(flatten)]
    entry: Entry,
    /// The linked hubs as they were when it was decided, in the order that candidates name. Absent where nothing was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Hub>>)]
    hubs: Option<Value>,
}

/// Shows the decision with this tracking id or operation id.
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    State(provisioning): State<Arc<Provisioning>>,
    At(id): At<String>,
    Extension(caller): Extension<Caller>,
) -> Answer {
    let operation = id.parse::<OperationId>().ok().and_then(|operation| Some((operation.request()?, operation)));
    let request = operation.as_ref().map_or_else(|| id.parse(), |(request, _)| Ok(*request))?;
    let entry = match operation {
        Some((_, operation)) => entry_of_operation(&service, request, &operation).await?,
        None => service.store().ledger_entry(request).await?,
    };
    let entry = entry.or_else(|| provisioning.desk().answer(request));
    // An entry of a scope that the caller may not see counts as missing.
    let entry = entry.filter(|entry| caller.sees_of(entry.scope.as_ref()));
    let entry = entry.ok_or_else(|| Problem::not_found(format!("the ledger has nothing under {id}")))?;
    let hubs = hubs_of(&service, &entry).await?;
    // Converted to a value first, which sorts the members by name, as the API always did.
    let view = serde_json::to_value(DecisionView { entry, hubs });
    body::ok(&view.map_err(|error| Problem::new(500, error.to_string()))?)
}

/// The entry for an operation id, which SDKs log: the decision that the registration is based on now, or else the
/// entry of the request that started the operation.
async fn entry_of_operation(
    service: &Service,
    request: TrackingId,
    operation: &OperationId,
) -> Result<Option<Entry>, Problem> {
    let Some(first) = service.store().ledger_entry(request).await? else { return Ok(None) };
    let (Some(scope), Ok(id)) = (&first.scope, first.registration_id.parse()) else { return Ok(Some(first)) };
    let registration = service.store().registration(scope, &id).await?;
    let last = registration.filter(|now| now.operation == *operation && now.decision != request);
    match last {
        Some(now) => Ok(service.store().ledger_entry(now.decision).await?.or(Some(first))),
        None => Ok(Some(first)),
    }
}

/// The list of hubs as it was for a decision. The entry names it by digest, which is enough for a replay; a reader of
/// the entry needs to know which hub `1` was.
async fn hubs_of(service: &Service, entry: &Entry) -> Result<Option<Value>, Problem> {
    let EntryKind::Decided(decision) = &entry.kind else { return Ok(None) };
    let kept = service.store().content(decision.hubs).await?;
    Ok(kept.and_then(|list| serde_json::from_slice(&list).ok()))
}
