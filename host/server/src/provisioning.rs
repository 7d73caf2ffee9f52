//! One registration, start to end.
//!
//! ```text
//! 1 attest     evidence → who is this?                    admission
//! 2 admit      is it known, allowed, enabled?             admission
//! 3 decide     the policies: a hub, then a place          decide
//! 4 commit     registration, count and decision at once   commit
//! ```
//!
//! The device is told an operation id as soon as it is admitted; steps 3 and 4 go on whether it waits, comes back or
//! goes away. A policy that cannot answer makes the device wait; it never turns one away for good.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use landfall_attestation::bearer::{BearerFlaw, BearerToken};
use landfall_attestation::kerberos::NegotiateToken;
use landfall_attestation::password::{BasicCredential, BasicFlaw};
use landfall_attestation::symmetric_key::{SasToken, TokenFlaw};
use landfall_attestation::tpm::challenge::Chip;
use landfall_attestation::x509::request::CertificateRequest;
use landfall_attestation::x509::{CertificateInfo, PresentedChain};
use landfall_domain::clock::Timestamp;
use landfall_domain::decision::EntryKind;
use landfall_domain::json::JsonText;
use landfall_domain::names::{IdScope, OperationId, RegistrationId, TrackingId};
use landfall_domain::registration::{Outcome, Registration};

use crate::listener::Standing;
use crate::service::Service;

pub(crate) mod admission;
mod cause;
mod commit;
mod decide;
mod decoy;
mod deliberation;
mod ending;
mod operations;
mod placement;
mod refusal;
mod registration_job;
mod telling;
mod throttle;

pub use admission::Admitted;
pub use decoy::Decoy;
use ending::Ending;
use operations::{BeginResult, Claimant, Operation, Progress, RequestKind, Statement, StatementKind};
pub use operations::{Operations, WaitingDevice};
pub use refusal::{Cause, RegisterError};
use registration_job::RegistrationJob;
pub use telling::Telling;
pub(crate) use throttle::network;
pub use throttle::{Throttle, TooOften};

/// What a device asks, and how it proves that it may.
#[derive(Clone, Debug)]
pub struct Request {
    /// The request's own id.
    pub tracking_id: TrackingId,
    /// When it came.
    pub received_at: Timestamp,
    /// Where it came from.
    pub source: IpAddr,
    /// How its connection stands at the listener.
    pub standing: Standing,
    /// The tenant that its URL names.
    pub scope: IdScope,
    /// The device that its URL names.
    pub registration_id: RegistrationId,
    /// What was proven on this connection.
    pub credential: Credential,
    /// What the device says of itself.
    pub payload: Option<JsonText>,
    /// Its request for a certificate.
    pub csr: Option<Arc<CertificateRequest>>,
}

impl Request {
    fn said(&self) -> Statement {
        Statement { payload: self.payload.clone(), csr: self.csr.clone() }
    }
}

/// What a device showed of itself on its connection.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A certificate whose key it has, with the chain that it sent.
    X509(Arc<PresentedChain>),
    /// A token that somebody has signed with a symmetric key; by whom is not known yet.
    SharedKey(SasToken),
    /// The keys of its TPM, and the token with which it answers a challenge.
    Tpm {
        /// The keys.
        chip: Arc<Chip>,
        /// The answer, once there is one.
        token: Option<SasToken>,
    },
    /// A token of an identity provider, of which nothing has been proven yet.
    Bearer(BearerToken),
    /// One that does not parse.
    UnreadableBearer(BearerFlaw),
    /// A ticket of a directory, unopened.
    Negotiate(NegotiateToken),
    /// A username and a password.
    Basic(BasicCredential),
    /// Ones that do not parse.
    UnreadableBasic(BasicFlaw),
    /// A token that does not parse.
    UnreadableToken(TokenFlaw),
    /// A certificate that does not parse or is over a limit.
    Unreadable(String),
    /// Nothing.
    None,
}

impl Credential {
    /// The token, if it is one or carries one that a shared key has signed.
    pub fn token(&self) -> Option<&SasToken> {
        match self {
            Self::SharedKey(token) => Some(token),
            Self::Tpm { token, .. } => token.as_ref(),
            _ => None,
        }
    }

    /// What is told of the certificate, if there is one.
    pub fn certificate(&self) -> Option<&CertificateInfo> {
        match self {
            Self::X509(chain) => Some(chain.leaf().info()),
            _ => None,
        }
    }
}

