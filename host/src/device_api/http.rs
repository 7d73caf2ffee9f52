//! The device API over HTTPS: requests in, answers out.
//!
//! Every answer carries a tracking id, and every answer with a body says that it is UTF-8 JSON: clients in the field fail
//! without either. It is that of the request; an answer that tells what became of a registration carries that of the decision
//! which it rests on, so that what a poll was told leads there too. Ids arrive percent-encoded and are decoded once.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post, put};
use http::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::DeviceError;
use super::prefer;
use super::wire::{self, OperationStatus, RegistrationState, TpmChallenge};
use crate::attestation::bearer::{BearerFlaw, BearerToken};
use crate::attestation::kerberos::NegotiateToken;
use crate::attestation::password::{BasicCredential, BasicFlaw};
use crate::attestation::symmetric_key::{SasToken, TokenFlaw};
use crate::attestation::tpm::{self, Blob};
use crate::clock::{self, Timestamp};
use crate::listener::{self, ConnectionInfo};
use crate::names::{OperationId, TrackingId};
use crate::provisioning::{self, Credential, RegisterError, Status};
use crate::registration::Registration;
use crate::service::Service;

/// The routes. Paths that are not here answer 404 with a body, like everything else.
pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/{scope}/registrations/{id}/register", put(register))
        .route("/{scope}/registrations/{id}/operations/{operation}", get(poll))
        .route("/{scope}/registrations/{id}", post(look_up))
        .fallback(not_served)
        .method_not_allowed_fallback(|State(service): State<Arc<Service>>| async move {
            Call::begin(&service).fail(DeviceError::MethodNotAllowed)
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&service), for_one_host))
        .layer(middleware::from_fn_with_state(Arc::clone(&service), with_a_place))
        .with_state(service)
}

/// Answers only those for whose connection there was a place. The others come back each at a time of its own.
async fn with_a_place(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<Arc<ConnectionInfo>>();
    if connection.is_none_or(|connection| connection.has_place) {
        return next.run(request).await;
    }
    let [chance] = service.ambient.random::<1>();
    Call::begin(&service).fail(DeviceError::BusyFor(NO_PLACE_SECONDS + u64::from(chance % 16)))
}

/// Whom a request is for is said once (RFC 9112, 3.2): two names are two readings of it.
async fn for_one_host(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    if listener::names_one_host(&request) {
        next.run(request).await
    } else {
        Call::begin(&service).fail(DeviceError::BadRequest("The request must have one Host header"))
    }
}

/// `PUT /{idScope}/registrations/{registrationId}/register`
async fn register(State(service): State<Arc<Service>>, Names(path): Names<DevicePath>, request: Request) -> Response {
    let call = Call::begin(&service);
    let wait = prefer::wait(request.headers());
    let asked = match call.read(&path, request).await {
        Ok(asked) => asked,
        Err(error) => return call.fail(error),
    };
    let credential = asked.credential.clone();
    match provisioning::register(&service, asked, call.bounded(wait)).await {
        // A client that did not ask to wait is told 202 even when the result is there: some refuse anything else.
        Ok((operation, status)) if wait.is_some() => call.status(&operation, &path, &status, &credential),
        Ok((operation, status)) => {
            let seconds = match status {
                Status::Assigning { retry_after } => retry_after,
                Status::Finished(_) => service.config.limits.device.poll_seconds,
            };
            let mut answer = call.answer(StatusCode::ACCEPTED, &OperationStatus::accepted(&operation));
            set(&mut answer, RETRY_AFTER, &seconds.to_string());
            set(&mut answer, LOCATION, &path.location(&service.config.server.hostname));
            answer
        }
        Err(error) => call.refuse(error),
    }
}

