//! What an admission rests on, compared again in the transaction that writes its registration.
//!
//! A policy may take seconds, and an operator who disabled a group meanwhile was told that it is disabled. So a commit compares
//! the enrollment that admitted its device: by its entity tag, a group as well as an individual one. That does not tell of
//! another enrollment that would be found before it now, nor of what is revoked. So each id scope also counts, for each way
//! in which groups are found, the changes of what is looked at to find them ([`Way`]). Groups that are found in another way,
//! and what others say of their own devices, hold nobody up.

use landfall_domain::enrollment::{EnrollmentRef, Group, GroupAttestation};
use landfall_domain::names::{IdScope, RegistrationId};
use serde::Deserialize;

use super::codec::key;
use super::tables::Tables;
use crate::{AdmissionBasis, StoreError, Way};

/// Counts a change of what is looked at to find enrollments.
pub(super) fn bump(tables: &mut Tables<'_>, scope: &IdScope, way: Way) -> Result<(), StoreError> {
    let key = row(scope, way);
    let count = tables.admissions.count(&key)?;
    tables.admissions.set_count(&key, count.saturating_add(1))
}

/// The same for a change of a group, if it is one: not when only that changes which its own entity tag tells.
pub(super) fn bump_for(
    tables: &mut Tables<'_>,
    scope: &IdScope,
    before: Option<&Group>,
    after: Option<&Group>,
) -> Result<(), StoreError> {
    let found =
        |group: Option<&Group>| group.map(|group| (group.attestation.clone(), group.terms.manufacturers.clone()));
    if found(before) == found(after) {
        return Ok(());
    }
    let ways = [before, after].map(|group| group.and_then(|group| way_to(&group.attestation)));
    let [before, after] = ways;
    for way in before.into_iter().chain(after.filter(|_| before != after)) {
        bump(tables, scope, way)?;
    }
    Ok(())
}

/// The key of a counter.
pub(super) fn row(scope: &IdScope, way: Way) -> Vec<u8> {
    let name = match way {
        // As it was called when it was the only one.
        Way::Certificates => "",
        Way::Tokens => "tokens",
        Way::Directories => "directories",
    };
    key(scope, name)
}

/// How a group's devices find it. With a symmetric key, nothing but the key itself leads to a group.
fn way_to(attestation: &GroupAttestation) -> Option<Way> {
    match attestation {
        GroupAttestation::X509Authorities { .. }
        | GroupAttestation::X509Intermediates { .. }
        | GroupAttestation::TpmMakers { .. } => Some(Way::Certificates),
        GroupAttestation::Token(_) => Some(Way::Tokens),
        GroupAttestation::Directory(_) => Some(Way::Directories),
        GroupAttestation::SymmetricKey(_) => None,
    }
}

/// Whether something has changed since a device was admitted.
pub(super) fn have_changed(
    tables: &Tables<'_>,
    scope: &IdScope,
    id: &RegistrationId,
    basis: &AdmissionBasis,
) -> Result<bool, StoreError> {
    let individual: Option<Tagged> = tables.individuals.get(&key(scope, id.key()))?;
    let mut same = individual.map(|stands| stands.terms.etag) == basis.individual;
    if let Some((way, count)) = basis.found {
        same &= tables.admissions.count(&row(scope, way))? == count;
    }
    if let Some((group, etag)) = &basis.group {
        let stands: Option<Tagged> = tables.groups.get(&key(scope, group.as_str()))?;
        same &= stands.is_some_and(|stands| stands.terms.etag == *etag);
    }
    if let Some((certificate, owner)) = &basis.certificate {
        let stands: Option<EnrollmentRef> = tables.certificates.get(&key(scope, certificate.to_string()))?;
        same &= stands == *owner;
    }
    Ok(!same)
}

/// Of an enrollment, what says whether it is the same. The rest may be long, and is passed over.
#[derive(Deserialize)]
struct Tagged {
    terms: Tag,
}

#[derive(Deserialize)]
struct Tag {
    etag: String,
}

#[cfg(test)]
mod tests {
    use landfall_domain::enrollment::Individual;

    use super::super::codec;
    use super::*;
    use crate::suite::make;

    #[test]
    fn the_tag_of_an_enrollment_is_read_without_the_rest() {
        let tag = |bytes: &[u8]| codec::decode::<Tagged>("enrollment", bytes).unwrap().terms.etag;
        let attestation = GroupAttestation::X509Intermediates { primary: make::pin("x"), secondary: None };
        assert_eq!(tag(&codec::encode(&make::group("pumps", attestation)).unwrap()), "g1");
        let individual: Individual = make::individual("a", "i7", "c1", None);
        assert_eq!(tag(&codec::encode(&individual).unwrap()), "i7");
    }
}
