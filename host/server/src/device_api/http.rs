//! The device API over HTTPS: requests in, answers out.
//!
//! Every answer carries a tracking id, and every answer with a body says that it is UTF-8 JSON: clients in the field fail
//! without either. It is that of the request; an answer that tells what became of a registration carries that of the decision
//! which it rests on, so that what a poll was told leads there too. Ids arrive percent-encoded and are decoded once.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post, put};
use http::StatusCode;
use http::header::{LOCATION, RETRY_AFTER};
use http::request::Parts;
use landfall_domain::names::OperationId;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::call::{Asked, Call, set};
use super::error::{DeviceError, Wrong};
use super::prefer;
use super::wire::{OperationStatus, RegistrationState};
use crate::listener::{self, ConnectionInfo};
use crate::provisioning::{Provisioning, Status};

/// The routes. Paths that are not here answer 404 with a body, like everything else.
pub fn router(provisioning: Arc<Provisioning>) -> Router {
    Router::new()
        .route("/{scope}/registrations/{id}/register", put(register))
        .route("/{scope}/registrations/{id}/operations/{operation}", get(poll))
        .route("/{scope}/registrations/{id}", post(look_up))
        .fallback(not_served)
        .method_not_allowed_fallback(|State(provisioning): State<Arc<Provisioning>>, request: Request| async move {
            Call::begin(&provisioning, Asked::of(&request)).fail(DeviceError::MethodNotAllowed)
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&provisioning), for_one_host))
        .layer(middleware::from_fn_with_state(Arc::clone(&provisioning), with_a_place))
        .with_state(provisioning)
}

/// Answers only those for whose connection there was a place. The others come back each at a time of its own.
async fn with_a_place(State(provisioning): State<Arc<Provisioning>>, request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<Arc<ConnectionInfo>>();
    if connection.is_none_or(|connection| connection.has_place) {
        return next.run(request).await;
    }
    let [chance] = provisioning.service().ambient().random::<1>();
    Call::begin(&provisioning, Asked::of(&request))
        .fail(DeviceError::BusyFor(NO_PLACE_SECONDS + u64::from(chance % 16)))
}

/// Whom a request is for is said once (RFC 9112, 3.2): two names are two readings of it.
async fn for_one_host(State(provisioning): State<Arc<Provisioning>>, request: Request, next: Next) -> Response {
    if listener::names_one_host(&request) {
        return next.run(request).await;
    }
    let hosts = request.headers().get_all(http::header::HOST).iter().count();
    let wrong = Wrong::bad("The request must have one Host header", format_args!("it has {hosts}"));
    Call::begin(&provisioning, Asked::of(&request)).fail(wrong)
}

/// `PUT /{idScope}/registrations/{registrationId}/register`
async fn register(
    State(provisioning): State<Arc<Provisioning>>,
    Names(path): Names<DevicePath>,
    request: Request,
) -> Response {
    let call = Call::begin(&provisioning, Asked::of(&request));
    let wait = prefer::wait(request.headers());
    let asked = match call.read(&path, request).await {
        Ok(asked) => asked,
        Err(error) => return call.fail(error),
    };
    let credential = asked.credential.clone();
    match provisioning.register(asked, call.bounded(wait)).await {
        // A client that did not ask to wait is told 202 even when the result is there: some refuse anything else.
        Ok((operation, status)) if wait.is_some() => call.status(&operation, &path, &status, &credential),
        Ok((operation, status)) => {
            let seconds = match status {
                Status::Assigning { retry_after } => retry_after,
                Status::Finished(_) => provisioning.service().config().limits.device.poll_seconds,
            };
            let mut answer = call.answer(StatusCode::ACCEPTED, &OperationStatus::accepted(&operation));
            set(&mut answer, RETRY_AFTER, &seconds.to_string());
            set(&mut answer, LOCATION, &path.location(&provisioning.service().config().server.hostname));
            answer
        }
        Err(error) => call.refuse(error),
    }
}

