//! Verifies a token of an identity provider, for the groups that rely on its issuer.
//!
//! If the id has an individual enrollment, only that one counts. It demands another kind of credential, so the device
//! is refused. Otherwise the first of the groups that rely on the token's issuer and accept the token counts.

use std::sync::Arc;

use landfall_attestation::bearer::{BearerToken, SignedToken, TokenRules, Verified};
use landfall_domain::decision::call::{Attestation, Label};
use landfall_domain::enrollment::{EnrollmentRef, GroupAttestation};
use landfall_domain::names::Digest;

use super::{Evidential, Grounds, Proven, Shown};
use crate::catalogue::{BoundGroup, ScopeCatalogue};
use crate::identity_providers::FetchError;
use crate::provisioning::Request;
use crate::provisioning::refusal::{Cause, RegisterError};

/// Finds the group that accepts the token.
pub(super) async fn prove(
    grounds: &Grounds<'_>,
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
    let mut error = RegisterError::from(Cause::UnknownIssuer(token.issuer().to_owned()));
    // Groups that trust the issuer by the same authority share its keys, so the signature is verified once for all of
    // them.
    let mut verified: Vec<(Option<&str>, Signature<'_>)> = Vec::new();
    for (bound, rules) in relying {
        let ca = rules.ca_certificate.as_deref();
        let known = verified.iter().find(|(of, _)| *of == ca).map(|(_, signature)| signature.clone());
        let signature = match known {
            Some(signature) => signature,
            None => {
                let signature = signature(grounds, rules, token).await;
                verified.push((ca, signature.clone()));
                signature
            }
        };
        let accepted = match signature {
            Ok(signed) => accept(grounds, request, bound, rules, signed),
            Err(cause @ (Cause::IssuerAway { .. } | Cause::IssuerKeyNotYet { .. })) => {
                Err(RegisterError::NotNow(cause))
            }
            Err(cause) => Err(cause.into()),
        };
        match accepted {
            Ok(proven) => {
                let individual = grounds.kept.individual(&request.scope, &request.registration_id).await?;
                if let Some(individual) = individual {
                    let enrollment = EnrollmentRef::Individual(individual.registration_id.clone()).to_string();
                    let (demands, shown) = (individual.attestation.in_words(), "a token of an identity provider");
                    return Err(Cause::OtherMechanism { enrollment, demands, shown }.into());
                }
                return Ok(proven);
            }
            // This group would have accepted the token, so no other group may accept it instead.
            Err(disabled @ RegisterError::Refused(Cause::EnrollmentDisabled(_))) => return Err(disabled),
            // A group that may accept the token later keeps the device from being refused now.
            Err(_) if matches!(error, RegisterError::NotNow(_)) => {}
            Err(refused) => error = refused,
        }
    }
    Err(error)
}

/// A token whose signature was verified with its issuer's keys, or the reason why it was not.
type Signature<'a> = Result<SignedToken<'a>, Cause>;

async fn signature<'a>(grounds: &'a Grounds<'_>, rules: &'a TokenRules, token: &'a BearerToken) -> Signature<'a> {
    let issuer = rules.issuer.clone();
    match grounds.vouchers.signed(rules, token).await {
        Ok(Some(signed)) => Ok(signed),
        Ok(None) => Err(Cause::BearerSignature(issuer)),
        Err(FetchError::NotYet { seconds }) => Err(Cause::IssuerKeyNotYet { issuer, seconds }),
        Err(error) => Err(Cause::IssuerAway { issuer, reason: error.to_string() }),
    }
}

fn accept(
    grounds: &Grounds<'_>,
    request: &Request,
    bound: &BoundGroup,
    rules: &TokenRules,
    token: SignedToken<'_>,
) -> Result<Proven, RegisterError> {
    let enrollment = EnrollmentRef::Group(bound.group.id.clone());
    let skew = grounds.verify_policy(request.received_at).clock_skew.as_secs();
    let verified = token
        .verify(rules, request.received_at, skew)
        .map_err(|reason| Cause::Bearer { enrollment: enrollment.to_string(), reason })?;
    let Verified { subject, registration_id, claims } = verified;
    let name = registration_id.parse().ok().filter(|name| *name == request.registration_id);
    let Some(name) = name else {
        return Err(Cause::BearerOfAnother { said: registration_id, id: request.registration_id.clone() }.into());
    };
    if !bound.terms.enabled {
        return Err(Cause::EnrollmentDisabled(enrollment.to_string()).into());
    }
    let identity = format!("token\0{}\0{subject}", rules.issuer);
    let credential = format!("token of {} for the subject {subject}", rules.issuer);
    let shown = Shown {
        mechanism: Attestation::Token,
        of: Evidential::Token { issuer: rules.issuer.clone(), subject },
        key_identity: Digest::of(identity.as_bytes()),
    };
    let claims = claims.into_iter().map(|(key, value)| Label { key, value }).collect();
    Ok(Proven::by_group(bound, name, credential, shown, claims))
}
