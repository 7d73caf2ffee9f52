//! A certificate, whose key was proven in the handshake, before the enrollment that counts for it.

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

/// Finds the enrollment that counts, and has the certificate satisfy it.
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
                    // What is looked for when there is no enrollment of the id.
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

/// The first group to whose authorities the chain verifies counts, a disabled one too.
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
    // The groups were found by names, which anybody can write into a certificate.
    let signed = groups.iter().any(|bound| x509::descends_from(chain, &bound.anchors));
    Err(if signed { cause } else { cause.before_proof() }.into())
}

/// Whether the device's own certificate may have expired: its enrollment says so, and the device registered before with
/// this very key.
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
    // Found by the certificate and not by the id: the operator must learn which enrollment stands there. It
    // keeps its certificate from coming in elsewhere, and admits nobody but the device that it names: a pin
    // needs no further binding, so it would hand over another device's id with whatever key was pinned.
    let own = individual.registration_id == request.registration_id;
    match (own, individual.terms.enabled) {
        (true, true) => {}
        (true, false) => {
            // The id is all that it was found by.
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
    // An operator has named this very certificate, and what was said of it and of its issuers since counts all the same.
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

/// The certificates that an enrollment names.
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
    // Of a path on which something was taken back, another may be free.
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

/// Only what is proven is written out: a refusal must not take longer for an id that is enrolled.
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

/// The certificate's CN is the registration id, and there is no second place to take a name from.
fn named_so(request: &Request, chain: &PresentedChain) -> Result<RegistrationId, Cause> {
    match chain.leaf().registration_id() {
        Ok(id) if id == request.registration_id => Ok(id),
        Ok(id) => Err(Cause::OtherName { cn: id.to_string(), id: request.registration_id.clone() }),
        Err(reason) => Err(Cause::UnreadableCertificate(reason.to_string())),
    }
}
