//! A TPM, before the individual enrollment that names its endorsement key.

use std::sync::Arc;

use super::{Proven, Shown};
use crate::attestation::symmetric_key::SasToken;
use crate::attestation::tpm::challenge::Chip;
use crate::attestation::tpm::{self, PublicArea};
use crate::catalogue::ScopeCatalogue;
use crate::clock;
use crate::enrollment::{EnrollmentRef, Individual, IndividualAttestation};
use crate::names::Digest;
use crate::policy::call::{Attestation, Label};
use crate::provisioning::Request;
use crate::provisioning::refusal::{Cause, RegisterError};
use crate::service::Service;

/// Has the TPM answer a challenge; one that has none, or has not answered it, gets one.
pub(super) async fn prove(
    service: &Service,
    request: &Request,
    scope: &ScopeCatalogue,
    chip: &Arc<Chip>,
    token: Option<&SasToken>,
) -> Result<Proven, RegisterError> {
    let id = &request.registration_id;
    let individual = service.store.individual(&request.scope, id).await?;
    let individual = individual.ok_or_else(|| Cause::NotEnrolledByTpm(id.clone()))?;
    let enrolled = match &individual.attestation {
        IndividualAttestation::Tpm { endorsement_key } => endorsement_key,
        IndividualAttestation::X509 { .. } => return Err(other(&individual, "a certificate").into()),
        IndividualAttestation::SymmetricKey(_) => return Err(other(&individual, "a symmetric key").into()),
    };
    if enrolled.as_slice() != chip.endorsement.as_bytes() {
        let (enrolled, shown) = (Digest::of(enrolled), chip.endorsement.sha256());
        return Err(Cause::OtherEndorsementKey { id: id.clone(), enrolled, shown }.into());
    }
    let answered = token.filter(|token| token.is_for(&request.scope, id)).and_then(|token| {
        let expired = token.expires_at().plus(service.verify_policy().clock_skew) <= request.received_at;
        let answered = service.challenges.answered(&request.scope, id, token, clock::instant());
        answered.filter(|known| !expired && known == chip)
    });
    match answered {
        Some(chip) => proven(scope, individual, &chip.endorsement).map_err(RegisterError::from),
        None => Err(challenge(service, request, chip)),
    }
}

/// What a TPM has proven before, on a poll that carries the token alone.
pub(super) fn proven(
    scope: &ScopeCatalogue,
    individual: Individual,
    endorsement: &PublicArea,
) -> Result<Proven, Cause> {
    let enrollment = EnrollmentRef::Individual(individual.registration_id.clone());
    // After the proof: a stranger must not learn it.
    if !individual.terms.enabled {
        return Err(Cause::EnrollmentDisabled(enrollment.to_string()));
    }
    let key = endorsement.sha256();
    Ok(Proven {
        shown: Shown {
            mechanism: Attestation::Tpm,
            certificate: None,
            public_key: None,
            endorsement_key: Some(key),
            key_identity: key,
        },
        credential: format!("TPM with the endorsement key {}", key.short()),
        allocation: Arc::new(scope.bind(&individual.terms.allocation)),
        device_id: individual.device_id.clone(),
        terms: Arc::new(individual.terms),
        pinned: true,
        claims: vec![Label { key: "endorsement-key-sha256".to_owned(), value: key.to_string() }],
        enrollment,
    })
}

fn other(individual: &Individual, demands: &'static str) -> Cause {
    let enrollment = EnrollmentRef::Individual(individual.registration_id.clone()).to_string();
    Cause::OtherMechanism { enrollment, demands, shown: "the keys of a TPM" }
}

fn challenge(service: &Service, request: &Request, chip: &Arc<Chip>) -> RegisterError {
    let key = zeroize::Zeroizing::new(service.ambient.random::<32>());
    let blob = match tpm::hmac_key_blob(&chip.endorsement, &chip.storage_root, &key, &service.ambient) {
        Ok(blob) => blob,
        Err(error) => return Cause::UnusableTpm(error.to_string()).into(),
    };
    let (scope, id) = (&request.scope, &request.registration_id);
    if service.challenges.keep(scope, id, Arc::clone(chip), &key, clock::instant()) {
        RegisterError::Challenged(Box::new(blob))
    } else {
        RegisterError::Busy
    }
}
