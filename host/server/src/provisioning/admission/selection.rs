//! Which enrollment counts for a device (DPS, "order of decisions").
//!
//! An individual enrollment of the registration id counts alone, whatever it says. Without one, the walk goes up the
//! presented chain from the leaf, and the first certificate that a group names decides: a lower intermediate before
//! a higher one. A disabled entry counts like any other, and so hides what stands behind it. In what order the device
//! sent its certificates decides nothing.

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
    /// The one of this device.
    Individual(Box<Individual>),
    /// The group whose authority stands lowest on the chain. Several, in the order of their ids, where an authority is
    /// cross-signed or was renewed with its key: then the first counts to whose authorities the chain verifies.
    Groups(Vec<Arc<BoundGroup>>),
}

/// Why none does.
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
    // An individual enrollment may block a certificate whose id it does not know: the leaf comes before any group.
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
