//! A token of an identity provider, before the groups that rely on its issuer.
//!
//! An individual enrollment of the id counts alone, and demands another kind of credential: it refuses. Of the groups that
//! rely on the token's issuer, the first that accepts the token counts.

use std::sync::Arc;

use super::{Evidential, Proven, Shown};
use crate::attestation::bearer::{BearerToken, TokenRules, Verified};
use crate::catalogue::{BoundGroup, ScopeCatalogue};
use crate::enrollment::{EnrollmentRef, GroupAttestation};
use crate::names::Digest;
use crate::policy::call::{Attestation, Label};
use crate::provisioning::Request;
use crate::provisioning::refusal::{Cause, RegisterError};
use crate::service::Service;

/// Finds the group that accepts the token.
pub(super) async fn prove(
    service: &Service,
    request: &Request,
    scope: &ScopeCatalogue,
    token: &BearerToken,
) -> Result<Proven, RegisterError> {
    let relying: Vec<(&Arc<BoundGroup>, &TokenRules)> = scope
        .groups()
        .filter_map(|bound| match &bound.group.attestation {
            GroupAttestation::Token(rules) if rules.issuer == token.issuer() => Some((bound, rules)),
            _ => None,
        })
        .collect();
    let mut cause = Cause::UnknownIssuer(token.issuer().to_owned());
    for (bound, rules) in relying {
        match accept(service, request, bound, rules, token).await {
            Ok(proven) => {
                let individual = service.store.individual(&request.scope, &request.registration_id).await?;
                if individual.is_some() {
                    let enrollment = EnrollmentRef::Individual(request.registration_id.clone()).to_string();
                    let (demands, shown) = ("another credential", "a token of an identity provider");
                    return Err(Cause::OtherMechanism { enrollment, demands, shown }.into());
                }
                return Ok(proven);
            }
            Err(refused) => cause = refused,
        }
    }
    Err(cause.into())
}

async fn accept(
    service: &Service,
    request: &Request,
    bound: &BoundGroup,
    rules: &TokenRules,
    token: &BearerToken,
) -> Result<Proven, Cause> {
    let enrollment = EnrollmentRef::Group(bound.group.id.clone());
    let keys = service.issuers.keys(rules, token).await;
    let keys = keys.map_err(|error| Cause::IssuerAway { issuer: rules.issuer.clone(), reason: error.to_string() })?;
    let skew = service.verify_policy().clock_skew.as_secs();
    let verified = token
        .verify(&keys, rules, request.received_at, skew)
        .map_err(|reason| Cause::Bearer { enrollment: enrollment.to_string(), reason })?;
    let Verified { subject, registration_id, claims } = verified;
    if registration_id.parse().ok().as_ref() != Some(&request.registration_id) {
        return Err(Cause::BearerOfAnother { said: registration_id, id: request.registration_id.clone() });
    }
    if !bound.terms.enabled {
        return Err(Cause::EnrollmentDisabled(enrollment.to_string()));
    }
    let identity = format!("token\0{}\0{subject}", rules.issuer);
    let mut claims: Vec<Label> = claims.into_iter().map(|(key, value)| Label { key, value }).collect();
    claims.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(Proven {
        credential: format!("token of {} for the subject {subject}", rules.issuer),
        allocation: Arc::clone(&bound.allocation),
        device_id: None,
        terms: Arc::clone(&bound.terms),
        pinned: false,
        shown: Shown {
            mechanism: Attestation::Token,
            of: Evidential::Token { issuer: rules.issuer.clone(), subject },
            key_identity: Digest::of(identity.as_bytes()),
        },
        claims,
        enrollment,
    })
}
