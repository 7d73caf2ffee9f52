//! Id scopes, and the state of the server.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use landfall_domain::names::IdScope;
use serde::Serialize;

use super::authorize::Caller;
use super::body::{self, Answer, Asked, At, PageQuery};
use super::problem::Problem;
use crate::metrics;
use crate::provisioning::Provisioning;
use crate::service::Service;
use crate::tasks::TaskStatus;

pub(super) async fn scopes(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Asked(page): Asked<PageQuery>,
) -> Answer {
    let catalogue = service.catalogue().now();
    let seen: Vec<&IdScope> = catalogue.scopes().map(|scope| &scope.scope).filter(|scope| caller.sees(scope)).collect();
    body::listing(page.of(&service, seen, ToString::to_string), |scope| ScopeView { scope: scope.to_string() })
}

pub(super) async fn create_scope(State(service): State<Arc<Service>>, At(scope): At<String>) -> Answer {
    let new: IdScope = scope.parse()?;
    let created = service.catalogue().change(|store| store.create_scope(new.clone())).await?;
    service.publish_shipped(&new).await?;
    body::answer(if created { StatusCode::CREATED } else { StatusCode::OK }, &ScopeView { scope })
}

pub(super) async fn metrics(State(provisioning): State<Arc<Provisioning>>) -> Answer {
    let text = metrics::text(&provisioning).map_err(|error| Problem::new(500, error.to_string()))?;
    let mut answer = Response::new(Body::from(text));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(metrics::MEDIA_TYPE));
    Ok(answer)
}

pub(super) async fn alive() -> Answer {
    body::ok(&ReadyView { status: "ok", reason: None })
}

/// Readiness. Devices are told to come back later while the disk is full. Everything else that a registration needs is
/// available while the server answers; if it is not, the server ends. The reason names no path, because the caller has
/// presented no token.
pub(super) async fn ready(State(service): State<Arc<Service>>) -> Answer {
    match service.store().has_room() {
        Ok(()) => body::ok(&ReadyView { status: "ok", reason: None }),
        Err(_) => {
            let reason = Some("the disk of the database is almost full; the log has the figures");
            body::answer(StatusCode::SERVICE_UNAVAILABLE, &ReadyView { status: "not ready", reason })
        }
    }
}

pub(super) async fn status(
    State(service): State<Arc<Service>>,
    State(provisioning): State<Arc<Provisioning>>,
    Extension(caller): Extension<Caller>,
) -> Answer {
    let catalogue = service.catalogue().now();
    let mine = catalogue.scopes().filter(|scope| caller.sees(&scope.scope));
    let scopes = mine.map(|scope| ScopeStatus {
        scope: scope.scope.to_string(),
        hubs: scope.hubs.len(),
        groups: scope.groups().count(),
        assigned: scope.hubs.iter().map(crate::catalogue::candidates::LinkedHub::assigned).sum(),
    });
    body::ok(&StatusView {
        version: env!("CARGO_PKG_VERSION"),
        hostname: service.config().server.hostname.clone(),
        engine: service.policies().fingerprint().to_string(),
        pooled: service.policies().pooled(),
        policy_calls_in_flight: service.policies().in_flight(),
        registrations_under_way: provisioning.desk().registrations_under_way(),
        scopes: scopes.collect(),
        tasks: service
            .tasks()
            .statuses()
            .into_iter()
            .map(|task| TaskView::of(task, caller.is_of_one_scope()))
            .collect(),
    })
}

/// An id scope.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ScopeView {
    scope: String,
}

/// How the server is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ReadyView {
    /// `ok`, or `not ready`.
    status: &'static str,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// What runs here.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusView {
    version: &'static str,
    /// The host name that devices call.
    hostname: String,
    /// The fingerprint of the policy engine's version and settings.
    engine: String,
    /// Whether policies run in pooled memory; if not, decisions take longer.
    pooled: bool,
    /// Policy calls that wait or run.
    policy_calls_in_flight: usize,
    registrations_under_way: usize,
    /// The id scopes that the caller sees.
    scopes: Vec<ScopeStatus>,
    /// What runs by itself, in the order in which it was begun.
    tasks: Vec<TaskView>,
}

/// A task: what runs by itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskView {
    name: &'static str,
    /// How many seconds after a run it runs again. Absent when it runs only when something happens, or as long as the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    period_seconds: Option<u64>,
    /// Whether a run is under way.
    running: bool,
    /// Runs since the server was started that went well.
    good_runs: u64,
    /// Runs since the server was started that failed.
    failed_runs: u64,
    /// When the newest run began.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_started: Option<String>,
    /// When the newest run that went well ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success: Option<String>,
    /// How long the newest run that ended took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_duration_ms: Option<u64>,
    /// What the newest run that ended has done, if it went well.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<String>,
    /// Why the newest run that ended failed, if it did. Who is bound to one id scope is told only that it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl TaskView {
    fn of(task: TaskStatus, bound: bool) -> Self {
        let hidden = || Some("the server's log says why".to_owned());
        let (result, error) = match task.last_result {
            None => (None, None),
            // These texts name issuers and addresses of all id scopes.
            Some(Ok(done)) => (Some(done).filter(|_| !bound), None),
            Some(Err(error)) => (None, if bound { hidden() } else { Some(error) }),
        };
        let millis = |took: std::time::Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Self {
            name: task.name,
            period_seconds: task.period.map(|period| period.as_secs()),
            running: task.is_running,
            good_runs: task.good_runs,
            failed_runs: task.failed_runs,
            last_started: task.last_started.map(|at| at.to_string()),
            last_success: task.last_success.map(|at| at.to_string()),
            last_duration_ms: task.last_duration.map(millis),
            result,
            error,
        }
    }
}

/// What is in an id scope.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ScopeStatus {
    scope: String,
    hubs: usize,
    groups: usize,
    /// Devices on its hubs.
    assigned: u64,
}
