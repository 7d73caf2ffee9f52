//! Steps 1 and 2: which device is this, and may it register?
//!
//! There are always two factors: the credential, which is proven now on this connection, and the manufacturing record,
//! which the manufacturer imported beforehand. The order is fixed: select the enrollment, verify the credential as the
//! enrollment demands, compare the names, read the record, compare the evidence, compare the key with the key to which
//! the id is bound. Nothing is decided by a claim that the device has not proven.

mod bearer;
mod certificate;
mod directory;
pub(super) mod grounds;
mod password;
mod proven;
mod selection;
mod shared_key;
mod tpm;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use landfall_domain::decision::Factors;
use landfall_domain::decision::call::{Attestation, Label};
use landfall_domain::enrollment::{EnrollmentRef, KeyChange, Manufacturing, Terms};
use landfall_domain::names::{DeviceId, ManufacturerId, RegistrationId};
use landfall_domain::registration::Registration;
use landfall_domain::registry::{ManufacturingRecord, RecordState};
use landfall_store::{AdmissionBasis, StoreError, Way};

use self::grounds::Grounds;
use self::proven::{Evidential, Proven, Shown};
use self::selection::SelectionError;
use super::refusal::{Cause, RegisterError};
use super::{Credential, Request};
use crate::catalogue::{BoundAllocation, ScopeCatalogue};

/// A device that both factors admit.
pub struct Admitted {
    /// Its id, spelled as its credential or the enrollment that names it spells it.
    pub name: RegistrationId,
    /// Its id scope, as it was when the request came.
    pub scope: Arc<ScopeCatalogue>,
    /// The terms of its enrollment: what becomes of the device.
    pub terms: Arc<Terms>,
    /// The policies that decide, each bound to a revision.
    pub allocation: Arc<BoundAllocation>,
    /// Its id in the hub, if its individual enrollment names one.
    pub device_id: Option<DeviceId>,
    /// What admitted it: the enrollment and the record, for the ledger.
    pub factors: Factors,
    /// The attestation mechanism that proved its credential.
    pub mechanism: Attestation,
    /// What its credential proved.
    pub claims: Vec<Label>,
    /// Its manufacturing record: the second factor.
    pub record: Option<ManufacturingRecord>,
    /// An operator has pinned this very certificate, so its key needs no further binding.
    pub pinned: bool,
    /// What the admission rests on, as it was read before anything was proven. The commit compares it again.
    pub basis: AdmissionBasis,
    /// Its registration as it was when it was admitted.
    pub before: Option<Registration>,
}

/// Admits the device, or says why it is refused.
pub(super) async fn admit(grounds: &Grounds<'_>, request: &Request) -> Result<Admitted, RegisterError> {
    let Some(scope) = grounds.scope(&request.scope).cloned() else {
        pretend(grounds, request).await?;
        return Err(Cause::UnknownScope(request.scope.clone()).into());
    };
    let mut basis = basis(grounds, request, &scope).await?;
    let proven = prove(grounds, request, &scope).await?;
    rests_on(&mut basis, request, &scope, &proven);
    let of_enrollment = |error| match error {
        RegisterError::Refused(cause) => RegisterError::Refused(cause.of(&proven.enrollment)),
        other => other,
    };
    let (record, evidence) = second_factor(grounds, request, &proven).await.map_err(of_enrollment)?;
    let before = grounds.kept.registration(&request.scope, &request.registration_id).await?;
    bound_key(&proven, before.as_ref(), request).map_err(|cause| cause.of(&proven.enrollment))?;
    let owner = grounds.kept.device_of_key(&request.scope, proven.shown.key_identity).await?;
    if let Some(owner) = owner.filter(|owner| *owner != request.registration_id) {
        let id = request.registration_id.clone();
        let cause = Cause::KeyOfAnother { id, shown: proven.shown.key_identity, owner };
        return Err(cause.of(&proven.enrollment).into());
    }
    Ok(Admitted {
        name: proven.name,
        terms: proven.terms,
        allocation: proven.allocation,
        device_id: proven.device_id,
        pinned: proven.pinned,
        factors: Factors {
            enrollment: proven.enrollment,
            credential: proven.credential,
            key_identity: proven.shown.key_identity,
            manufacturer: record.as_ref().map(|record| record.manufacturer.clone()),
            evidence,
        },
        mechanism: proven.shown.mechanism,
        claims: proven.claims,
        record,
        basis,
        before,
        scope,
    })
}

