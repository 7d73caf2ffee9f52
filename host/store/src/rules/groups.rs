//! Whether an enrollment group may be written.

use landfall_domain::enrollment::{CertificatePin, EnrollmentRef, Group, GroupAttestation};
use landfall_domain::names::{CaName, Digest, IdScope};

use super::Scoped;
use super::authorities::vouches;
use super::claims::Claims;
use crate::{Conflict, Held, StoreError};

/// Why a group may not be written over the stored one. `most` is the maximum number of groups.
pub(crate) fn refused(
    scope: &impl Scoped,
    id: &IdScope,
    (stands, next): (Option<&Group>, &Group),
    most: u64,
) -> Result<Option<Conflict>, StoreError> {
    if stands.is_none() && scope.count_groups()? >= most {
        return Ok(Some(Conflict::MostGroups { scope: id.clone(), most }));
    }
    if let Some(gone) = unfounded(scope, stands, next)? {
        return Ok(Some(gone));
    }
    if let Some(other) = held_otherwise(scope, next)? {
        return Ok(Some(other));
    }
    let before = stands.map(|group| Claims::of_group(id, group));
    Claims::of_group(id, next).refused(scope, before.as_ref())
}

/// What the group depends on that does not exist; it may have been removed since the caller looked. What the stored
/// group depends on already is protected, and is not checked again.
fn unfounded(scope: &impl Scoped, stands: Option<&Group>, next: &Group) -> Result<Option<Conflict>, StoreError> {
    let named = authorities_of(stands);
    for name in authorities_of(Some(next)).into_iter().filter(|name| !named.contains(name)) {
        match scope.authority(name)? {
            Some(authority) if authority.verified => {}
            Some(_) => return Ok(Some(Conflict::NotProven(name.clone()))),
            None => return Ok(Some(Conflict::NoAuthority(name.clone()))),
        }
    }
    let (held, wanted) = (pins_of(stands), pins_of(Some(next)));
    if wanted.iter().all(|pin| held.contains(pin)) {
        return Ok(None);
    }
    let all = scope.authorities()?;
    let vouched = |der: &[u8]| all.iter().any(|one| one.verified && vouches(one, der));
    let unfounded =
        wanted.iter().filter(|pin| !held.contains(pin)).find(|pin| !pin.der.as_deref().is_some_and(vouched));
    Ok(unfounded.map(|pin| Conflict::NotIssued(pin.sha256)))
}

/// The conflict if a certificate is named as an uploaded authority by one enrollment and pinned as an intermediate by
/// another.
fn held_otherwise(scope: &impl Scoped, group: &Group) -> Result<Option<Conflict>, StoreError> {
    let owner = EnrollmentRef::Group(group.id.clone());
    let held = |held: &Held| -> Result<Option<EnrollmentRef>, StoreError> {
        Ok(scope.holder(held)?.filter(|other| *other != owner))
    };
    for name in authorities_of(Some(group)) {
        let Some(authority) = scope.authority(name)? else { continue };
        if let Some(by) = held(&Held::Certificate(Digest::of(&authority.der)))? {
            return Ok(Some(Conflict::AuthorityIsPinned { authority: name.clone(), by }));
        }
    }
    let pins = pins_of(Some(group));
    if pins.is_empty() {
        return Ok(None);
    }
    for authority in scope.authorities()? {
        let certificate = Digest::of(&authority.der);
        if !pins.iter().any(|pin| pin.sha256 == certificate) {
            continue;
        }
        if let Some(by) = held(&Held::Authority(authority.name.clone()))? {
            return Ok(Some(Conflict::PinIsNamed { certificate, uploaded_as: authority.name, by }));
        }
    }
    Ok(None)
}

/// The intermediates that a group stops to hold. They are remembered, because revocations by the authorities above
/// them must still reach pinned certificates below them.
pub(crate) fn let_go<'a>(before: Option<&'a Group>, next: Option<&Group>) -> Vec<&'a [u8]> {
    let stay: Vec<&[u8]> = next.into_iter().flat_map(Group::intermediates).collect();
    before.into_iter().flat_map(Group::intermediates).filter(|der| !stay.contains(der)).collect()
}

fn authorities_of(group: Option<&Group>) -> Vec<&CaName> {
    match group.map(|group| &group.attestation) {
        Some(GroupAttestation::X509Authorities { primary, secondary }) => {
            std::iter::once(primary).chain(secondary).collect()
        }
        _ => Vec::new(),
    }
}

fn pins_of(group: Option<&Group>) -> Vec<&CertificatePin> {
    match group.map(|group| &group.attestation) {
        Some(GroupAttestation::X509Intermediates { primary, secondary }) => {
            std::iter::once(primary).chain(secondary).collect()
        }
        _ => Vec::new(),
    }
}