/// How far a registration is, as its device may know.
#[derive(Clone, Debug)]
pub enum Status {
    /// It goes on; ask again after this many seconds.
    Assigning {
        /// Seconds.
        retry_after: u64,
    },
    /// It is on disk.
    Finished(Arc<Registration>),
}

/// Registers a device, and waits for the result at most so long.
pub async fn register(
    service: &Arc<Service>,
    request: Request,
    wait: Duration,
) -> Result<(OperationId, Status), RegisterError> {
    let admitted = throttle_and_admit(service, &request).await?;
    // Before an answer to a challenge is spent: the device would have to be challenged again.
    if !service.operations.has_room(&claimant(&request, &admitted)) {
        return Err(RegisterError::Busy);
    }
    if let Err(error) = admission::spend_challenge(service, &request).await {
        if let RegisterError::Refused(cause) = &error {
            refusal::report(service, &request, cause);
        }
        return Err(error);
    }
    if let Some(csr) = &request.csr {
        // After the proof: a stranger must not learn what an enrollment says.
        if admitted.terms.certificate_issuer.is_none() {
            return Err(RegisterError::NoIssuer);
        }
        csr.proves_its_key(&request.registration_id)?;
    }
    let with = request.said().with();
    let operation = service.operations.new_id(&request.scope, &request.registration_id, request.tracking_id, with);
    begin_or_join(service, request, admitted, operation, RequestKind::Register, wait).await
}

/// Answers how far an operation is. One that is not known any more and whose result is not on disk is begun again.
pub async fn poll(
    service: &Arc<Service>,
    mut request: Request,
    operation: OperationId,
    wait: Duration,
) -> Result<(OperationId, Status), RegisterError> {
    let admitted = throttle_and_admit(service, &request).await?;
    let begun = service.operations.begun(&operation, &request.scope, &request.registration_id);
    let begun = begun.ok_or(RegisterError::NotFound)?;
    if let Some(known) = service.operations.find(&claimant(&request, &admitted)) {
        if !matches!(known.progress(), Progress::Waiting(_)) {
            return Ok((operation, wait_for_other(service, &request, &known, wait).await?));
        }
    } else if let Some(registration) = admitted.before.as_ref().filter(|before| answers(before, &operation, begun.at)) {
        return Ok((operation, Status::Finished(Arc::new(registration.clone()))));
    } else {
        // The server was started again meanwhile. Where nobody knows any more what the device said, it has to register
        // again.
        match begun.with {
            StatementKind::Nothing => {}
            StatementKind::Payload => {
                let said = payload_of(service, begun.request).await?;
                request.payload = Some(said.ok_or(RegisterError::NotFound)?);
            }
            StatementKind::Csr => return Err(RegisterError::NotFound),
        }
    }
    begin_or_join(service, request, admitted, operation, RequestKind::Poll, wait).await
}

/// Whether a registration is the result of an operation, or of a later one: the moment alone would not do, for a clock
/// that was set back.
fn answers(registration: &Registration, operation: &OperationId, begun: Timestamp) -> bool {
    registration.operation == *operation || registration.updated_at >= begun
}

/// What a device said in a request whose decision is in the ledger.
async fn payload_of(service: &Service, request: TrackingId) -> Result<Option<JsonText>, RegisterError> {
    let limits = &service.config.limits.device;
    let said = match service.store.ledger_entry(request).await?.map(|entry| entry.kind) {
        Some(EntryKind::Decided(decision)) => decision.device.payload,
        Some(EntryKind::Refused { .. } | EntryKind::Answered { .. }) | None => None,
    };
    Ok(said.and_then(|text| JsonText::parse(text, limits.max_body_bytes, limits.json_depth).ok()))
}

/// The device's registration as it is, without starting one.
pub async fn look_up(service: &Arc<Service>, request: Request) -> Result<Registration, RegisterError> {
    throttle_and_admit(service, &request).await?.before.ok_or(RegisterError::NotFound)
}

/// Steps 1 and 2. A refusal is told to the operator when the device has its answer, so that it cannot tell one cause from
/// another by the disk.
async fn throttle_and_admit(service: &Arc<Service>, request: &Request) -> Result<Admitted, RegisterError> {
    if let Err(full) = service.throttle.admit(request.source, &request.scope, &request.registration_id) {
        service.metrics.throttled(full.measure);
        return Err(full.into());
    }
    let admitted = admission::admit(service, request).await;
    if admitted.is_ok() {
        request.standing.has_proven();
    }
    if let Err(RegisterError::Refused(cause) | RegisterError::NotNow(cause)) = &admitted {
        refusal::report(service, request, cause);
    }
    admitted
}

