//! One request of a device being answered: from bytes to a request of the domain, and from results to answers.
//!
//! Every answer that is an error has a story, which `landfall decision show` tells: that of a refusal is in the ledger, that of
//! any other is kept in memory ([`Desk::keep_answer`](provisioning::desk::Desk::keep_answer)).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use landfall_attestation::bearer::{BearerFlaw, BearerToken};
use landfall_attestation::kerberos::NegotiateToken;
use landfall_attestation::password::{BasicCredential, BasicFlaw};
use landfall_attestation::symmetric_key::{SasToken, TokenFlaw};
use landfall_attestation::tpm::{self, Blob};
use landfall_domain::clock::Timestamp;
use landfall_domain::decision::{Entry, EntryKind};
use landfall_domain::names::{NameError, OperationId, TrackingId};
use landfall_domain::registration::Registration;
use serde::Serialize;

use super::error::{DeviceError, Wrong};
use super::http::DevicePath;
use super::wire::{self, OperationStatus, TpmChallenge};
use crate::listener::ConnectionInfo;
use crate::provisioning::{self, Credential, Provisioning, RegisterError, Status};
use crate::service::Service;

/// One request being answered.
pub(super) struct Call {
    provisioning: Arc<Provisioning>,
    asked: Asked,
    tracking_id: TrackingId,
    now: Timestamp,
}

/// What is told of a request whose answer is an error.
#[derive(Default)]
pub(super) struct Asked {
    line: Option<(Method, Uri)>,
    connection: Option<Arc<ConnectionInfo>>,
    peer: Option<SocketAddr>,
}

impl Asked {
    pub(super) fn of(request: &Request) -> Self {
        let line = (request.method().clone(), request.uri().clone());
        Self { line: Some(line), connection: request.extensions().get().cloned(), peer: None }
    }

    pub(super) fn of_head(head: &Parts) -> Self {
        let line = (head.method.clone(), head.uri.clone());
        Self { line: Some(line), connection: head.extensions.get().cloned(), peer: None }
    }

    /// Nothing could be read of it.
    pub(super) fn from_peer(peer: SocketAddr) -> Self {
        Self { peer: Some(peer), ..Self::default() }
    }
}

impl Call {
    pub(super) fn begin(provisioning: &Arc<Provisioning>, asked: Asked) -> Self {
        let ambient = provisioning.service().ambient();
        let now = ambient.now();
        let tracking_id = TrackingId::new(now, ambient.random());
        Self { provisioning: Arc::clone(provisioning), asked, tracking_id, now }
    }

    fn service(&self) -> &Service {
        self.provisioning.service()
    }

    pub(super) fn tracking_id(&self) -> TrackingId {
        self.tracking_id
    }

