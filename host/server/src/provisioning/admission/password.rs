//! Verifies a username and a password for the individual enrollment that has them.
//!
//! One hash is always computed: with the enrollment's password, or with a decoy if there is none. So the time tells
//! nobody whether an id is enrolled.

use landfall_attestation::password::{BasicCredential, is_hash_of};
use landfall_domain::decision::call::{Attestation, Label};
use landfall_domain::enrollment::{EnrollmentRef, Individual, IndividualAttestation, PasswordHash};
use landfall_domain::names::Digest;

use super::{Evidential, Grounds, Proven, Shown};
use crate::catalogue::ScopeCatalogue;
use crate::provisioning::Request;
use crate::provisioning::refusal::{Cause, RegisterError};

/// Finds the enrollment, and compares the password with its own.
pub(super) async fn prove(
    grounds: &Grounds<'_>,
    request: &Request,
    scope: &ScopeCatalogue,
    said: &BasicCredential,
) -> Result<Proven, RegisterError> {
    let id = &request.registration_id;
    if !grounds.config.passwords.enabled {
        return Err(Cause::PasswordsOff.into());
    }
    let individual = grounds.kept.individual(&request.scope, id).await?;
    let kept = match individual.as_ref().map(|individual| &individual.attestation) {
        Some(IndividualAttestation::Password { username, hash }) => Some((username.clone(), hash.clone())),
        _ => None,
    };
    let known = kept.as_ref().map(|(_, hash)| hash);
    let same = is_of(grounds, request, known, said).await?;
    let Some(individual) = individual else {
        return Err(Cause::NotEnrolledByPassword(id.clone()).into());
    };
    let enrollment = EnrollmentRef::Individual(individual.registration_id.clone());
    let Some((username, _)) = kept else {
        let (enrollment, demands) = (enrollment.to_string(), individual.attestation.in_words());
        return Err(Cause::OtherMechanism { enrollment, demands, shown: "a password" }.into());
    };
    if !same || username != said.username {
        return Err(Cause::WrongPassword(enrollment.to_string()).into());
    }
    // This check comes after the proof: a stranger must not learn that there is an enrollment.
    if !individual.terms.enabled {
        return Err(Cause::EnrollmentDisabled(enrollment.to_string()).into());
    }
    Ok(proven(request, scope, individual, username))
}

/// Does the work of [`prove`] for an id scope that does not exist. Attempts are counted there too, with the same answer
/// when there are too many.
pub(super) async fn pretend(
    grounds: &Grounds<'_>,
    request: &Request,
    said: &BasicCredential,
) -> Result<(), RegisterError> {
    if grounds.config.passwords.enabled {
        grounds.kept.individual(&grounds.config.server.scope, &request.registration_id).await?;
        // The result of the comparison is ignored.
        is_of(grounds, request, None, said).await?;
    }
    Ok(())
}

/// Whether this is the right password. It computes one hash, or none if this device was admitted by the same password a
/// moment ago.
async fn is_of(
    grounds: &Grounds<'_>,
    request: &Request,
    known: Option<&PasswordHash>,
    said: &BasicCredential,
) -> Result<bool, RegisterError> {
    let (scope, id) = (&request.scope, &request.registration_id);
    let hash = known.unwrap_or(grounds.desk.decoy_password());
    if grounds.desk.remembers_password((scope, id), hash, said) {
        return Ok(true);
    }
    grounds.desk.admit_password(request.source, scope, id)?;
    // Each hash takes 19 MiB and a core for a while, so only a few run at once. The others wait, and addresses take
    // turns.
    let Some(one_of_few) = grounds.desk.turn_for_a_password(request.source).await else {
        return Err(RegisterError::Busy);
    };
    let (compared, password) = (hash.clone(), said.password.clone());
    let comparing = move || {
        // The hash goes on when the client has disconnected, and holds its place until it is done.
        let _one_of_few = one_of_few;
        is_hash_of(&compared, &password)
    };
    let same = tokio::task::spawn_blocking(comparing).await.unwrap_or(false);
    if same {
        grounds.desk.remember_password((scope, id), hash, said);
    }
    Ok(same)
}

fn proven(request: &Request, scope: &ScopeCatalogue, individual: Individual, username: String) -> Proven {
    let identity = format!("password\0{}\0{}", request.scope, request.registration_id.key());
    let shown = Shown {
        // The contract of policies has no word for a password; the claim tells it apart.
        mechanism: Attestation::SymmetricKey,
        of: Evidential::SharedKey,
        key_identity: Digest::of(identity.as_bytes()),
    };
    let claims = vec![Label { key: "password.username".to_owned(), value: username }];
    Proven::by_individual(individual, scope, "password of the individual enrollment".to_owned(), shown, claims)
}
