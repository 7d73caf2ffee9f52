//! What an admission rests on, compared again in the transaction that writes its registration.
//!
//! A policy may take seconds, and an operator who disabled a group meanwhile was told that it is disabled. So each id
//! scope counts the changes of what admits devices (groups, authorities, what is revoked), and a commit names the count
//! that its device was admitted under. Individual enrollments are many and each concerns one device, so they are compared
//! one by one: a long import of them must not hold up everybody else.

use landfall_domain::enrollment::{EnrollmentRef, Individual};
use landfall_domain::names::{IdScope, RegistrationId};

use super::codec::key;
use super::tables::Tables;
use crate::{AdmissionBasis, StoreError};

/// Counts a change of what admits an id scope's devices. Not for hubs and plugins: those are compared by themselves or
/// have been asked already.
pub(super) fn bump(tables: &mut Tables<'_>, scope: &IdScope) -> Result<(), StoreError> {
    let key = key(scope, "");
    let revision = tables.admissions.count(&key)?;
    tables.admissions.set_count(&key, revision.saturating_add(1))
}

/// What has changed since a device was admitted; none when all stands as it did.
pub(super) fn changed(
    tables: &Tables<'_>,
    scope: &IdScope,
    id: &RegistrationId,
    basis: &AdmissionBasis,
) -> Result<Option<u64>, StoreError> {
    let revision = tables.admissions.count(&key(scope, ""))?;
    let stands: Option<Individual> = tables.individuals.get(&key(scope, id.key()))?;
    let mut same = revision == basis.revision && stands.map(|stands| stands.terms.etag) == basis.individual;
    if let Some((certificate, owner)) = &basis.certificate {
        let stands: Option<EnrollmentRef> = tables.certificates.get(&key(scope, certificate.to_string()))?;
        same &= stands == *owner;
    }
    Ok((!same).then_some(revision))
}