    /// From bytes to a request of the domain.
    pub(super) async fn read(&self, path: &DevicePath, request: Request) -> Result<provisioning::Request, Wrong> {
        let (head, body) = request.into_parts();
        check_api_version(head.uri.query().unwrap_or_default())?;
        // A scope that cannot exist is refused like one that does not.
        let scope = path.scope.parse().map_err(|error: NameError| Wrong::because(DeviceError::Unauthorized, error))?;
        let registration_id =
            path.id.parse().map_err(|error: NameError| Wrong::bad("Invalid RegistrationId", error))?;
        let limits = &self.service().config().limits.device;
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
    pub(super) fn bounded(&self, wait: Option<Duration>) -> Duration {
        wait.unwrap_or_default().min(Duration::from_secs(self.service().config().limits.device.max_wait_seconds))
    }

    /// How far the operation is.
    pub(super) fn status(
        &self,
        operation: &OperationId,
        path: &DevicePath,
        status: &Status,
        credential: &Credential,
    ) -> Response {
        // The path was parsed before the operation could be found.
        let Ok(id) = path.id.parse() else {
            return self.fail(DeviceError::NotFound);
        };
        let hub_key = match status {
            Status::Finished(registration) => self.hub_key(path, registration, credential),
            Status::Assigning { .. } => None,
        };
        let body = OperationStatus::polled(
            operation,
            &id,
            status,
            credential,
            hub_key.as_ref(),
            self.service().outside().certificate_issuing(),
        );
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
    pub(super) fn hub_key(
        &self,
        path: &DevicePath,
        registration: &Registration,
        credential: &Credential,
    ) -> Option<Blob> {
        let scope = path.scope.parse().ok()?;
        let desk = self.provisioning.desk();
        let (chip, key) = desk.chip_and_hub_key(&scope, registration, credential.token())?;
        tpm::hmac_key_blob(&chip.endorsement, &chip.storage_root, &key, self.service().ambient()).ok()
    }

    /// The device is told that it is refused; the operator is told why.
    pub(super) fn refuse(&self, error: RegisterError) -> Response {
        let why = error.to_string();
        let told = match error {
            RegisterError::Challenged(blob) => {
                self.keep(StatusCode::UNAUTHORIZED, "the TPM was told its challenge, and has to answer it");
                return self.answer(StatusCode::UNAUTHORIZED, &TpmChallenge::of(&blob));
            }
            // These are in the ledger.
            RegisterError::Refused(_) => return self.respond_with_error(DeviceError::Unauthorized),
            RegisterError::NotNow(cause) => {
                return self.respond_with_error(cause.again_in().map_or(DeviceError::Busy, DeviceError::BusyFor));
            }
            RegisterError::NoIssuer => DeviceError::BadRequest("Certificates are not issued for this enrollment"),
            RegisterError::CertificateRequest(flaw) => DeviceError::of_csr(&flaw),
            RegisterError::NotFound => DeviceError::NotFound,
            RegisterError::TooOften(full) => DeviceError::TooOften(full.retry_after),
            RegisterError::Busy | RegisterError::Failed => DeviceError::Busy,
            RegisterError::Name(_) => DeviceError::BadRequest("Invalid RegistrationId"),
            RegisterError::Store(error) => {
                tracing::error!(tracking_id = %self.tracking_id, %error, "the store failed");
                DeviceError::Busy
            }
        };
        self.fail(Wrong::because(told, why))
    }

    /// An error, whose story is kept for the operator.
    pub(super) fn fail(&self, wrong: impl Into<Wrong>) -> Response {
        let Wrong { told, detail } = wrong.into();
        self.keep(told.status(), &detail);
        self.respond_with_error(told)
    }

    /// Keeps what was answered, and to what.
    pub(super) fn keep(&self, status: StatusCode, detail: &str) {
        let Asked { line, connection, peer } = &self.asked;
        let Some(peer) = connection.as_ref().map(|connection| connection.peer_addr).or(*peer) else { return };
        let path = line.as_ref().map(|(_, uri)| uri.path()).unwrap_or_default();
        let mut parts = path.trim_start_matches('/').split('/');
        let (scope, what, id) = (parts.next(), parts.next(), parts.next());
        let of_device = what == Some("registrations");
        let entry = Entry {
            tracking_id: self.tracking_id,
            at: self.now,
            scope: scope.filter(|_| of_device).and_then(|scope| scope.parse().ok()),
            registration_id: cut(id.filter(|_| of_device).unwrap_or_default(), MOST_ID),
            source: peer.ip().to_string(),
            kind: EntryKind::Answered {
                status: status.as_u16(),
                detail: cut(detail, MOST_TOLD),
                asked: line.as_ref().map(|(method, _)| cut(&format!("{method} {path}"), MOST_TOLD)).unwrap_or_default(),
            },
        };
        let admitted = connection.as_ref().is_some_and(|connection| connection.standing.is_proven());
        self.provisioning.desk().keep_answer(peer.ip(), admitted, entry);
    }

    fn respond_with_error(&self, error: DeviceError) -> Response {
        let mut answer = self.answer(error.status(), &error.body(self.tracking_id, self.now));
        match error {
            DeviceError::Busy => set(&mut answer, RETRY_AFTER, BUSY_SECONDS),
            DeviceError::TooOften(seconds) | DeviceError::BusyFor(seconds) => {
                set(&mut answer, RETRY_AFTER, &seconds.to_string())
            }
            _ => {}
        }
        if error == DeviceError::Unauthorized && self.service().outside().directories().any() {
            set(&mut answer, WWW_AUTHENTICATE, "Negotiate");
        }
        set(&mut answer, ERROR_CODE, &error.code().to_string());
        answer
    }

    /// An error in bytes, for who is no HTTP client; nothing comes after it.
    pub(super) fn head_and_body(&self, error: DeviceError) -> Vec<u8> {
        let answer = self.respond_with_error(error);
        let body = serde_json::to_vec(&error.body(self.tracking_id, self.now)).unwrap_or_default();
        let mut bytes = format!("HTTP/1.1 {}\r\n", answer.status()).into_bytes();
        for (name, value) in answer.headers() {
            bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        bytes.extend(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).bytes());
        bytes.extend(body);
        bytes
    }

    /// The answer that tells a registration's result.
    pub(super) fn result(&self, registration: &Registration, body: &impl Serialize) -> Response {
        let mut answer = self.answer(StatusCode::OK, body);
        set(&mut answer, REQUEST_ID, &registration.decision.to_string());
        answer
    }

    pub(super) fn answer(&self, status: StatusCode, body: &impl Serialize) -> Response {
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

async fn read_all(body: Body, limits: &crate::config::DeviceLimits) -> Result<bytes::Bytes, Wrong> {
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
pub(super) fn set(answer: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

/// A text of at most so many characters.
fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// As much of a registration id as an entry has.
const MOST_ID: usize = 128;
/// How much is told of a request, and of what is wrong with it.
const MOST_TOLD: usize = 300;

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
