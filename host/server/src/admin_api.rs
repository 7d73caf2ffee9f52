//! The management API, `/api/v1`: for operators, manufacturers, publishers and auditors.
//!
//! One table (`routes`) lists every endpoint with the rule that says who may call it, and with its inputs and outputs.
//! The router, the authorisation and the OpenAPI document are all generated from this table, so that none of them can
//! miss an endpoint. Errors are RFC 9457 problem documents, whose `errors` locate what is wrong by JSON pointers.
//!
//! The API has its own listener; it cannot be reached through the listener for devices.

use std::sync::Arc;

use axum::extract::{FromRef, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};

use self::uploads::{Places, Uploads};
use crate::listener::{self, ConnectionInfo};
use crate::provisioning::Provisioning;
use crate::service::Service;

mod authority;
mod authorize;
mod body;
mod decision;
mod enrollment;
mod entry;
mod hub;
mod misc;
mod openapi;
mod plugin;
mod problem;
mod record;
mod registration;
mod revocation;
mod routes;
mod store;
mod terms;
mod token;
mod uploads;

pub use authorize::Rule;
pub use openapi::document;
pub(crate) use plugin::SIGNATURE;
pub use problem::{Problem, ProblemPart};

/// The state that the handlers share.
#[derive(Clone)]
struct Management {
    service: Arc<Service>,
    provisioning: Arc<Provisioning>,
}

impl FromRef<Management> for Arc<Service> {
    fn from_ref(all: &Management) -> Self {
        Self::clone(&all.service)
    }
}

impl FromRef<Management> for Arc<Provisioning> {
    fn from_ref(all: &Management) -> Self {
        Self::clone(&all.provisioning)
    }
}

/// The router of the whole API.
pub fn router(provisioning: Arc<Provisioning>) -> Router {
    let service = Arc::clone(provisioning.service());
    let limits = &service.config().limits.management;
    let places = Arc::new(Places {
        imports: Uploads::new("imports", limits.imports),
        publications: Uploads::new("publications of plugins", limits.publications),
    });
    let mut router = Router::new();
    for endpoint in routes::all() {
        let rule = middleware::from_fn_with_state((Arc::clone(&service), endpoint.rule), authorize::authorize);
        router = router.route(endpoint.path, endpoint.handler.layer(rule));
    }
    router
        .fallback(|| async { Problem::not_found("there is no such path; GET /api/v1/openapi.json lists all") })
        .method_not_allowed_fallback(|| async {
            Problem::new(405, "the path is known, and this method is none of its")
        })
        .layer(middleware::from_fn(for_one_host))
        .layer(Extension(places))
        .layer(Extension(Arc::new(store::Works::new())))
        .layer(middleware::from_fn(to_its_end))
        .layer(middleware::from_fn(with_a_place))
        .layer(middleware::map_response(with_security_headers))
        .with_state(Management { service, provisioning })
}

/// Answers only requests on connections that got a place.
async fn with_a_place(request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<Arc<ConnectionInfo>>();
    if connection.is_none_or(|connection| connection.has_place) {
        return next.run(request).await;
    }
    let mut answer = Problem::new(503, "there are too many connections, in all or from your network").into_response();
    answer.headers_mut().insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("5"));
    answer
}

/// Refuses requests that do not name exactly one host (RFC 9112, 3.2): two names could be read in two ways.
async fn for_one_host(request: Request, next: Next) -> Response {
    if listener::names_one_host(&request) {
        next.run(request).await
    } else {
        Problem::new(400, "a request has one Host header").into_response()
    }
}

/// Finishes a request even if its caller disconnects. Otherwise a change could be on disk, but not in the catalogue in
/// memory. (A body that stops arriving still ends the handler that waits for it.)
async fn to_its_end(request: Request, next: Next) -> Response {
    match tokio::spawn(next.run(request)).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::error!(%error, "a request of the management API was not carried to its end");
            Problem::new(500, "the request failed here; the server's log says why").into_response()
        }
    }
}

/// Headers that restrict what a browser may do with an answer.
async fn with_security_headers(mut answer: Response) -> Response {
    use http::header::{CACHE_CONTROL, HeaderValue, X_CONTENT_TYPE_OPTIONS};
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// Every endpoint with its rule, for the test that calls all of them with every kind of wrong credential.
pub fn endpoints() -> Vec<(http::Method, &'static str, Rule)> {
    routes::all().into_iter().map(|endpoint| (endpoint.method, endpoint.path, endpoint.rule)).collect()
}
