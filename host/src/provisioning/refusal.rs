//! How a refusal is told. The device is told none of its cause: the wire knows one refusal. The operator is told all of it,
//! under the tracking id that the device got.

use std::sync::Arc;
use std::time::Duration;

pub use super::cause::Cause;
use super::throttle::TooOften;
use super::{Request, under_way};
use crate::attestation::tpm::Blob;
use crate::attestation::x509::request::RequestFlaw;
use crate::ledger::{Entry, EntryKind};
use crate::names::{IdScope, NameError};
use crate::service::Service;
use crate::store::StoreError;

/// Tells the operator why a device was refused, in the log and in the ledger, when the device has its answer: neither a longer
/// text nor a write may make a longer wait, nor take the core on which the answer is written. A flood of refusals is logged
/// in full and kept as far as the store keeps up with it; what strangers can cause, only so much of.
pub(super) fn report(service: &Arc<Service>, request: &Request, cause: &Cause) {
    service.metrics.refused(cause.code());
    let (service, cause, entry) = (Arc::clone(service), cause.clone(), under_way::entry_of(request));
    tokio::spawn(async move {
        tokio::time::sleep(ANSWERED).await;
        tracing::warn!(
            tracking_id = %entry.tracking_id, scope = entry.scope.as_ref().map(IdScope::as_str),
            registration_id = entry.registration_id, source = entry.source, cause = cause.code(), "refused: {cause}"
        );
        if cause.is_a_strangers() && !service.throttle.keeps_a_strangers() {
            return;
        }
        let Ok(_permit) = Arc::clone(&service.refusals_being_kept).try_acquire_owned() else {
            return;
        };
        let kind = EntryKind::Refused { cause: cause.code().to_owned(), detail: cause.to_string() };
        if let Err(error) = service.store.record_entry(Entry { kind, ..entry }).await {
            tracing::warn!(%error, "a refusal could not be kept");
        }
    });
}

/// By then a device has its answer.
const ANSWERED: Duration = Duration::from_millis(20);

/// Why a request got no result.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The device is turned away.
    #[error(transparent)]
    Refused(#[from] Cause),
    /// The device is told to come back: somebody whose word counts cannot be asked.
    #[error("not now: {0}")]
    NotNow(Cause),
    /// There is no such operation or registration.
    #[error("no such operation")]
    NotFound,
    /// The device's TPM has to prove itself first: it gets this.
    #[error("the TPM is challenged")]
    Challenged(Box<Blob>),
    /// It wants a certificate, and its enrollment gives none.
    #[error("certificates are not issued for this enrollment")]
    NoIssuer,
    /// Its request for a certificate is wrong.
    #[error("the csr: {0}")]
    CertificateRequest(#[from] RequestFlaw),
    /// It asks too often.
    #[error(transparent)]
    TooOften(#[from] TooOften),
    /// Too many registrations are under way.
    #[error("too many registrations are under way")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The work on the registration failed; the log says why.
    #[error("the registration could not be carried out")]
    Failed,
    /// The registration id is no device id.
    #[error(transparent)]
    Name(NameError),
}
