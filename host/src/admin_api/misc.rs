//! Scopes, the ledger, and what runs here.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::{Value, json};

use super::authorize::Caller;
use super::body::{self, Answer};
use super::problem::Problem;
use crate::ledger::{Entry, EntryKind};
use crate::names::IdScope;
use crate::service::Service;

pub(super) async fn scopes(State(service): State<Arc<Service>>, Extension(caller): Extension<Caller>) -> Answer {
    let catalogue = service.catalogue();
    let mut seen: Vec<&IdScope> = catalogue.scopes().map(|scope| &scope.scope).filter(|scope| caller.sees(scope)).collect();
    seen.sort();
    body::ok(&json!({ "items": seen.iter().map(|scope| json!({ "scope": scope })).collect::<Vec<_>>() }))
}

pub(super) async fn create_scope(State(service): State<Arc<Service>>, Path(scope): Path<String>) -> Answer {
    let new: IdScope = scope.parse()?;
    let created = service.store.create_scope(new.clone()).await?;
    service.publish_shipped(&new).await?;
    service.reload().await?;
    body::answer(if created { StatusCode::CREATED } else { StatusCode::OK }, &json!({ "scope": scope }))
}

pub(super) async fn decision(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Answer {
    let entry = service.store.ledger_entry(id.parse()?).await?;
    // What happened in another scope is as good as nothing.
    let entry = entry.filter(|entry| entry.scope.as_ref().is_none_or(|scope| caller.sees(scope)));
    let entry = entry.ok_or_else(|| Problem::not_found(format!("the ledger has nothing under {id}")))?;
    let mut view = serde_json::to_value(&entry).map_err(|error| Problem::new(500, error.to_string()))?;
    if let (Some(hubs), Some(members)) = (hubs_of(&service, &entry).await?, view.as_object_mut()) {
        members.insert("hubs".to_owned(), hubs);
    }
    body::ok(&view)
}

/// The hubs as they were when a decision was made. The entry names the list by its digest, which is all that
/// replaying needs; who reads the entry wants to know which hub `1` was.
async fn hubs_of(service: &Service, entry: &Entry) -> Result<Option<Value>, Problem> {
    let EntryKind::Decided(decision) = &entry.kind else { return Ok(None) };
    let kept = service.store.content(decision.hubs).await?;
    Ok(kept.and_then(|list| serde_json::from_slice(&list).ok()))
}

pub(super) async fn status(State(service): State<Arc<Service>>, Extension(caller): Extension<Caller>) -> Answer {
    let catalogue = service.catalogue();
    let scopes = catalogue.scopes().filter(|scope| caller.sees(&scope.scope)).map(|scope| {
        let assigned: u64 = scope.hubs.iter().map(crate::hub::LinkedHub::assigned).sum();
        json!({ "scope": scope.scope, "hubs": scope.hubs.len(), "groups": scope.groups().count(), "assigned": assigned })
    });
    body::ok(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "hostname": service.config.server.hostname,
        "engine": service.policies.fingerprint(),
        "pooled": service.policies.pooled(),
        "policyCallsInFlight": service.policies.in_flight(),
        "registrationsUnderWay": service.operations.running(),
        "scopes": scopes.collect::<Vec<_>>(),
    }))
}
