//! How a refusal is reported. The device learns nothing of its cause: on the wire all refusals are alike. The operator
//! gets the whole cause, under the tracking id that the device got.

use std::sync::Arc;
use std::time::Duration;

use landfall_attestation::tpm::Blob;
use landfall_attestation::x509::request::RequestFlaw;
use landfall_domain::decision::call::Label;
use landfall_domain::decision::{Entry, EntryKind};
use landfall_domain::names::{IdScope, NameError};
use landfall_store::StoreError;

pub use self::cause::Cause;
use super::desk::throttle::TooOften;
use super::{Credential, Provisioning, Request, registration_job};

mod cause;

/// Tells the operator in the log and in the ledger why a device was refused. This happens after the device has its
/// answer: neither a longer text nor a write to disk may delay the answer, nor use the core on which it is written. Log
/// lines are limited for each address, and entries of strangers are limited in the ledger; all refusals are counted.
pub(super) fn report(provisioning: &Arc<Provisioning>, request: &Request, cause: &Cause) {
    provisioning.desk.counters().refused(cause.code());
    let source = request.source;
    let (provisioning, cause, entry) = (Arc::clone(provisioning), cause.clone(), registration_job::entry_of(request));
    let credential = request.credential.clone();
    tokio::spawn(async move {
        tokio::time::sleep(ANSWERED).await;
        let (stranger, desk) = (cause.is_a_strangers(), &provisioning.desk);
        if let Some(unsaid) = desk.may_log_refusal(source, stranger) {
            let unsaid = (unsaid > 0).then_some(unsaid);
            tracing::warn!(
                tracking_id = %entry.tracking_id, scope = entry.scope.as_ref().map(IdScope::as_str),
                registration_id = entry.registration_id, source = entry.source, cause = cause.code(), unsaid,
                "refused: {}", detail(&cause, &credential)
            );
        }
        let Some(_place) = desk.place_for_refusal(source, stranger) else { return };
        let enrollment = cause.enrollment();
        let (cause, detail) = (cause.code().to_owned(), detail(&cause, &credential));
        let kind = EntryKind::Refused { cause, detail, shown: shown(&credential), enrollment };
        if let Err(error) = provisioning.service.store().record_entry(Entry { kind, ..entry }, Vec::new()).await {
            tracing::warn!(%error, "a refusal could not be kept");
        }
    });
}

/// The cause, with a hint for the most common mistake: a device that does not send its intermediate certificate.
fn detail(cause: &Cause, credential: &Credential) -> String {
    match (cause, credential) {
        (Cause::NotEnrolled(_), Credential::X509(chain)) => match chain.missing_issuer() {
            Some(issuer) => {
                let issuer = cut(issuer);
                format!("{cause}; its topmost certificate was issued by {issuer}, which the device did not send")
            }
            None => cause.to_string(),
        },
        _ => cause.to_string(),
    }
}

/// What a device has shown, for people. It holds nothing that could be used in the device's place.
fn shown(credential: &Credential) -> Vec<Label> {
    let fact = |key: &str, value: String| Label { key: key.to_owned(), value: cut(&value) };
    match credential {
        Credential::X509(chain) => {
            let leaf = chain.leaf();
            vec![
                fact("subject", leaf.subject().to_owned()),
                fact("issuer", leaf.issuer().to_owned()),
                fact("SHA-256", leaf.sha256().to_string()),
                fact("certificates", (chain.intermediates() + 1).to_string()),
            ]
        }
        Credential::Tpm { chip, .. } => {
            vec![fact("TPM", format!("endorsement key SHA-256 {}", chip.endorsement.sha256()))]
        }
        Credential::Bearer(token) => vec![fact("token of", token.issuer().to_owned())],
        Credential::SharedKey(token) => {
            vec![fact("token", format!("signed with a symmetric key, until {}", token.expires_at()))]
        }
        Credential::Negotiate(_) => vec![fact("ticket", "of a directory".to_owned())],
        Credential::Basic(_) => vec![fact("password", "with a username".to_owned())],
        Credential::UnreadableBearer(_)
        | Credential::UnreadableBasic(_)
        | Credential::UnreadableToken(_)
        | Credential::Unreadable(_)
        | Credential::None => Vec::new(),
    }
}

/// Cuts a text that a device has sent: it may be long.
fn cut(text: &str) -> String {
    text.chars().take(MOST_SHOWN).collect()
}

/// The most characters that are kept of what a device has shown.
const MOST_SHOWN: usize = 300;

/// After this time a device has its answer.
const ANSWERED: Duration = Duration::from_millis(20);

/// Why a request got no result.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The device is refused.
    #[error(transparent)]
    Refused(#[from] Cause),
    /// The device is told to come back: an outside service on whose statement its admission depends cannot be asked
    /// now.
    #[error("not now: {0}")]
    NotNow(Cause),
    /// There is no such operation or registration.
    #[error("there is no such operation, or no registration")]
    NotFound,
    /// The device's TPM has to prove itself first, with this challenge.
    #[error("the TPM is challenged")]
    Challenged(Box<Blob>),
    /// The device wants a certificate, and its enrollment issues none.
    #[error("certificates are not issued for this enrollment")]
    NoIssuer,
    /// Its request for a certificate is malformed.
    #[error("the csr: {0}")]
    CertificateRequest(#[from] RequestFlaw),
    /// The device asks too often.
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
    /// The registration id cannot be a device id.
    #[error(transparent)]
    Name(NameError),
}
