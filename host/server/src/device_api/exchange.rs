//! Answers one call: converts the call into a request of the domain, and the result into an answer.
//!
//! For every error answer, an explanation is recorded, which `landfall decision show` prints. That of a refusal is in
//! the ledger; any other is kept in memory ([`Desk::keep_answer`](crate::provisioning::desk::Desk::keep_answer)).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use landfall_attestation::tpm::{self, Blob};
use landfall_domain::clock::Timestamp;
use landfall_domain::decision::{Entry, EntryKind};
use landfall_domain::names::{IdScope, OperationId, RegistrationId, TrackingId};
use landfall_domain::registration::Registration;
use serde::Serialize;

use super::answer::{DeviceAnswer, Outcome};
use super::call::{DeviceCall, Verb};
use super::error::{DeviceError, Wrong};
use super::wire::{OperationStatus, RegistrationState, TpmChallenge};
use crate::provisioning::{Credential, Provisioning, RegisterError, Status};
use crate::service::Service;

/// The handling of one call. `O` describes the origin of the request, as its transport knows it.
pub struct Exchange<O> {
    provisioning: Arc<Provisioning>,
    origin: O,
    tracking_id: TrackingId,
    now: Timestamp,
}

/// Describes the origin of a request and what it asked, as its transport knows it. Used only for error answers.
pub trait Origin {
    /// The description of the request.
    fn described(&self) -> Described;
}

/// The description of a request whose answer is an error. It contains no value that could be a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// What was asked, in terms of the transport, such as method and path.
    pub asked: String,
    /// The id scope that the request names, if any.
    pub scope: Option<IdScope>,
    /// The registration id that the request names, if it is valid.
    pub registration_id: String,
    /// The address of the peer. Without an address, nothing is recorded.
    pub source: Option<IpAddr>,
    /// Whether the connection has authenticated.
    pub is_proven: bool,
}

/// The identity of the device, once it is read.
struct Who {
    scope: IdScope,
    id: RegistrationId,
    credential: Credential,
}

impl<O: Origin> Exchange<O> {
    /// Begins to handle a call, under a new tracking id.
    pub fn begin(provisioning: &Arc<Provisioning>, origin: O) -> Self {
        let ambient = provisioning.service().ambient();
        let now = ambient.now();
        let tracking_id = TrackingId::new(now, ambient.random());
        Self { provisioning: Arc::clone(provisioning), origin, tracking_id, now }
    }

    /// The tracking id of the request.
    pub fn tracking_id(&self) -> TrackingId {
        self.tracking_id
    }

    /// The provisioning service that handles the call.
    pub fn provisioning(&self) -> &Arc<Provisioning> {
        &self.provisioning
    }

    fn service(&self) -> &Service {
        self.provisioning.service()
    }

    /// Executes a device's call. `body` is the request body, once it has arrived completely.
    pub async fn answer(&self, call: DeviceCall, body: impl Future<Output = Result<Bytes, Wrong>>) -> DeviceAnswer {
        let limits = &self.service().config().limits.device;
        let request = match call.read(body, limits.json_depth, self.tracking_id, self.now).await {
            Ok(request) => request,
            Err(wrong) => return self.fail(wrong),
        };
        let who = Who {
            scope: request.scope.clone(),
            id: request.registration_id.clone(),
            credential: request.credential.clone(),
        };
        // As long as the device is willing to wait, within the limit.
        let wait = call.wait.unwrap_or_default().min(Duration::from_secs(limits.max_wait_seconds));
        let done = match call.verb {
            Verb::Register => match self.provisioning.register(request, wait).await {
                Ok((operation, status)) if call.wait.is_some() => Ok(self.status(&operation, &status, &who)),
                Ok((operation, status)) => Ok(self.begun(&operation, &status)),
                Err(error) => Err(error),
            },
            Verb::Poll { operation } => {
                let Ok(operation) = operation.parse::<OperationId>() else {
                    let what = "the operation id of the path is not one that this service makes";
                    return self.fail(Wrong::because(DeviceError::NotFound, what));
                };
                let polled = self.provisioning.poll(request, operation, wait).await;
                polled.map(|(operation, status)| self.status(&operation, &status, &who))
            }
            Verb::LookUp if request.csr.is_some() => {
                return self.fail(DeviceError::BadRequest("A csr comes with a registration, not with a look-up"));
            }
            Verb::LookUp => self.provisioning.look_up(request).await.map(|registration| {
                let hub_key = self.hub_key(&registration, &who);
                let state = RegistrationState::of(&registration, &who.credential).with_hub_key(hub_key.as_ref());
                self.result(&registration, &state)
            }),
        };
        done.unwrap_or_else(|error| self.refuse(error))
    }

