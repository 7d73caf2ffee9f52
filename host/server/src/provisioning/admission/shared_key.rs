//! Verifies a token (SAS) with the symmetric keys of the enrollments that may have signed it.
//!
//! A token names no enrollment. If the id has an individual enrollment, only that one counts; without one, the group
//! whose key signed the token counts. The same work is always done: every group's keys are tried, and two keys are
//! opened and tried for the individual enrollment, or decoys if there is none. So the time tells nobody whether an id
//! is enrolled. Anybody can ask for this work. So if there are many groups, only a few tokens are tried at once,
//! addresses take turns, and the work does not run on the threads that serve connections. The number of groups is
//! bounded (`limits.store.groups_per_scope`).

use std::sync::Arc;
use std::time::Duration;

use landfall_attestation::symmetric_key::{SasToken, SymmetricKey};
use landfall_domain::decision::call::Attestation;
use landfall_domain::enrollment::{EnrollmentRef, Individual, IndividualAttestation};
use landfall_domain::names::{Digest, RegistrationId};

use super::{Evidential, Grounds, Proven, Shown, tpm};
use crate::catalogue::{BoundGroup, ScopeCatalogue};
use crate::provisioning::Request;
use crate::provisioning::refusal::{Cause, RegisterError};

/// Finds the enrollment that counts, and checks that one of its keys signed the token.
pub(super) async fn prove(
    grounds: &Grounds<'_>,
    request: &Request,
    scope: &ScopeCatalogue,
    token: &SasToken,
) -> Result<Proven, RegisterError> {
    let id = &request.registration_id;
    if !token.is_for(&request.scope, id) {
        return Err(Cause::TokenForAnother(id.clone()).into());
    }
    if let Some(cause) = out_of_time(grounds, request, token) {
        return Err(cause.into());
    }
    let group = signer(grounds, scope, request, token).await?;
    let individual = grounds.kept.individual(&request.scope, id).await?;
    let own = own_key_has_signed(grounds, request, individual.as_ref(), token);
    let chip = grounds.desk.chip_that_answered((&request.scope, id), token);
    // The request is a poll, and carries the token with which the TPM answered its challenge.
    let individual = match (individual, chip) {
        (Some(individual), chip) if matches!(individual.attestation, IndividualAttestation::Tpm { .. }) => {
            let chip = chip.ok_or_else(|| Cause::NotSigned(format!("the individual enrollment {id}")))?;
            tpm::named_by(&individual, &chip)?;
            return Ok(tpm::of_individual(scope, individual, &chip.endorsement)?);
        }
        (None, Some(chip)) => return tpm::of_group(grounds, request, scope, &chip).await,
        (individual, _) => individual,
    };
    let proven = match (individual, group) {
        (Some(individual), _) => of_individual(request, scope, individual, own)?,
        (None, Some(group)) => of_group(request, &group)?,
        (None, None) => {
            return Err(Cause::NotEnrolledByKey(id.clone()).into());
        }
    };
    Ok(proven)
}

/// Does the work of [`prove`] for an id scope that does not exist, in one that does.
pub(super) async fn pretend(
    grounds: &Grounds<'_>,
    request: &Request,
    scope: &ScopeCatalogue,
    token: &SasToken,
) -> Result<(), RegisterError> {
    if !token.is_for(&request.scope, &request.registration_id) || out_of_time(grounds, request, token).is_some() {
        return Ok(());
    }
    signer(grounds, scope, request, token).await?;
    grounds.kept.individual(&scope.scope, &request.registration_id).await?;
    // The result is ignored.
    let _ = own_key_has_signed(grounds, request, None, token);
    Ok(())
}

/// Whether the token has expired, or expires too far in the future. A device's clock may be a little slow.
fn out_of_time(grounds: &Grounds<'_>, request: &Request, token: &SasToken) -> Option<Cause> {
    let end = token.expires_at();
    if end.plus(grounds.verify_policy(request.received_at).clock_skew) <= request.received_at {
        return Some(Cause::TokenExpired(end));
    }
    let days = grounds.config.limits.device.shared_key_token_days;
    let endless = end.since(request.received_at) > Duration::from_secs(days.saturating_mul(86_400));
    endless.then_some(Cause::TokenWithoutEnd { days })
}

