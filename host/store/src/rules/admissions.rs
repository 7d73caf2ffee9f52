//! Compares what an admission rested on once more, in the transaction that writes the registration.
//!
//! A policy may run for seconds, and an operator who disables a group in that time expects it to be disabled. So a
//! commit compares the entity tag of the enrollment that admitted the device, be it individual or a group. The tag
//! does not show that another enrollment would now be found first, nor that a certificate was revoked. So each id
//! scope also counts, for each way in which groups are found ([`Way`]), the changes of the data by which they are
//! found. Changes that concern other ways, and changes of other devices' individual enrollments, do not disturb a
//! registration.

use landfall_domain::enrollment::{Group, GroupAttestation};
use landfall_domain::names::RegistrationId;

use super::Scoped;
use crate::{AdmissionBasis, Held, StoreError, Way};

/// The ways whose counters increase when a group changes. None if its own entity tag shows the whole change.
pub(crate) fn ways_of_change(before: Option<&Group>, after: Option<&Group>) -> impl Iterator<Item = Way> {
    let found =
        |group: Option<&Group>| group.map(|group| (group.attestation.clone(), group.terms.manufacturers.clone()));
    let changed = found(before) != found(after);
    let way = |group: Option<&Group>| group.filter(|_| changed).and_then(|group| way_to(&group.attestation));
    let (before, after) = (way(before), way(after));
    before.into_iter().chain(after.filter(move |_| before != after))
}

/// How devices find a group. With a symmetric key, only the key itself leads to the group.
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

/// Whether anything that the admission rested on has changed since.
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
