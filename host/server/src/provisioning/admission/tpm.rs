//! Verifies a TPM, for the individual enrollment that names its endorsement key, or for the group that takes its
//! maker's chips.

use std::sync::Arc;

use landfall_attestation::symmetric_key::SasToken;
use landfall_attestation::tpm::challenge::{Chip, KeptChallenge};
use landfall_attestation::tpm::{self, PublicArea};
use landfall_attestation::x509::endorsement::EndorsementCertificate;
use landfall_domain::decision::call::{Attestation, Label};
use landfall_domain::enrollment::{EnrollmentRef, Individual, IndividualAttestation};
use landfall_domain::names::{Digest, ManufacturerId};
use landfall_domain::registry::Part;

use super::{Evidential, Grounds, Proven, Shown};
use crate::catalogue::{BoundGroup, ScopeCatalogue};
use crate::provisioning::Request;
use crate::provisioning::refusal::{Cause, RegisterError};

/// Checks the TPM's answer to its challenge. A TPM that has no challenge, or has not answered it, gets one.
pub(super) async fn prove(
    grounds: &Grounds<'_>,
    request: &Request,
    scope: &ScopeCatalogue,
    chip: &Arc<Chip>,
    token: Option<&SasToken>,
) -> Result<Proven, RegisterError> {
    let id = &request.registration_id;
    let proven = match grounds.kept.individual(&request.scope, id).await? {
        Some(individual) => {
            named_by(&individual, chip)?;
            // A disabled enrollment refuses only after the proof: a stranger must not learn that it is disabled.
            of_individual(scope, individual, &chip.endorsement)
        }
        None => match of_group(grounds, request, scope, chip).await {
            Ok(proven) => Ok(proven),
            Err(RegisterError::Refused(cause @ Cause::EnrollmentDisabled(_))) => Err(cause),
            Err(error) => return Err(error),
        },
    };
    let answered = token.filter(|token| token.is_for(&request.scope, id)).is_some_and(|token| {
        let expired =
            token.expires_at().plus(grounds.verify_policy(request.received_at).clock_skew) <= request.received_at;
        let answered = grounds.desk.chip_that_answered((&request.scope, id), token);
        answered.is_some_and(|known| !expired && known == *chip)
    });
    if answered { Ok(proven?) } else { Err(challenge(grounds, request, chip).await) }
}

/// Does the work of [`prove`] for an id scope that does not exist: reads what would be read for an id that is not
/// enrolled, in the server's own scope.
pub(super) async fn pretend(
    grounds: &Grounds<'_>,
    request: &Request,
    scope: &ScopeCatalogue,
) -> Result<(), RegisterError> {
    let individual = grounds.kept.individual(&scope.scope, &request.registration_id).await?;
    if individual.is_none() && scope.groups().any(|bound| bound.makers.is_some()) {
        grounds.kept.record(&scope.scope, &request.registration_id).await?;
    }
    Ok(())
}

/// Whether the enrollment names this TPM.
pub(super) fn named_by(individual: &Individual, chip: &Chip) -> Result<(), Cause> {
    let enrolled = match &individual.attestation {
        IndividualAttestation::Tpm { endorsement_key } => endorsement_key,
        other => {
            let enrollment = EnrollmentRef::Individual(individual.registration_id.clone()).to_string();
            return Err(Cause::OtherMechanism { enrollment, demands: other.in_words(), shown: "the keys of a TPM" });
        }
    };
    if enrolled.as_slice() == chip.endorsement.as_bytes() {
        return Ok(());
    }
    let id = individual.registration_id.clone();
    Err(Cause::OtherEndorsementKey { id, enrolled: Digest::of(enrolled), shown: chip.endorsement.sha256() })
}

/// What a TPM with this endorsement key proves, for the individual enrollment that names the key.
pub(super) fn of_individual(
    scope: &ScopeCatalogue,
    individual: Individual,
    endorsement: &PublicArea,
) -> Result<Proven, Cause> {
    let enrollment = EnrollmentRef::Individual(individual.registration_id.clone());
    if !individual.terms.enabled {
        return Err(Cause::EnrollmentDisabled(enrollment.to_string()));
    }
    let key = endorsement.sha256();
    let credential = format!("TPM with the endorsement key {}", key.short());
    Ok(Proven::by_individual(individual, scope, credential, shown(key), vec![claim(key)]))
}

