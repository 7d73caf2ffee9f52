//! Landfall's own management API, `/api/v1`: for operators, manufacturers, publishers and auditors.
//!
//! One table ([`routes`]) has every endpoint with the rule that says who may call it, and what it takes and gives.
//! The router, the authorisation and the OpenAPI document are all made from it, so that none of them can know of an
//! endpoint that another does not. Errors are RFC 9457 problem documents whose `errors` name what is wrong by JSON
//! pointers.
//!
//! The API has a listener of its own; nothing of it can be reached where devices are served.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::response::{IntoResponse as _, Response};

use crate::service::Service;

mod authority;
mod authorize;
mod body;
mod enrollment;
mod hub;
mod misc;
mod openapi;
mod plugin;
mod problem;
mod record;
mod registration;
mod routes;
mod terms;
mod token;

pub use authorize::Rule;
pub use openapi::document;
pub use problem::{Problem, ProblemPart};

/// The whole API.
pub fn router(service: Arc<Service>) -> Router {
    let mut router = Router::new();
    for endpoint in routes::all() {
        let rule = middleware::from_fn_with_state((Arc::clone(&service), endpoint.rule), authorize::authorize);
        router = router.route(endpoint.path, endpoint.handler.layer(rule));
    }
    router
        .fallback(|| async { Problem::not_found("there is no such path; GET /api/v1/openapi.json lists all") })
        .method_not_allowed_fallback(|| async { Problem::new(405, "the path is known, and this method is none of its") })
        .layer(middleware::map_response(with_problems_only))
        .layer(middleware::map_response(with_security_headers))
        .with_state(service)
}

/// Whatever refuses a request, the framework's readers of paths and queries included, is told as a problem document.
async fn with_problems_only(answer: Response) -> Response {
    let status = answer.status();
    let told = answer.headers().get(http::header::CONTENT_TYPE).is_some_and(|kind| kind == problem::MEDIA_TYPE);
    if told || !(status.is_client_error() || status.is_server_error()) {
        return answer;
    }
    let text = axum::body::to_bytes(answer.into_body(), MAX_REASON_BYTES).await.unwrap_or_default();
    Problem::new(status.as_u16(), String::from_utf8_lossy(&text)).into_response()
}

/// What a browser that is led here must not do.
async fn with_security_headers(mut answer: Response) -> Response {
    use http::header::{CACHE_CONTROL, HeaderValue, X_CONTENT_TYPE_OPTIONS};
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// Every method and path, with its rule: for the test that calls all of them with every wrong credential.
pub fn endpoints() -> Vec<(http::Method, &'static str, Rule)> {
    routes::all().into_iter().map(|endpoint| (endpoint.method, endpoint.path, endpoint.rule)).collect()
}

/// Bytes of a reason that the framework gives.
const MAX_REASON_BYTES: usize = 4096;