/// The group with whose key the token was signed. All groups are tried, so that the time is the same for each.
async fn signer(
    grounds: &Grounds<'_>,
    scope: &ScopeCatalogue,
    request: &Request,
    token: &SasToken,
) -> Result<Option<Arc<BoundGroup>>, RegisterError> {
    let id = &request.registration_id;
    if scope.signers().len() <= TRIED_HERE {
        return Ok(signer_among(scope.signers(), id, token));
    }
    let Some(one_of_few) = grounds.desk.turn_for_a_token(request.source).await else {
        return Err(RegisterError::Busy);
    };
    let (signers, id, token) = (Arc::clone(scope.signers()), id.clone(), token.clone());
    let trying = move || {
        // The work goes on when the client has disconnected, and holds its place until it is done.
        let _one_of_few = one_of_few;
        signer_among(&signers, &id, &token)
    };
    tokio::task::spawn_blocking(trying).await.map_err(|_| RegisterError::Failed)
}

fn signer_among(groups: &[Arc<BoundGroup>], id: &RegistrationId, token: &SasToken) -> Option<Arc<BoundGroup>> {
    let mut found = None;
    for group in groups {
        for key in &group.keys {
            if key.has_let_sign(token, id) {
                found.get_or_insert_with(|| Arc::clone(group));
            }
        }
    }
    found
}

/// Whether a key of the individual enrollment signed the token. Two decoy keys are opened and tried if there is none.
fn own_key_has_signed(
    grounds: &Grounds<'_>,
    request: &Request,
    individual: Option<&Individual>,
    token: &SasToken,
) -> Result<bool, Cause> {
    let owner = EnrollmentRef::Individual(request.registration_id.clone());
    let sealed = match individual.map(|individual| &individual.attestation) {
        Some(IndividualAttestation::SymmetricKey(sealed)) => Some(sealed),
        Some(_) | None => None,
    };
    let opened = match sealed {
        Some(sealed) => sealed.open(&owner, &request.scope, grounds.sealing),
        None => grounds.desk.decoy_keys(),
    };
    let keys: [SymmetricKey; 2] =
        opened.map_err(|error| Cause::KeysNotOpened { enrollment: owner.to_string(), reason: error.to_string() })?;
    let signed = keys.each_ref().map(|key| token.is_signed_by(key));
    Ok(sealed.is_some() && signed.contains(&true))
}

fn of_individual(
    request: &Request,
    scope: &ScopeCatalogue,
    individual: Individual,
    signed: Result<bool, Cause>,
) -> Result<Proven, Cause> {
    let enrollment = EnrollmentRef::Individual(individual.registration_id.clone());
    if !matches!(individual.attestation, IndividualAttestation::SymmetricKey(_)) {
        let (enrollment, demands) = (enrollment.to_string(), individual.attestation.in_words());
        return Err(Cause::OtherMechanism { enrollment, demands, shown: "a token" });
    }
    if !signed? {
        return Err(Cause::NotSigned(enrollment.to_string()));
    }
    // This check comes after the signature: a stranger must not learn that there is an enrollment.
    if !individual.terms.enabled {
        return Err(Cause::EnrollmentDisabled(enrollment.to_string()));
    }
    let (credential, shown) = ("symmetric key of the individual enrollment".to_owned(), shown(request, &enrollment));
    Ok(Proven::by_individual(individual, scope, credential, shown, Vec::new()))
}

fn of_group(request: &Request, group: &BoundGroup) -> Result<Proven, Cause> {
    let enrollment = EnrollmentRef::Group(group.group.id.clone());
    if !group.terms.enabled {
        return Err(Cause::EnrollmentDisabled(enrollment.to_string()));
    }
    let credential = format!("symmetric key derived from a key of {enrollment}");
    let shown = shown(request, &enrollment);
    Ok(Proven::by_group(group, request.registration_id.clone(), credential, shown, Vec::new()))
}

/// The id is bound to the enrollment and not to one of its keys: an enrollment has two keys so that they can be
/// changed.
fn shown(request: &Request, enrollment: &EnrollmentRef) -> Shown {
    let identity = format!("symmetric key\0{}\0{enrollment}\0{}", request.scope, request.registration_id.key());
    Shown {
        mechanism: Attestation::SymmetricKey,
        of: Evidential::SharedKey,
        key_identity: Digest::of(identity.as_bytes()),
    }
}

/// Up to this number of groups is tried within the request: that is less work than verifying one certificate's
/// signature.
const TRIED_HERE: usize = 32;
