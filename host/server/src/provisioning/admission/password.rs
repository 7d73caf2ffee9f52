//! A username and a password, before the individual enrollment that has them.
//!
//! Whatever stands there, one hash is computed: of the enrollment, or of nobody. So the time tells nobody whether an id is
//! known.

use std::sync::Arc;

use landfall_attestation::password::{BasicCredential, is_hash_of};
use landfall_domain::decision::call::{Attestation, Label};
use landfall_domain::enrollment::{EnrollmentRef, Individual, IndividualAttestation, PasswordHash};
use landfall_domain::names::Digest;

use super::{Evidential, Proven, Shown};
use crate::catalogue::ScopeCatalogue;
use crate::provisioning::refusal::{Cause, RegisterError};
use crate::provisioning::{Request, throttle};
use crate::service::Service;

/// Finds the enrollment, and compares.
pub(super) async fn prove(
    service: &Service,
    request: &Request,
    scope: &ScopeCatalogue,
    said: &BasicCredential,
) -> Result<Proven, RegisterError> {
    let id = &request.registration_id;
    if !service.config.passwords.enabled {
        return Err(Cause::PasswordsOff.into());
    }
    let individual = service.store.individual(&request.scope, id).await?;
    let kept = match individual.as_ref().map(|individual| &individual.attestation) {
        Some(IndividualAttestation::Password { username, hash }) => Some((username.clone(), hash.clone())),
        _ => None,
    };
    let known = kept.as_ref().map(|(_, hash)| hash);
    let same = is_of(service, request, known, said).await?;
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
    // After the proof: a stranger must not learn that there is an enrollment.
    if !individual.terms.enabled {
        return Err(Cause::EnrollmentDisabled(enrollment.to_string()).into());
    }
    Ok(proven(request, scope, individual, enrollment, username))
}

/// The work of [`prove`] for an id scope that is not there; also the same answer when it is tried too often.
pub(super) async fn pretend(service: &Service, request: &Request, said: &BasicCredential) -> Result<(), RegisterError> {
    if service.config.passwords.enabled {
        service.store.individual(&service.config.server.scope, &request.registration_id).await?;
        // Nobody looks at what comes of the comparison.
        is_of(service, request, None, said).await?;
    }
    Ok(())
}

/// Whether it is the password, by one hash; or by none, for who was let in a moment ago.
async fn is_of(
    service: &Service,
    request: &Request,
    known: Option<&PasswordHash>,
    said: &BasicCredential,
) -> Result<bool, RegisterError> {
    let (scope, id) = (&request.scope, &request.registration_id);
    let hash = known.unwrap_or(&service.password_of_nobody);
    if service.remembered.knows(scope, id, hash, said, service.ambient.instant()) {
        return Ok(true);
    }
    let tried = service.throttle.try_password(request.source, scope, id);
    tried.inspect_err(|full| service.metrics.throttled(full.measure))?;
    // Each takes 19 MiB and a core for a while, so few at once. The others wait, each address in its turn.
    let Some(one_of_few) = service.password_checks.begin(throttle::line(request.source)).await else {
        service.metrics.throttled("passwords-waiting");
        return Err(RegisterError::Busy);
    };
    let (compared, password) = (hash.clone(), said.password.clone());
    let comparing = move || {
        // It goes on when the client has hung up, and counts until it is done.
        let _one_of_few = one_of_few;
        is_hash_of(&compared, &password)
    };
    let same = tokio::task::spawn_blocking(comparing).await.unwrap_or(false);
    if same {
        service.remembered.remember(scope, id, hash, said, service.ambient.instant());
    }
    Ok(same)
}

fn proven(
    request: &Request,
    scope: &ScopeCatalogue,
    individual: Individual,
    enrollment: EnrollmentRef,
    username: String,
) -> Proven {
    let identity = format!("password\0{}\0{}", request.scope, request.registration_id.key());
    Proven {
        name: individual.registration_id.clone(),
        shown: Shown {
            // The contract of policies has no word of its own for it; the claim tells it apart.
            mechanism: Attestation::SymmetricKey,
            of: Evidential::SharedKey,
            key_identity: Digest::of(identity.as_bytes()),
        },
        credential: "password of the individual enrollment".to_owned(),
        allocation: Arc::new(scope.bind(&individual.terms.allocation)),
        device_id: individual.device_id.clone(),
        terms: Arc::new(individual.terms),
        pinned: true,
        claims: vec![Label { key: "password.username".to_owned(), value: username }],
        enrollment,
    }
}