/// `GET /{idScope}/registrations/{registrationId}/operations/{operationId}`
async fn poll(
    State(provisioning): State<Arc<Provisioning>>,
    Names(path): Names<OperationPath>,
    request: Request,
) -> Response {
    let call = Call::begin(&provisioning, Asked::of(&request));
    let wait = prefer::wait(request.headers());
    let OperationPath { scope, id, operation } = path;
    let path = DevicePath { scope, id };
    // A poll's body is whatever the client's library put there; what counts is what the registration said.
    let asked = match call.read(&path, request.map(|_| Body::empty())).await {
        Ok(asked) => asked,
        Err(error) => return call.fail(error),
    };
    let Ok(operation) = operation.parse::<OperationId>() else {
        let what = "the operation id of the path is not one that this service makes";
        return call.fail(Wrong::because(DeviceError::NotFound, what));
    };
    let credential = asked.credential.clone();
    match provisioning.poll(asked, operation, call.bounded(wait)).await {
        Ok((operation, status)) => call.status(&operation, &path, &status, &credential),
        Err(error) => call.refuse(error),
    }
}

/// `POST /{idScope}/registrations/{registrationId}`
async fn look_up(
    State(provisioning): State<Arc<Provisioning>>,
    Names(path): Names<DevicePath>,
    request: Request,
) -> Response {
    let call = Call::begin(&provisioning, Asked::of(&request));
    let asked = match call.read(&path, request).await {
        Ok(asked) => asked,
        Err(error) => return call.fail(error),
    };
    if asked.csr.is_some() {
        return call.fail(DeviceError::BadRequest("A csr comes with a registration, not with a look-up"));
    }
    let credential = asked.credential.clone();
    match provisioning.look_up(asked).await {
        Ok(registration) => {
            let hub_key = call.hub_key(&path, &registration, &credential);
            let state = RegistrationState::of(&registration, &credential).with_hub_key(hub_key.as_ref());
            call.result(&registration, &state)
        }
        Err(error) => call.refuse(error),
    }
}

/// Anything else. What is asked of other interfaces of the service, by those who take this for it, is told so, and the operator
/// reads of it now and then.
async fn not_served(State(provisioning): State<Arc<Provisioning>>, request: Request) -> Response {
    let call = Call::begin(&provisioning, Asked::of(&request));
    let Some(what) = elsewhere(request.uri().path()) else {
        return call.fail(Wrong::because(DeviceError::NotFound, "nothing is served under this path"));
    };
    if let Some(unsaid) = provisioning.desk().may_log_not_served() {
        let peer = request.extensions().get::<Arc<ConnectionInfo>>().map(|connection| connection.peer_addr.to_string());
        let path: String = request.uri().path().chars().take(MOST_SAID).collect();
        tracing::warn!(peer, path, unsaid, "not served here: {what}");
    }
    call.fail(DeviceError::NotServed(what))
}

/// What a path is of, that is known and not served here.
fn elsewhere(path: &str) -> Option<&'static str> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        ["$iothub" | "$servicebus", "websocket", ..] => {
            Some("MQTT and AMQP are not served here, over WebSocket neither: the device has to use HTTPS")
        }
        ["enrollments" | "enrollmentGroups" | "registrations" | "attestations" | "certificates", ..] => Some(
            "The service API of DPS is not served here: enrollments are the management API's, /api/v1 on the other port",
        ),
        ["api", "v1", ..] => Some("The management API is not served here: it has a port of its own"),
        [.., "getDeviceUpdate" | "reportDeviceUpdateStatus"] => Some("Updates before provisioning are not served here"),
        _ => None,
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct DevicePath {
    pub(super) scope: String,
    pub(super) id: String,
}

#[derive(Debug, Deserialize)]
struct OperationPath {
    scope: String,
    id: String,
    operation: String,
}

impl DevicePath {
    /// DPS names the register URL itself; no client reads it.
    pub(super) fn location(&self, hostname: &str) -> String {
        format!("https://{hostname}/{}/registrations/{}/register", self.scope, self.id)
    }
}

/// The names in a path. Those that are not UTF-8 once they are decoded are answered like every other error.
struct Names<T>(T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Provisioning>> for Names<T> {
    type Rejection = Response;

    async fn from_request_parts(head: &mut Parts, provisioning: &Arc<Provisioning>) -> Result<Self, Response> {
        match Path::from_request_parts(head, provisioning).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(_) => {
                let call = Call::begin(provisioning, Asked::of_head(head));
                Err(call.fail(DeviceError::BadRequest("The path is not UTF-8 text")))
            }
        }
    }
}

/// After how many seconds a device comes back at the earliest for whose connection there was no place.
const NO_PLACE_SECONDS: u64 = 5;

/// How much of a path is said.
const MOST_SAID: usize = 120;