    /// The answer to a call that began a registration: the device asks again, even if the result exists already.
    fn begun(&self, operation: &OperationId, status: &Status) -> DeviceAnswer {
        let seconds = match status {
            Status::Assigning { retry_after } => *retry_after,
            Status::Finished(_) => self.service().config().limits.device.poll_seconds,
        };
        let answer = self.answer_with(Outcome::Begun, &OperationStatus::accepted(operation));
        DeviceAnswer { retry_after: Some(seconds), ..answer }
    }

    /// The answer with the state of an operation.
    fn status(&self, operation: &OperationId, status: &Status, who: &Who) -> DeviceAnswer {
        let hub_key = match status {
            Status::Finished(registration) => self.hub_key(registration, who),
            Status::Assigning { .. } => None,
        };
        let body = OperationStatus::polled(
            operation,
            &who.id,
            status,
            &who.credential,
            hub_key.as_ref(),
            self.service().outside().certificate_issuing(),
        );
        match status {
            Status::Finished(registration) => self.result(registration, &body),
            Status::Assigning { retry_after } => {
                DeviceAnswer { retry_after: Some(*retry_after), ..self.answer_with(Outcome::Assigning, &body) }
            }
        }
    }

    /// The key with which the device's TPM authenticates at its hub, wrapped for the TPM.
    fn hub_key(&self, registration: &Registration, who: &Who) -> Option<Blob> {
        let desk = self.provisioning.desk();
        let (chip, key) = desk.chip_and_hub_key(&who.scope, registration, who.credential.token())?;
        tpm::hmac_key_blob(&chip.endorsement, &chip.storage_root, &key, self.service().ambient()).ok()
    }

    /// The answer to a refused registration. The device learns that it is refused, the operator learns why.
    fn refuse(&self, error: RegisterError) -> DeviceAnswer {
        let why = error.to_string();
        let told = match error {
            RegisterError::Challenged(blob) => {
                self.keep(Outcome::Challenged.status(), "the TPM was told its challenge, and has to answer it");
                return self.answer_with(Outcome::Challenged, &TpmChallenge::of(&blob));
            }
            // The ledger explains these.
            RegisterError::Refused(_) => return self.error(DeviceError::Unauthorized),
            RegisterError::NotNow(cause) => {
                return self.error(cause.again_in().map_or(DeviceError::Busy, DeviceError::BusyFor));
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

    /// An error answer, with an explanation recorded for the operator.
    pub fn fail(&self, wrong: impl Into<Wrong>) -> DeviceAnswer {
        let Wrong { told, detail } = wrong.into();
        self.keep(told.status(), &detail);
        self.error(told)
    }

    /// An error answer whose explanation is recorded elsewhere.
    pub fn error(&self, error: DeviceError) -> DeviceAnswer {
        let retry_after = match error {
            DeviceError::Busy => Some(BUSY_SECONDS),
            DeviceError::TooOften(seconds) | DeviceError::BusyFor(seconds) => Some(seconds),
            _ => None,
        };
        let body = error.body(self.tracking_id, self.now);
        DeviceAnswer { retry_after, ..self.answer_with(Outcome::Wrong(error), &body) }
    }

    /// Records the answer and the description of its request.
    pub fn keep(&self, status: u16, detail: &str) {
        let Described { asked, scope, registration_id, source, is_proven } = self.origin.described();
        let Some(source) = source else { return };
        let entry = Entry {
            tracking_id: self.tracking_id,
            at: self.now,
            scope,
            registration_id: cut(&registration_id, MOST_ID),
            source: source.to_string(),
            kind: EntryKind::Answered { status, detail: cut(detail, MOST_TOLD), asked: cut(&asked, MOST_TOLD) },
        };
        self.provisioning.desk().keep_answer(source, is_proven, entry);
    }

    /// The answer with the result of a registration.
    fn result(&self, registration: &Registration, body: &impl Serialize) -> DeviceAnswer {
        DeviceAnswer { tracking_id: registration.decision, ..self.answer_with(Outcome::Finished, body) }
    }

    fn answer_with(&self, outcome: Outcome, body: &impl Serialize) -> DeviceAnswer {
        let body = serde_json::to_vec(body).unwrap_or_default();
        DeviceAnswer { outcome, body, retry_after: None, tracking_id: self.tracking_id }
    }
}

/// The text, truncated to this many characters.
fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// The maximum length of a registration id in a record.
const MOST_ID: usize = 128;
/// The maximum length of the descriptions of a request and of its error.
const MOST_TOLD: usize = 300;

/// After how many seconds a device asks again when the server is busy.
const BUSY_SECONDS: u64 = 5;

#[cfg(test)]
mod tests;
