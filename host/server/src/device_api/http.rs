//! The device API over HTTPS: converts requests into calls, and answers into responses.
//!
//! Every response carries a tracking id, and every response with a body declares UTF-8 JSON: existing clients fail
//! without either. The tracking id is normally that of the request. A response with the result of a registration
//! carries that of the decision behind it, so that the answer to a poll leads to the decision too. Ids are
//! percent-encoded and are decoded once.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post, put};
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::origin::HttpOrigin;
use super::answer::{DeviceAnswer, Outcome};
use super::call::{Authorization, DeviceCall, Shown, Verb};
use super::error::{DeviceError, Wrong};
use super::exchange::Exchange;
use crate::config::DeviceLimits;
use crate::listener::{self, ConnectionInfo};
use crate::provisioning::Provisioning;

mod elsewhere;
pub mod heads;
mod origin;
mod prefer;

/// The routes. Any other path answers 404 with a body, like every error.
pub fn router(provisioning: Arc<Provisioning>) -> Router {
    Router::new()
        .route("/{scope}/registrations/{id}/register", put(register))
        .route("/{scope}/registrations/{id}/operations/{operation}", get(poll))
        .route("/{scope}/registrations/{id}", post(look_up))
        .fallback(elsewhere::not_served)
        .method_not_allowed_fallback(|State(provisioning): State<Arc<Provisioning>>, request: Request| async move {
            fail(&begin(&provisioning, &request), METHOD_NOT_ALLOWED)
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&provisioning), for_one_host))
        .layer(middleware::from_fn_with_state(Arc::clone(&provisioning), with_a_place))
        .with_state(provisioning)
}

/// Answers only requests on connections that got a place. Others are told to retry, each after a different time.
async fn with_a_place(State(provisioning): State<Arc<Provisioning>>, request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<Arc<ConnectionInfo>>();
    if connection.is_none_or(|connection| connection.has_place) {
        return next.run(request).await;
    }
    let [chance] = provisioning.service().ambient().random::<1>();
    fail(&begin(&provisioning, &request), DeviceError::BusyFor(NO_PLACE_SECONDS + u64::from(chance % 16)))
}

/// Refuses requests that do not name exactly one host (RFC 9112, 3.2): two names could be read in two ways.
async fn for_one_host(State(provisioning): State<Arc<Provisioning>>, request: Request, next: Next) -> Response {
    if listener::names_one_host(&request) {
        return next.run(request).await;
    }
    let hosts = request.headers().get_all(http::header::HOST).iter().count();
    let wrong = Wrong::bad("The request must have one Host header", format_args!("it has {hosts}"));
    fail(&begin(&provisioning, &request), wrong)
}

async fn register(
    State(provisioning): State<Arc<Provisioning>>,
    Names(path): Names<DevicePath>,
    request: Request,
) -> Response {
    called(&provisioning, Verb::Register, path, request).await
}

async fn poll(
    State(provisioning): State<Arc<Provisioning>>,
    Names(OperationPath { scope, id, operation }): Names<OperationPath>,
    request: Request,
) -> Response {
    called(&provisioning, Verb::Poll { operation }, DevicePath { scope, id }, request).await
}

async fn look_up(
    State(provisioning): State<Arc<Provisioning>>,
    Names(path): Names<DevicePath>,
    request: Request,
) -> Response {
    called(&provisioning, Verb::LookUp, path, request).await
}

/// Executes the call of a request.
async fn called(provisioning: &Arc<Provisioning>, verb: Verb, path: DevicePath, request: Request) -> Response {
    let exchange = begin(provisioning, &request);
    let (head, body) = request.into_parts();
    let Some(connection) = head.extensions.get::<Arc<ConnectionInfo>>() else {
        return fail(&exchange, DeviceError::Internal);
    };
    let config = provisioning.service().config();
    // DPS returns the register URL itself; no client reads it.
    let location = (verb == Verb::Register)
        .then(|| format!("https://{}/{}/registrations/{}/register", config.server.hostname, path.scope, path.id));
    let call = DeviceCall {
        verb,
        scope: path.scope,
        registration_id: path.id,
        api_version: api_version(head.uri.query().unwrap_or_default()),
        shown: Shown { authorization: authorization(&head.headers), certificate: connection.presented.clone() },
        wait: prefer::wait(&head.headers),
        source: connection.peer_addr.ip(),
        standing: connection.standing.clone(),
    };
    let answer = exchange.answer(call, read_all(body, &config.limits.device)).await;
    let begun = answer.outcome == Outcome::Begun;
    let mut response = respond(provisioning, answer);
    if let Some(location) = location.filter(|_| begun) {
        set(response.headers_mut(), LOCATION, &location);
    }
    response
}

