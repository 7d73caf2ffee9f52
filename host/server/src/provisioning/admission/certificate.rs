//! Verifies a certificate for the enrollment that counts. The handshake has proven the certificate's key already.

use std::sync::Arc;

use landfall_attestation::x509::{self, ChainError, Leaf, PresentedChain, VerifiedPath, VerifyPolicy};
use landfall_domain::decision::call::{Attestation, Label};
use landfall_domain::enrollment::{ExpiredCertificates, Individual, IndividualAttestation, Terms};
use landfall_domain::names::{Digest, RegistrationId};

use super::{Evidential, Grounds, Proven, Shown};
use crate::catalogue::{BoundGroup, ScopeCatalogue};
use crate::provisioning::Request;
use crate::provisioning::admission::selection::{self, Selected};
use crate::provisioning::refusal::{Cause, RegisterError};

/// Finds the enrollment that counts, and checks the certificate against it.
pub(super) async fn prove(
    grounds: &Grounds<'_>,
    request: &Request,
    scope: &ScopeCatalogue,
    chain: &PresentedChain,
) -> Result<Proven, RegisterError> {
    let mut proven = match selection::select(grounds.kept, scope, &request.registration_id, chain).await? {
        Selected::Individual(individual) => {
            let waived = expiry_is_waived(grounds, request, &individual.terms, chain).await?;
            match attest_pinned(grounds, request, scope, *individual, chain, waived) {
                Ok(proven) => proven,
                Err(cause) => {
                    // The same lookups as for an id without an enrollment, so that the refusal takes as long.
                    let leaf = chain.leaf().sha256();
                    drop(grounds.kept.enrollment_of_certificate(&scope.scope, leaf).await);
                    let _ = std::hint::black_box(scope.anchors().nearest(chain));
                    return Err(cause.into());
                }
            }
        }
        Selected::Groups(groups) => prove_in_one_of(grounds, request, scope, &groups, chain).await?,
    };
    proven.name = named_so(request, chain)?;
    Ok(proven)
}

/// The first group with an authority to which the chain verifies counts, even if the group is disabled.
async fn prove_in_one_of(
    grounds: &Grounds<'_>,
    request: &Request,
    scope: &ScopeCatalogue,
    groups: &[Arc<BoundGroup>],
    chain: &PresentedChain,
) -> Result<Proven, RegisterError> {
    let mut first = None;
    for bound in groups {
        let waived = expiry_is_waived(grounds, request, &bound.terms, chain).await?;
        match attest_in_group(grounds, request, scope, bound, chain, waived) {
            Err(cause @ Cause::Certificate { .. }) => drop(first.get_or_insert(cause)),
            decided => return Ok(decided?),
        }
    }
    let cause = first.unwrap_or_else(|| Cause::NotEnrolled(request.registration_id.clone()));
    // The groups were found by names, and anybody can write any name into a certificate. So the signatures decide.
    let signed = groups.iter().any(|bound| x509::descends_from(chain, &bound.anchors));
    Err(if signed { cause } else { cause.before_proof() }.into())
}

/// Whether the device's own certificate may have expired. Both must hold: its enrollment allows it, and the device
/// registered before with this very key.
async fn expiry_is_waived(
    grounds: &Grounds<'_>,
    request: &Request,
    terms: &Terms,
    chain: &PresentedChain,
) -> Result<bool, RegisterError> {
    if terms.expired_certificates == ExpiredCertificates::Refuse {
        return Ok(false);
    }
    let before = grounds.kept.registration(&request.scope, &request.registration_id).await?;
    let bound = before.and_then(|before| before.key_identity);
    Ok(bound == Some(chain.leaf().spki_sha256()))
}