/// What the commit compares again. It is read first, so that the commit notices every later change of what admission
/// reads after it.
async fn basis(grounds: &Grounds<'_>, request: &Request, scope: &ScopeCatalogue) -> Result<AdmissionBasis, StoreError> {
    let individual = grounds.kept.individual(&scope.scope, &request.registration_id).await?;
    let certificate = match &request.credential {
        Credential::X509(chain) => {
            let leaf = chain.leaf().sha256();
            Some((leaf, grounds.kept.enrollment_of_certificate(&scope.scope, leaf).await?))
        }
        _ => None,
    };
    let individual = individual.map(|individual| individual.terms.etag);
    Ok(AdmissionBasis { individual, certificate, ..AdmissionBasis::default() })
}

/// Adds what else the commit compares: the group that admits the device, and what led to that group. Both are taken
/// from the catalogue with which the credential was verified.
fn rests_on(basis: &mut AdmissionBasis, request: &Request, scope: &ScopeCatalogue, proven: &Proven) {
    let way = match (proven.shown.mechanism, &proven.enrollment) {
        // Revocations count for pinned certificates too.
        (Attestation::X509, _) | (Attestation::Tpm, EnrollmentRef::Group(_)) => Some(Way::Certificates),
        (Attestation::Token, _) if matches!(request.credential, Credential::Negotiate(_)) => Some(Way::Directories),
        (Attestation::Token, _) => Some(Way::Tokens),
        (Attestation::Tpm, EnrollmentRef::Individual(_)) | (Attestation::SymmetricKey, _) => None,
    };
    basis.found = way.map(|way| (way, scope.admissions.of(way)));
    if let EnrollmentRef::Group(group) = &proven.enrollment {
        basis.group = Some((group.clone(), proven.terms.etag.clone()));
    }
}

/// Step 1: verifies the credential as the enrollment that counts for it demands.
async fn prove(grounds: &Grounds<'_>, request: &Request, scope: &ScopeCatalogue) -> Result<Proven, RegisterError> {
    match &request.credential {
        Credential::X509(chain) => certificate::prove(grounds, request, scope, chain).await,
        Credential::SharedKey(token) => shared_key::prove(grounds, request, scope, token).await,
        Credential::Tpm { chip, token } => tpm::prove(grounds, request, scope, chip, token.as_ref()).await,
        Credential::Bearer(token) => bearer::prove(grounds, request, scope, token).await,
        Credential::UnreadableBearer(flaw) => Err(Cause::UnreadableBearer(flaw.clone()).into()),
        Credential::Negotiate(token) => directory::prove(grounds, request, scope, token).await,
        Credential::Basic(said) => password::prove(grounds, request, scope, said).await,
        Credential::UnreadableBasic(flaw) => Err(Cause::UnreadableBasic(*flaw).into()),
        Credential::UnreadableToken(flaw) => Err(Cause::UnreadableToken(*flaw).into()),
        Credential::Unreadable(reason) => Err(Cause::UnreadableCertificate(reason.clone()).into()),
        Credential::None => Err(Cause::NoCredential.into()),
    }
}