fn begin(provisioning: &Arc<Provisioning>, request: &Request) -> Exchange<HttpOrigin> {
    Exchange::begin(provisioning, HttpOrigin::of(request))
}

/// An error response, with an explanation recorded for the operator.
fn fail(exchange: &Exchange<HttpOrigin>, wrong: impl Into<Wrong>) -> Response {
    respond(exchange.provisioning(), exchange.fail(wrong))
}

/// Converts an answer into an HTTP response.
fn respond(provisioning: &Provisioning, answer: DeviceAnswer) -> Response {
    let mut response = Response::new(Body::empty());
    // Each DPS status is a valid HTTP status.
    *response.status_mut() = StatusCode::from_u16(answer.outcome.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    set(headers, CONTENT_TYPE, "application/json; charset=utf-8");
    set(headers, STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubDomains");
    set(headers, REQUEST_ID, &answer.tracking_id.to_string());
    if let Some(seconds) = answer.retry_after {
        set(headers, RETRY_AFTER, &seconds.to_string());
    }
    if let Outcome::Wrong(error) = answer.outcome {
        if error == DeviceError::Unauthorized && provisioning.service().outside().directories().any() {
            set(headers, WWW_AUTHENTICATE, "Negotiate");
        }
        set(headers, ERROR_CODE, &error.code().to_string());
    }
    response.map(|_| Body::from(answer.body))
}

/// The `Authorization` header, as text.
fn authorization(headers: &HeaderMap) -> Option<Authorization> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let text = given.next()?.to_str().unwrap_or_default().to_owned();
    Some(Authorization { text, repeated: given.next().is_some() })
}

/// The first `api-version` of a query.
fn api_version(query: &str) -> Option<String> {
    query.split('&').find_map(|pair| pair.strip_prefix("api-version=")).map(str::to_owned)
}

async fn read_all(body: Body, limits: &DeviceLimits) -> Result<Bytes, Wrong> {
    let whole = Limited::new(body, limits.max_body_bytes).collect();
    match tokio::time::timeout(Duration::from_secs(limits.body_seconds), whole).await {
        Err(_) => {
            let seconds = limits.body_seconds;
            Err(Wrong::because(DeviceError::TooSlow, format_args!("the body did not come within {seconds} s")))
        }
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let most = limits.max_body_bytes;
            Err(Wrong::because(DeviceError::TooLarge, format_args!("the body has more than {most} bytes")))
        }
        Ok(Err(error)) => Err(Wrong::bad("The body could not be read", error)),
    }
}

#[derive(Debug, Deserialize)]
struct DevicePath {
    scope: String,
    id: String,
}

#[derive(Debug, Deserialize)]
struct OperationPath {
    scope: String,
    id: String,
    operation: String,
}

/// The names in a path. If a decoded name is not UTF-8, the answer is an error like every other.
struct Names<T>(T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Provisioning>> for Names<T> {
    type Rejection = Response;

    async fn from_request_parts(head: &mut Parts, provisioning: &Arc<Provisioning>) -> Result<Self, Response> {
        match Path::from_request_parts(head, provisioning).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(_) => {
                let exchange = Exchange::begin(provisioning, HttpOrigin::of_head(head));
                Err(fail(&exchange, DeviceError::BadRequest("The path is not UTF-8 text")))
            }
        }
    }
}

/// Sets a header. All values are our own texts, which are valid header values.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

/// The path exists, but not with this method.
const METHOD_NOT_ALLOWED: DeviceError = DeviceError::NotSpoken { status: 405, message: "Method not allowed" };

/// The minimum number of seconds after which a device without a place retries.
const NO_PLACE_SECONDS: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_version_of_a_query_counts() {
        for (query, version) in [
            ("api-version=2021-06-01&forceRegistration=true", Some("2021-06-01")),
            ("a=b&api-version=2019-03-31&api-version=x", Some("2019-03-31")),
            ("api-version=", Some("")),
            ("version=2019-03-31", None),
            ("", None),
        ] {
            assert_eq!(api_version(query).as_deref(), version, "{query}");
        }
    }

    #[test]
    fn what_is_no_text_is_an_empty_authorization() {
        let mut headers = HeaderMap::new();
        assert!(authorization(&headers).is_none());
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(b"Basic \xff").unwrap());
        let shown = authorization(&headers).unwrap();
        assert_eq!((shown.text.as_str(), shown.repeated), ("", false));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Basic x"));
        assert!(authorization(&headers).unwrap().repeated);
    }
}
