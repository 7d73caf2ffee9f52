//! What an admission rests on, compared again in the transaction that writes its registration.
//!
//! A policy may take seconds, and an operator who disabled a group meanwhile was told that it is disabled. So a commit compares
//! the enrollment that admitted its device: by its entity tag, a group as well as an individual one. That does not tell of
//! another enrollment that would be found before it now, nor of what is revoked. So each id scope also counts, for each way
//! in which groups are found, the changes of what is looked at to find them ([`Way`]). Groups that are found in another way,
//! and what others say of their own devices, hold nobody up.

use landfall_domain::enrollment::{Group, GroupAttestation};
use landfall_domain::names::RegistrationId;

use super::Scoped;
use crate::{AdmissionBasis, Held, StoreError, Way};

/// The ways whose counts go up when a group changes: none when only that changes which its own entity tag tells.
pub(crate) fn ways_of_change(before: Option<&Group>, after: Option<&Group>) -> impl Iterator<Item = Way> {
    let found =
        |group: Option<&Group>| group.map(|group| (group.attestation.clone(), group.terms.manufacturers.clone()));
    let changed = found(before) != found(after);
    let way = |group: Option<&Group>| group.filter(|_| changed).and_then(|group| way_to(&group.attestation));
    let (before, after) = (way(before), way(after));
    before.into_iter().chain(after.filter(move |_| before != after))
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
pub(crate) fn have_changed(
    scope: &impl Scoped,
    id: &RegistrationId,
    basis: &AdmissionBasis,
) -> Result<bool, StoreError> {
    let mut same = scope.individual_tag(id)? == basis.individual;
    if let Some((way, count)) = basis.found {
        same &= scope.admissions(way)? == count;
    }
    if let Some((group, etag)) = &basis.group {
        same &= scope.group_tag(group)?.as_ref() == Some(etag);
    }
    if let Some((certificate, owner)) = &basis.certificate {
        same &= scope.holder(&Held::Certificate(*certificate))? == *owner;
    }
    Ok(!same)
}
