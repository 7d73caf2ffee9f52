//! One decision, or one refusal, with all that was known and asked.

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

/// One, under its tracking id or the id of an operation.
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
    // What happened in another scope is as good as nothing.
    let entry = entry.filter(|entry| caller.sees_of(entry.scope.as_ref()));
    let entry = entry.ok_or_else(|| Problem::not_found(format!("the ledger has nothing under {id}")))?;
    let hubs = hubs_of(&service, &entry).await?;
    // As a value first: its members are in the order of their names, as they have always been.
    let view = serde_json::to_value(DecisionView { entry, hubs });
    body::ok(&view.map_err(|error| Problem::new(500, error.to_string()))?)
}

/// What came of an operation, which is what SDKs log: the decision that its registration rests on now, or else what the
/// request that began it led to.
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

/// The hubs as they were when a decision was made. The entry names the list by its digest, which is all that
/// replaying needs; who reads the entry wants to know which hub `1` was.
async fn hubs_of(service: &Service, entry: &Entry) -> Result<Option<Value>, Problem> {
    let EntryKind::Decided(decision) = &entry.kind else { return Ok(None) };
    let kept = service.store().content(decision.hubs).await?;
    Ok(kept.and_then(|list| serde_json::from_slice(&list).ok()))
}