/// `GET /{idScope}/registrations/{registrationId}/operations/{operationId}`
async fn poll(State(service): State<Arc<Service>>, Names(path): Names<OperationPath>, request: Request) -> Response {
    let call = Call::begin(&service);
    let wait = prefer::wait(request.headers());
    let OperationPath { scope, id, operation } = path;
    let path = DevicePath { scope, id };
    // A poll's body is whatever the client's library put there; what counts is what the registration said.
    let asked = match call.read(&path, request.map(|_| Body::empty())).await {
        Ok(asked) => asked,
        Err(error) => return call.fail(error),
    };
    let Ok(operation) = operation.parse::<OperationId>() else {
        return call.fail(DeviceError::NotFound);
    };
    let credential = asked.credential.clone();
    match provisioning::poll(&service, asked, operation, call.bounded(wait)).await {
        Ok((operation, status)) => call.status(&operation, &path, &status, &credential),
        Err(error) => call.refuse(error),
    }
}

/// `POST /{idScope}/registrations/{registrationId}`
async fn look_up(State(service): State<Arc<Service>>, Names(path): Names<DevicePath>, request: Request) -> Response {
    let call = Call::begin(&service);
    let asked = match call.read(&path, request).await {
        Ok(asked) => asked,
        Err(error) => return call.fail(error),
    };
    if asked.csr.is_some() {
        return call.fail(DeviceError::BadRequest("A csr comes with a registration, not with a look-up"));
    }
    let credential = asked.credential.clone();
    match provisioning::look_up(&service, asked).await {
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
async fn not_served(State(service): State<Arc<Service>>, request: Request) -> Response {
    let call = Call::begin(&service);
    let Some(what) = elsewhere(request.uri().path()) else { return call.fail(DeviceError::NotFound) };
    if let Some(unsaid) = service.not_served.may_be_said() {
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

impl DevicePath {
    /// DPS names the register URL itself; no client reads it.
    fn location(&self, hostname: &str) -> String {
        format!("https://{hostname}/{}/registrations/{}/register", self.scope, self.id)
    }
}

/// The names in a path. Those that are not UTF-8 once they are decoded are answered like every other error.
struct Names<T>(T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Service>> for Names<T> {
    type Rejection = Response;

    async fn from_request_parts(head: &mut Parts, service: &Arc<Service>) -> Result<Self, Response> {
        match Path::from_request_parts(head, service).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(_) => Err(Call::begin(service).fail(DeviceError::BadRequest("The path is not UTF-8 text"))),
        }
    }
}

/// One request being answered.
struct Call {
    service: Arc<Service>,
    tracking_id: TrackingId,
    now: Timestamp,
}

impl Call {
    fn begin(service: &Arc<Service>) -> Self {
        let now = service.ambient.now();
        Self { service: Arc::clone(service), tracking_id: TrackingId::new(now, service.ambient.random()), now }
    }

    /// From bytes to a request of the domain.
    async fn read(&self, path: &DevicePath, request: Request) -> Result<provisioning::Request, DeviceError> {
        let (head, body) = request.into_parts();
        check_api_version(head.uri.query().unwrap_or_default())?;
        // A scope that cannot exist is refused like one that does not.
        let scope = path.scope.parse().map_err(|_| DeviceError::Unauthorized)?;
        let registration_id = path.id.parse().map_err(|_| DeviceError::BadRequest("Invalid RegistrationId"))?;
        let limits = &self.service.config.limits.device;
        let said = wire::read_body(&read_all(body, limits).await?, &registration_id, limits.json_depth)?;
        let connection = head.extensions.get::<Arc<ConnectionInfo>>().ok_or(DeviceError::Internal)?;
        let mut credential = credential(&head.headers, connection);
        if let Some(chip) = said.chip {
            let token = credential.token().cloned();
            if !matches!(
                credential,
                Credential::UnreadableToken(_)
                    | Credential::Bearer(_)
                    | Credential::UnreadableBearer(_)
                    | Credential::Basic(_)
                    | Credential::Negotiate(_)
                    | Credential::UnreadableBasic(_)
            ) {
                credential = Credential::Tpm { chip: Arc::new(chip), token };
            }
        }
        Ok(provisioning::Request {
            tracking_id: self.tracking_id,
            received_at: self.now,
            source: connection.peer_addr.ip(),
            standing: connection.standing.clone(),
            scope,
            registration_id,
            credential,
            payload: said.payload,
            csr: said.csr.map(Arc::new),
        })
    }

    /// How long the device is kept waiting: as long as it would wait, within the limit.
    fn bounded(&self, wait: Option<Duration>) -> Duration {
        wait.unwrap_or_default().min(Duration::from_secs(self.service.config.limits.device.max_wait_seconds))
    }

    /// How far the operation is.
    fn status(&self, operation: &OperationId, path: &DevicePath, status: &Status, credential: &Credential) -> Response {
        // The path was parsed before the operation could be found.
        let Ok(id) = path.id.parse() else {
            return self.fail(DeviceError::NotFound);
        };
        let hub_key = match status {
            Status::Finished(registration) => self.hub_key(path, registration, credential),
            Status::Assigning { .. } => None,
        };
        let body = OperationStatus::polled(operation, &id, status, credential, hub_key.as_ref(), &self.service.issuing);
        match status {
            Status::Finished(registration) => self.result(registration, &body),
            Status::Assigning { retry_after } => {
                let mut answer = self.answer(StatusCode::ACCEPTED, &body);
                set(&mut answer, RETRY_AFTER, &retry_after.to_string());
                answer
            }
        }
    }

    /// The key with which the device's TPM signs in at its hub, wrapped for it.
    fn hub_key(&self, path: &DevicePath, registration: &Registration, credential: &Credential) -> Option<Blob> {
        let (scope, id) = (path.scope.parse().ok()?, &registration.registration_id);
        let token = credential.token().filter(|_| registration.hub().is_some())?;
        let chip = self.service.challenges.answered(&scope, id, token, clock::instant())?;
        let key = self.service.hub_key(&scope, id, chip.endorsement.sha256());
        tpm::hmac_key_blob(&chip.endorsement, &chip.storage_root, &key, &self.service.ambient).ok()
    }

    /// The device is told that it is refused; the operator is told why.
    fn refuse(&self, error: RegisterError) -> Response {
        self.fail(match error {
            RegisterError::Challenged(blob) => {
                return self.answer(StatusCode::UNAUTHORIZED, &TpmChallenge::of(&blob));
            }
            RegisterError::Refused(_) => DeviceError::Unauthorized,
            RegisterError::NoIssuer => DeviceError::BadRequest("Certificates are not issued for this enrollment"),
            RegisterError::CertificateRequest(flaw) => DeviceError::of_csr(&flaw),
            RegisterError::NotFound => DeviceError::NotFound,
            RegisterError::TooOften(full) => DeviceError::TooOften(full.retry_after),
            RegisterError::NotNow(cause) => cause.again_in().map_or(DeviceError::Busy, DeviceError::BusyFor),
            RegisterError::Busy | RegisterError::Failed => DeviceError::Busy,
            RegisterError::Name(_) => DeviceError::BadRequest("Invalid RegistrationId"),
            RegisterError::Store(error) => {
                tracing::error!(tracking_id = %self.tracking_id, %error, "the store failed");
                DeviceError::Busy
            }
        })
    }

    fn fail(&self, error: DeviceError) -> Response {
        let mut answer = self.answer(error.status(), &error.body(self.tracking_id, self.now));
        match error {
            DeviceError::Busy => set(&mut answer, RETRY_AFTER, BUSY_SECONDS),
            DeviceError::TooOften(seconds) | DeviceError::BusyFor(seconds) => {
                set(&mut answer, RETRY_AFTER, &seconds.to_string())
            }
            _ => {}
        }
        if error == DeviceError::Unauthorized && self.service.directories.any() {
            set(&mut answer, WWW_AUTHENTICATE, "Negotiate");
        }
        set(&mut answer, ERROR_CODE, &error.code().to_string());
        answer
    }

    /// The answer that tells a registration's result.
    fn result(&self, registration: &Registration, body: &impl Serialize) -> Response {
        let mut answer = self.answer(StatusCode::OK, body);
        set(&mut answer, REQUEST_ID, &registration.decision.to_string());
        answer
    }

    fn answer(&self, status: StatusCode, body: &impl Serialize) -> Response {
        let text = serde_json::to_vec(body).unwrap_or_default();
        let mut answer = Response::new(Body::from(text));
        *answer.status_mut() = status;
        set(&mut answer, CONTENT_TYPE, "application/json; charset=utf-8");
        set(&mut answer, STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubDomains");
        set(&mut answer, REQUEST_ID, &self.tracking_id.to_string());
        answer
    }
}

/// A token is shown on purpose; a certificate is shown by whatever has one in its TLS library. So the token counts. What is
/// no token of ours does not, where there is a certificate: libraries and proxies put all sorts of things there.
fn credential(headers: &HeaderMap, connection: &ConnectionInfo) -> Credential {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    if let Some(header) = given.next() {
        let text = header.to_str().unwrap_or_default();
        let scheme = text.split(' ').next().unwrap_or_default();
        let several = given.next().is_some();
        if scheme.eq_ignore_ascii_case("SharedAccessSignature") {
            let parsed = if several { Err(TokenFlaw::Repeated("Authorization")) } else { SasToken::parse(text) };
            return parsed.map_or_else(Credential::UnreadableToken, Credential::SharedKey);
        }
        if scheme.eq_ignore_ascii_case("Bearer") {
            let parsed = if several { Err(BearerFlaw::Scheme) } else { BearerToken::parse(text) };
            return parsed.map_or_else(Credential::UnreadableBearer, Credential::Bearer);
        }
        if scheme.eq_ignore_ascii_case("Negotiate") {
            let whole = if several { "" } else { text };
            return Credential::Negotiate(NegotiateToken::parse(whole));
        }
        if scheme.eq_ignore_ascii_case("Basic") {
            let parsed = if several { Err(BasicFlaw::Several) } else { BasicCredential::parse(text) };
            return parsed.map_or_else(Credential::UnreadableBasic, Credential::Basic);
        }
        if connection.presented.is_none() {
            return Credential::UnreadableToken(TokenFlaw::Scheme);
        }
    }
    match &connection.presented {
        None => Credential::None,
        Some(Ok(chain)) => Credential::X509(Arc::clone(chain)),
        Some(Err(unusable)) => Credential::Unreadable(unusable.0.clone()),
    }
}

async fn read_all(body: Body, limits: &crate::config::DeviceLimits) -> Result<bytes::Bytes, DeviceError> {
    let whole = Limited::new(body, limits.max_body_bytes).collect();
    match tokio::time::timeout(Duration::from_secs(limits.body_seconds), whole).await {
        Err(_) => Err(DeviceError::TooSlow),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(DeviceError::TooLarge),
        Ok(Err(_)) => Err(DeviceError::BadRequest("The body could not be read")),
    }
}

/// Any well-formed version is taken: they do not differ in what is served here.
fn check_api_version(query: &str) -> Result<(), DeviceError> {
    let version = query.split('&').find_map(|pair| pair.strip_prefix("api-version="));
    let date = version.map(|version| version.strip_suffix("-preview").unwrap_or(version).as_bytes());
    match date {
        Some([y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2])
            if [y1, y2, y3, y4, m1, m2, d1, d2].iter().all(|digit| digit.is_ascii_digit()) =>
        {
            Ok(())
        }
        Some(_) => Err(DeviceError::BadRequest("The api-version is not of the form YYYY-MM-DD")),
        None => Err(DeviceError::BadRequest("The api-version is missing from the query")),
    }
}

/// Texts of our own making are always header values.
fn set(answer: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

/// After how many seconds a device comes back at the earliest for whose connection there was no place.
const NO_PLACE_SECONDS: u64 = 5;

/// How much of a path is said.
const MOST_SAID: usize = 120;

/// After how many seconds a device asks again when too much is under way.
const BUSY_SECONDS: &str = "5";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_that_a_client_sends_is_taken() {
        for good in ["2017-08-31-preview", "2019-03-31", "2021-06-01&forceRegistration=true", "2026-11-15-preview"] {
            assert_eq!(check_api_version(&format!("api-version={good}")), Ok(()), "{good}");
        }
        for bad in [
            "",
            "api-version=",
            "api-version=1",
            "api-version=2019-3-31",
            "api-version=2019-03-31x",
            "version=2019-03-31",
        ] {
            assert!(check_api_version(bad).is_err(), "{bad}");
        }
    }
}
