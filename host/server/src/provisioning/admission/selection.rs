//! Which enrollment counts for a device (DPS, "order of decisions").
//!
//! If the registration id has an individual enrollment, only that one counts, whatever it says. Without one, the
//! presented chain is walked from the leaf upwards, and the first certificate that a group names decides: a lower
//! intermediate comes before a higher one. A disabled enrollment counts like any other, and so hides the ones behind
//! it. The order in which the device sent its certificates has no influence.

use std::sync::Arc;

use landfall_attestation::x509::PresentedChain;
use landfall_domain::enrollment::{EnrollmentRef, Individual};
use landfall_domain::names::RegistrationId;
use landfall_store::StoreError;

use super::grounds::Kept;
use crate::catalogue::{BoundGroup, ScopeCatalogue};
use crate::provisioning::Cause;

/// The enrollment that counts.
pub(super) enum Selected {
    /// The individual enrollment of this device.
    Individual(Box<Individual>),
    /// The group whose authority is the lowest on the chain. There are several, in the order of their ids, if an
    /// authority is cross-signed or was renewed with the same key. Then the first of them with an authority to which
    /// the chain verifies counts.
    Groups(Vec<Arc<BoundGroup>>),
}

/// Why no enrollment counts.
#[derive(Debug, thiserror::Error)]
pub(super) enum SelectionError {
    /// The device is refused.
    #[error(transparent)]
    Refused(#[from] Cause),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Finds the enrollment that counts for a device that showed a certificate.
pub(super) async fn select(
    kept: &dyn Kept,
    scope: &ScopeCatalogue,
    id: &RegistrationId,
    chain: &PresentedChain,
) -> Result<Selected, SelectionError> {
    if let Some(individual) = kept.individual(&scope.scope, id).await? {
        return Ok(Selected::Individual(Box::new(individual)));
    }
    // An individual enrollment may pin this certificate for another id, and so block it. So the leaf is looked up
    // before any group.
    if let Some(EnrollmentRef::Individual(other)) =
        kept.enrollment_of_certificate(&scope.scope, chain.leaf().sha256()).await?
        && let Some(individual) = kept.individual(&scope.scope, &other).await?
    {
        return Ok(Selected::Individual(Box::new(individual)));
    }
    let mut owners = scope.anchors().nearest(chain);
    owners.sort_by(|a, b| a.group.cmp(&b.group));
    owners.dedup_by(|a, b| a.group == b.group && a.unproven.is_some() == b.unproven.is_some());
    let proven: Vec<_> = owners.iter().filter(|owner| owner.unproven.is_none()).collect();
    if let (true, Some(owner)) = (proven.is_empty(), owners.first())
        && let Some(authority) = &owner.unproven
    {
        return Err(Cause::AuthorityUnproven { group: owner.group.clone(), authority: authority.to_string() }.into());
    }
    let groups: Vec<_> = proven.iter().filter_map(|owner| scope.group(&owner.group)).map(Arc::clone).collect();
    if groups.is_empty() {
        return Err(Cause::NotEnrolled(id.clone()).into());
    }
    Ok(Selected::Groups(groups))
}