fn attest_pinned(
    grounds: &Grounds<'_>,
    request: &Request,
    scope: &ScopeCatalogue,
    individual: Individual,
    chain: &PresentedChain,
    ignore_expiry: bool,
) -> Result<Proven, Cause> {
    let policy = VerifyPolicy { ignore_expiry, ..grounds.verify_policy(request.received_at) };
    let grace = grounds.stale_list_seconds();
    let leaf = chain.leaf();
    let name = format!("the individual enrollment {}", individual.registration_id);
    // The enrollment may have been found by the certificate and not by the id, so that the operator learns which
    // enrollment names it. Such an enrollment keeps its certificate from being used elsewhere, and admits only the device
    // that it names. A pin needs no further binding, so otherwise whatever key was pinned could take over another id.
    let own = individual.registration_id == request.registration_id;
    match (own, individual.terms.enabled) {
        (true, true) => {}
        (true, false) => {
            // The enrollment was found by the id alone, which proves nothing.
            let (disabled, pins) = (Cause::EnrollmentDisabled(name), pins(&individual.attestation));
            return Err(if pins.contains(&leaf.sha256()) { disabled } else { disabled.before_proof() });
        }
        (false, false) => return Err(Cause::CertificateBlocked(name)),
        (false, true) => return Err(Cause::CertificateOfAnother(name)),
    }
    let IndividualAttestation::X509 { .. } = &individual.attestation else {
        let demands = individual.attestation.in_words();
        return Err(Cause::OtherMechanism { enrollment: name, demands, shown: "a certificate" });
    };
    // An operator has named this very certificate. Later revocations of it and of its issuers count all the same.
    x509::verify_pinned(chain, &pins(&individual.attestation), &policy)
        .and_then(|path| scope.revocations().judge(chain, &path, &[], policy.now, grace))
        .map_err(|reason| {
            let anybodys = matches!(reason, ChainError::NotPinned { .. });
            let cause = Cause::Certificate { enrollment: name, reason };
            if anybodys { cause.before_proof() } else { cause }
        })?;
    let credential = format!("X.509, pinned certificate {}", leaf.sha256().short());
    Ok(Proven::by_individual(individual, scope, credential, shown(leaf), claims(leaf)))
}

/// The certificates that an enrollment pins.
fn pins(attestation: &IndividualAttestation) -> Vec<Digest> {
    match attestation {
        IndividualAttestation::X509 { primary, secondary } => {
            std::iter::once(primary).chain(secondary).map(|pin| pin.sha256).collect()
        }
        _ => Vec::new(),
    }
}

fn attest_in_group(
    grounds: &Grounds<'_>,
    request: &Request,
    scope: &ScopeCatalogue,
    bound: &BoundGroup,
    chain: &PresentedChain,
    ignore_expiry: bool,
) -> Result<Proven, Cause> {
    let policy = VerifyPolicy { ignore_expiry, ..grounds.verify_policy(request.received_at) };
    let (leaf, group) = (chain.leaf(), &bound.group);
    let name = format!("enrollment group {}", group.id);
    let grace = grounds.stale_list_seconds();
    // If one path has a revoked certificate, another path may have none.
    let not_taken_back =
        |path: &VerifiedPath| scope.revocations().judge(chain, path, &bound.anchors, policy.now, grace);
    x509::verify_group_if(chain, &bound.anchors, &policy, &not_taken_back)
        .map_err(|reason| Cause::Certificate { enrollment: name.clone(), reason })?;
    if !group.terms.enabled {
        return Err(Cause::EnrollmentDisabled(name));
    }
    let (id, credential) = (request.registration_id.clone(), format!("X.509, issued by {}", leaf.issuer()));
    Ok(Proven::by_group(bound, id, credential, shown(leaf), claims(leaf)))
}

/// The texts are made only for what is proven: a refusal must not take longer for an id that is enrolled.
fn shown(leaf: &Leaf) -> Shown {
    Shown {
        mechanism: Attestation::X509,
        of: Evidential::Certificate {
            sha256: leaf.sha256(),
            public_key: leaf.spki_sha256(),
            issuer: leaf.issuer().to_owned(),
            serial: leaf.serial(),
        },
        key_identity: leaf.spki_sha256(),
    }
}

fn claims(leaf: &Leaf) -> Vec<Label> {
    leaf.claims().into_iter().map(|(key, value)| Label { key, value }).collect()
}

/// Checks that the certificate's CN is the registration id. No other field of a certificate gives a name.
fn named_so(request: &Request, chain: &PresentedChain) -> Result<RegistrationId, Cause> {
    match chain.leaf().registration_id() {
        Ok(id) if id == request.registration_id => Ok(id),
        Ok(id) => Err(Cause::OtherName { cn: id.to_string(), id: request.registration_id.clone() }),
        Err(reason) => Err(Cause::UnreadableCertificate(reason.to_string())),
    }
}