/// Does the work of [`prove`] for an id scope that does not exist. It is done in the server's own scope, so that the
/// time does not tell which scopes exist. The result is ignored, except that a device that asks too often is throttled.
async fn pretend(grounds: &Grounds<'_>, request: &Request) -> Result<(), RegisterError> {
    let own = &grounds.config.server.scope;
    let Some(scope) = grounds.scope(own).cloned() else { return Ok(()) };
    basis(grounds, request, &scope).await?;
    match &request.credential {
        Credential::SharedKey(token) => shared_key::pretend(grounds, request, &scope, token).await,
        Credential::Basic(said) => password::pretend(grounds, request, said).await,
        // Only enrolled TPMs get a challenge.
        Credential::Tpm { .. } => tpm::pretend(grounds, request, &scope).await,
        _ => match prove(grounds, &Request { scope: own.clone(), ..request.clone() }, &scope).await {
            Err(error @ RegisterError::Store(_)) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        },
    }
}

/// Spends the answer of a TPM to its challenge: an answer begins one registration only. A device that sends the same
/// answer again gets another challenge.
pub(super) async fn spend_challenge(grounds: &Grounds<'_>, request: &Request) -> Result<(), RegisterError> {
    let (device, id) = ((&request.scope, &request.registration_id), &request.registration_id);
    let Some(token) = request.credential.token() else { return Ok(()) };
    match &request.credential {
        Credential::Tpm { .. } if grounds.desk.spend_answer(device, token) => Ok(()),
        Credential::Tpm { chip, .. } => Err(tpm::challenge(grounds, request, chip).await),
        // The device repeats the answer, without its TPM's keys beside it.
        _ if grounds.desk.challenge_of(device, token).is_none() => Ok(()),
        _ if grounds.desk.spend_answer(device, token) => Ok(()),
        _ => Err(Cause::AnsweredBefore(id.clone()).into()),
    }
}

async fn second_factor(
    grounds: &Grounds<'_>,
    request: &Request,
    proven: &Proven,
) -> Result<(Option<ManufacturingRecord>, Vec<String>), RegisterError> {
    let id = &request.registration_id;
    let Some(record) = grounds.kept.record(&request.scope, id).await? else {
        return match proven.terms.manufacturing {
            Manufacturing::Required => Err(Cause::NoRecord(id.clone()).into()),
            Manufacturing::Optional => Ok((None, Vec::new())),
        };
    };
    let relied_on = proven.terms.manufacturers.as_ref();
    if let Some(relied_on) = relied_on.filter(|relied_on| !relied_on.contains(&record.manufacturer)) {
        let names: Vec<&str> = relied_on.iter().map(ManufacturerId::as_str).collect();
        return Err(Cause::RecordOfAnother {
            id: id.clone(),
            manufacturer: record.manufacturer,
            enrollment: proven.enrollment.to_string(),
            relied_on: names.join(", "),
        }
        .into());
    }
    match record.state {
        RecordState::Active => {}
        RecordState::Quarantined => return Err(Cause::Quarantined(id.clone()).into()),
        RecordState::Retired => return Err(Cause::Retired(id.clone()).into()),
    }
    let mut matched = Vec::new();
    for (what, expected) in record.evidence.demands() {
        match proven.shown.part(what) {
            Some(shown) if shown == expected => matched.push(what.to_string()),
            shown => {
                let shown = shown.unwrap_or_else(|| "none".to_owned());
                return Err(Cause::EvidenceMismatch { what, expected, shown }.into());
            }
        }
    }
    Ok((Some(record), matched))
}

/// Checks the binding: a registration id belongs to the key that registered it first.
fn bound_key(proven: &Proven, before: Option<&Registration>, request: &Request) -> Result<(), Cause> {
    let shown = proven.shown.key_identity;
    let Some(bound) = before.and_then(|registration| registration.key_identity) else {
        return Ok(());
    };
    if bound == shown || proven.pinned || proven.terms.key_change == KeyChange::Allow {
        return Ok(());
    }
    Err(Cause::KeyChanged { id: request.registration_id.clone(), bound, shown })
}

impl From<SelectionError> for RegisterError {
    fn from(error: SelectionError) -> Self {
        match error {
            SelectionError::Refused(cause) => Self::Refused(cause),
            SelectionError::Store(error) => Self::Store(error),
        }
    }
}
