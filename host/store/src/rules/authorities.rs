//! Certificate authorities: upload, proof and renewal, and their protection while a group depends on them.

use landfall_attestation::x509::revocation::{Issuer, issued};
use landfall_domain::enrollment::{CertificateAuthority, GroupAttestation};
use landfall_domain::names::Digest;

use super::Scoped;
use crate::{AuthorityUpload, Conflict, Held, Leaning, StoreError, authority_tag};

/// The entity tag of an authority together with the revocations of its certificates.
pub(crate) fn tag(scope: &impl Scoped, authority: &CertificateAuthority) -> Result<String, StoreError> {
    let said = match Issuer::of(&authority.der) {
        Some(issuer) => scope.said_of(&issuer)?,
        None => None,
    };
    Ok(authority_tag(authority, said.as_ref().filter(|record| !record.is_silent())))
}

/// The authority that an upload leads to, or the conflict that prevents it.
pub(crate) fn uploaded(
    scope: &impl Scoped,
    stands: Option<CertificateAuthority>,
    upload: &AuthorityUpload,
) -> Result<Result<CertificateAuthority, Conflict>, StoreError> {
    let next = match renewed(scope, stands, upload)? {
        Ok(next) => next,
        Err(conflict) => return Ok(Err(conflict)),
    };
    Ok(is_elsewhere(scope, &next)?.map_or(Ok(next), Err))
}

fn renewed(
    scope: &impl Scoped,
    stands: Option<CertificateAuthority>,
    AuthorityUpload { name, der, replace, now }: &AuthorityUpload,
) -> Result<Result<CertificateAuthority, Conflict>, StoreError> {
    let new = CertificateAuthority {
        name: name.clone(),
        der: der.clone(),
        verified: false,
        verification_code: None,
        created_at: *now,
        updated_at: *now,
    };
    let Some(stands) = stands else { return Ok(Ok(new)) };
    let leaning = who_leans_on(scope, &stands)?;
    let same = Issuer::of(&stands.der).zip(Issuer::of(der)).is_some_and(|(stands, new)| stands.is(&new));
    if same {
        // The name and the key are the proven ones.
        let renewed = CertificateAuthority { der: der.clone(), updated_at: *now, ..stands };
        return Ok(match leaning {
            _ if *replace => Ok(renewed),
            None if !renewed.verified => Ok(renewed),
            _ => Err(Conflict::Renewal(name.clone())),
        });
    }
    Ok(match leaning {
        Some(leaning) => Err(Conflict::LeanedOn { authority: name.clone(), leaning }),
        None if stands.verified && !replace => Err(Conflict::ProvenOtherwise(name.clone())),
        None => Ok(new),
    })
}

/// The certificate of a proven authority that is being replaced or removed. It is remembered, because revocations by
/// the authorities above it must still reach all certificates that it issued.
pub(crate) fn let_go<'a>(
    before: Option<&'a CertificateAuthority>,
    next: Option<&CertificateAuthority>,
) -> Option<&'a CertificateAuthority> {
    let before = before.filter(|before| before.verified)?;
    let issuer = |authority: &CertificateAuthority| Issuer::of(&authority.der);
    let is_it = |next: &CertificateAuthority| issuer(next).zip(issuer(before)).is_some_and(|(next, it)| next.is(&it));
    if next.filter(|next| next.verified).is_some_and(is_it) { None } else { Some(before) }
}

/// The group that would lose its authority without this one: it names the authority, or its own intermediate was
/// issued by no other proven authority.
pub(crate) fn who_leans_on(
    scope: &impl Scoped,
    authority: &CertificateAuthority,
) -> Result<Option<Leaning>, StoreError> {
    if let Some(user) = scope.holder(&Held::Authority(authority.name.clone()))? {
        return Ok(Some(Leaning::Names(user)));
    }
    if !authority.verified {
        return Ok(None);
    }
    let others = scope.authorities()?;
    let others: Vec<_> = others.iter().filter(|other| other.verified && other.name != authority.name).collect();
    for group in scope.groups()? {
        let GroupAttestation::X509Intermediates { primary, secondary } = &group.attestation else { continue };
        let pins = std::iter::once(primary).chain(secondary).filter_map(|pin| pin.der.as_deref());
        let mut own = pins.filter(|der| vouches(authority, der));
        if own.any(|der| !others.iter().any(|other| vouches(other, der))) {
            return Ok(Some(Leaning::HoldsIssued(group.id)));
        }
    }
    Ok(None)
}

/// Whether an authority is this intermediate itself, or has issued it.
pub(crate) fn vouches(authority: &CertificateAuthority, intermediate: &[u8]) -> bool {
    authority.der == intermediate || issued(&authority.der, intermediate)
}

/// Where else the certificate is held, so that it could lead to two groups.
pub(crate) fn is_elsewhere(
    scope: &impl Scoped,
    authority: &CertificateAuthority,
) -> Result<Option<Conflict>, StoreError> {
    // There are few authorities.
    let others = scope.authorities()?;
    let same = others.into_iter().find(|other| other.der == authority.der && other.name != authority.name);
    if let Some(other) = same {
        return Ok(Some(Conflict::UploadedAs(other.name)));
    }
    let pinned = scope.holder(&Held::Certificate(Digest::of(&authority.der)))?;
    let named = scope.holder(&Held::Authority(authority.name.clone()))?;
    Ok(match (pinned, named) {
        (Some(pinned), Some(named)) if pinned != named => {
            Some(Conflict::TwoEnrollments { pinned, named, authority: authority.name.clone() })
        }
        _ => None,
    })
}

/// Whether a change of an authority can change who is admitted. Requesting a verification code does not.
pub(crate) fn admits_otherwise(before: Option<&CertificateAuthority>, next: &CertificateAuthority) -> bool {
    before.is_none_or(|before| (before.verified, &before.der) != (next.verified, &next.der))
}