/// Begins the operation, or joins the one that runs.
async fn begin_or_join(
    service: &Arc<Service>,
    request: Request,
    admitted: Admitted,
    new_id: OperationId,
    asked: RequestKind,
    wait: Duration,
) -> Result<(OperationId, Status), RegisterError> {
    let claimant = claimant(&request, &admitted);
    let mut work = Box::new(RegistrationJob::new(service, request, admitted, new_id));
    let operation = loop {
        let (id, said) = (work.operation.clone(), work.request.said());
        match service.operations.begin(&claimant, id, service.ambient.instant(), asked, &said) {
            BeginResult::Mine(operation) => {
                work.goes_on(operation.id.clone(), operation.said());
                tokio::spawn(carry_out(Arc::clone(service), claimant, work, operation.clone()));
                break operation;
            }
            BeginResult::Theirs(operation) => {
                let status = wait_for_other(service, &work.request, &operation, wait).await?;
                return Ok((operation.id, status));
            }
            BeginResult::Behind => match service.operations.follow(&claimant, work) {
                Ok(operation) => break operation,
                // What was being worked on has ended meanwhile.
                Err(again) => work = again,
            },
            BeginResult::Full => return Err(RegisterError::Busy),
        }
    };
    let progress = operation.settled(wait).await;
    Ok((operation.id.clone(), status(service, &progress)?))
}

/// Waits for an operation that another request began. Whoever is refused by it is refused under a tracking id of its
/// own, and the operator finds the cause under that one too.
async fn wait_for_other(
    service: &Arc<Service>,
    request: &Request,
    operation: &Operation,
    wait: Duration,
) -> Result<Status, RegisterError> {
    let progress = operation.settled(wait).await;
    if let Progress::Refused(cause) = &progress {
        refusal::report(service, request, cause);
    }
    status(service, &progress)
}

/// Steps 3 to 5, whether or not the device still listens; then those of the registration that follows, if one does.
async fn carry_out(service: Arc<Service>, claimant: Claimant, mut work: Box<RegistrationJob>, operation: Operation) {
    loop {
        let request = work.request.clone();
        let parts = (&service.operations, &service.metrics);
        let ending = Ending::new(parts, claimant.clone(), operation.clone(), request.tracking_id);
        let progress = match commit::decide_and_commit(&service, *work).await {
            Ok(progress) => progress,
            Err(RegisterError::Refused(cause)) => {
                refusal::report(&service, &request, &cause);
                Progress::Refused(Arc::new(cause))
            }
            Err(error) => {
                tracing::error!(tracking_id = %request.tracking_id, %error, "a registration failed here; its device may ask again");
                Progress::Failed
            }
        };
        if let Progress::Finished(registration) = &progress {
            tell(&request, registration);
        }
        match ending.conclude(progress) {
            Some(next) => work = next,
            None => return,
        }
    }
}

/// One line for each registration that has come to its end.
fn tell(request: &Request, registration: &Registration) {
    let Request { tracking_id, registration_id, .. } = request;
    match &registration.outcome {
        Outcome::Assigned(place) => {
            let hub = &place.hub;
            tracing::info!(%tracking_id, %registration_id, %hub, how = ?place.substatus, "a device is assigned");
        }
        Outcome::Failed { code, message } => {
            tracing::warn!(%tracking_id, %registration_id, code, message, "a registration failed");
        }
    }
}

fn claimant(request: &Request, admitted: &Admitted) -> Claimant {
    let (scope, id) = (request.scope.clone(), request.registration_id.clone());
    Claimant { scope, id, key: admitted.factors.key_identity }
}

fn status(service: &Service, progress: &Progress) -> Result<Status, RegisterError> {
    match progress {
        Progress::Running => Ok(Status::Assigning { retry_after: service.config.limits.device.poll_seconds }),
        Progress::Waiting(wait) => {
            let seconds = wait.until.saturating_duration_since(service.ambient.instant()).as_millis().div_ceil(1000);
            Ok(Status::Assigning { retry_after: u64::try_from(seconds).unwrap_or(u64::MAX).max(1) })
        }
        Progress::Finished(registration) => Ok(Status::Finished(Arc::clone(registration))),
        Progress::Refused(cause) => Err(RegisterError::Refused((**cause).clone())),
        Progress::Failed => Err(RegisterError::Failed),
    }
}
