//! Scopes, the ledger, and what runs here.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use http::StatusCode;
use serde_json::json;

use super::authorize::Caller;
use super::body::{self, Answer, Asked, At, PageQuery};
use super::problem::Problem;
use crate::names::IdScope;
use crate::service::Service;

pub(super) async fn scopes(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Asked(page): Asked<PageQuery>,
) -> Answer {
    let catalogue = service.catalogue();
    let seen: Vec<&IdScope> = catalogue.scopes().map(|scope| &scope.scope).filter(|scope| caller.sees(scope)).collect();
    body::listing(page.of(&service, seen, ToString::to_string), |scope| json!({ "scope": scope }))
}

pub(super) async fn create_scope(State(service): State<Arc<Service>>, At(scope): At<String>) -> Answer {
    let new: IdScope = scope.parse()?;
    let created = service.store.create_scope(new.clone()).await?;
    service.publish_shipped(&new).await?;
    service.reload().await?;
    body::answer(if created { StatusCode::CREATED } else { StatusCode::OK }, &json!({ "scope": scope }))
}

pub(super) async fn decision(
    State(service): State<Arc<Service>>,
    At(id): At<String>,
    Extension(caller): Extension<Caller>,
) -> Answer {
    let entry = service.store.ledger_entry(id.parse()?).await?;
    // What happened in another scope is as good as nothing.
    let entry = entry.filter(|entry| entry.scope.as_ref().is_none_or(|scope| caller.sees(scope)));
    body::ok(&entry.ok_or_else(|| Problem::not_found(format!("the ledger has nothing under {id}")))?)
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