/// What a TPM with this endorsement key proves, for the groups that take TPMs by their makers.
///
/// A maker certifies that the key is in one of its chips, and does not know in whose device. So the manufacturing
/// record must name the key. Groups that rely on the record's manufacturer by name come before groups that rely on any
/// manufacturer.
pub(super) async fn of_group(
    grounds: &Grounds<'_>,
    request: &Request,
    scope: &ScopeCatalogue,
    chip: &Chip,
) -> Result<Proven, RegisterError> {
    let id = &request.registration_id;
    if scope.groups().all(|bound| bound.makers.is_none()) {
        return Err(Cause::NotEnrolledByTpm(id.clone()).into());
    }
    let record = grounds.kept.record(&request.scope, id).await?;
    let unproven = |cause| Cause::BeforeProof(Box::new(cause));
    let record = record.ok_or_else(|| unproven(Cause::NoRecord(id.clone())))?;
    let (key, named) = (chip.endorsement.sha256(), record.evidence.endorsement_key_sha256);
    let named = named.ok_or_else(|| Cause::NoEndorsementKey(id.clone()))?;
    if named != key {
        let (expected, shown) = (named.to_string(), key.to_string());
        return Err(unproven(Cause::EvidenceMismatch { what: Part::EndorsementKey, expected, shown }).into());
    }
    let of_record = record.evidence.endorsement_certificate.as_deref();
    let of_record = of_record.and_then(|der| EndorsementCertificate::parse(der).ok());
    let certificate = of_record.or_else(|| chip.certificate.clone());
    let certificate = certificate.ok_or_else(|| Cause::NoEndorsementCertificate(id.clone()))?;
    if !chip.endorsement.is_certified_by(certificate.key_bits()) {
        let id = id.clone();
        return Err(Cause::OtherEndorsementCertificate { id, certificate: certificate.sha256(), key }.into());
    }
    let (bound, maker) = taking(grounds, request, scope, &record.manufacturer, &certificate)?;
    let enrollment = EnrollmentRef::Group(bound.group.id.clone());
    if !bound.terms.enabled {
        return Err(Cause::EnrollmentDisabled(enrollment.to_string()).into());
    }
    let told = certificate.claims().into_iter().map(|(key, value)| Label { key, value });
    let credential = format!("TPM with the endorsement key {}, certified by {maker}", key.short());
    let claims = std::iter::once(claim(key)).chain(told).collect();
    Ok(Proven::by_group(bound, record.registration_id.clone(), credential, shown(key), claims))
}

/// The group that takes the TPM, and its maker's name.
fn taking<'a>(
    grounds: &Grounds<'_>,
    request: &Request,
    scope: &'a ScopeCatalogue,
    manufacturer: &ManufacturerId,
    certificate: &EndorsementCertificate,
) -> Result<(&'a Arc<BoundGroup>, String), Cause> {
    let relies = |bound: &BoundGroup| bound.terms.manufacturers.as_ref().map(|named| named.contains(manufacturer));
    let by_name = scope.groups().filter(|bound| relies(bound) == Some(true));
    let any = scope.groups().filter(|bound| relies(bound).is_none());
    let policy = grounds.verify_policy(request.received_at);
    let grace = grounds.stale_list_seconds();
    let mut cause = None;
    for bound in by_name.chain(any) {
        let Some(makers) = &bound.makers else { continue };
        match makers.verify(certificate, &policy, (scope.revocations(), grace)) {
            Ok(()) => return Ok((bound, certificate.issuer().to_owned())),
            Err(reason) => {
                let enrollment = EnrollmentRef::Group(bound.group.id.clone()).to_string();
                cause.get_or_insert(Cause::EndorsementCertificate { enrollment, reason });
            }
        }
    }
    let (id, manufacturer) = (request.registration_id.clone(), manufacturer.clone());
    Err(cause.unwrap_or(Cause::NoMakerGroup { id, manufacturer }))
}

fn shown(key: Digest) -> Shown {
    Shown { mechanism: Attestation::Tpm, of: Evidential::EndorsementKey(key), key_identity: key }
}

fn claim(key: Digest) -> Label {
    Label { key: "endorsement-key-sha256".to_owned(), value: key.to_string() }
}

/// Wraps a secret for the TPM. The challenge is on disk before the device is told. While a challenge is open, whoever
/// asks for it is told it again: only the TPM can use it, and so a stranger's requests write nothing.
pub(super) async fn challenge(grounds: &Grounds<'_>, request: &Request, chip: &Arc<Chip>) -> RegisterError {
    let wrap = |key: &[u8]| {
        let key = key.first_chunk::<32>().ok_or_else(|| unusable("a challenge of another length"))?;
        tpm::hmac_key_blob(&chip.endorsement, &chip.storage_root, key, grounds.desk.ambient()).map_err(unusable)
    };
    let (name, device) = (request.tracking_id, (&request.scope, &request.registration_id));
    if let Some(open) = grounds.desk.open_challenge(device, chip) {
        return wrap(open.expose()).map_or_else(RegisterError::from, |blob| RegisterError::Challenged(Box::new(blob)));
    }
    // Challenges of strangers must not push out the challenge of a device that has proven itself before.
    let own = match grounds.kept.registration(&request.scope, &request.registration_id).await {
        Ok(before) => before.and_then(|before| before.chip) == Some(chip.digest()),
        Err(error) => return error.into(),
    };
    let key = zeroize::Zeroizing::new(grounds.desk.ambient().random::<32>());
    let blob = match wrap(key.as_slice()) {
        Ok(blob) => blob,
        Err(cause) => return cause.into(),
    };
    if !grounds.desk.hold_challenge((name, request.source), device, (Arc::clone(chip), own), &key) {
        return RegisterError::Busy;
    }
    let until = request.received_at.plus(grounds.desk.challenge_lasts());
    let sealing = (grounds.sealing, grounds.desk.ambient().random());
    let kept = KeptChallenge::seal(name, device, (chip, own), &key, until, sealing);
    match grounds.kept.keep_challenge(kept, request.received_at).await {
        Ok(()) => {
            grounds.desk.challenge_is_kept(name, device);
            RegisterError::Challenged(Box::new(blob))
        }
        Err(error) => error.into(),
    }
}

fn unusable(error: impl std::fmt::Display) -> Cause {
    Cause::UnusableTpm(error.to_string())
}
