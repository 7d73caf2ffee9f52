//! Which enrollment counts for a device (DPS, "order of decisions").
//!
//! An individual enrollment of the registration id counts alone, whatever it says. Without one, the walk goes up the
//! presented chain from the leaf, and the first certificate that a group names decides: a lower intermediate before
//! a higher one. A disabled entry counts like any other, and so hides what stands behind it.

use std::sync::Arc;

use super::{EnrollmentRef, Individual};
use crate::attestation::x509::PresentedChain;
use crate::catalogue::{BoundGroup, ScopeCatalogue};
use crate::names::RegistrationId;
use crate::provisioning::Cause;
use crate::store::{Store, StoreError};

/// The enrollment that counts.
pub enum Selected {
    /// The one of this device.
    Individual(Box<Individual>),
    /// A group.
    Group(Arc<BoundGroup>),
}

/// Why none does.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// The device is refused.
    #[error(transparent)]
    Refused(#[from] Cause),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Finds the enrollment that counts for a device that showed a certificate.
pub async fn select(
    store: &dyn Store,
    scope: &ScopeCatalogue,
    id: &RegistrationId,
    chain: &PresentedChain,
) -> Result<Selected, SelectionError> {
    if let Some(individual) = store.individual(&scope.scope, id).await? {
        return Ok(Selected::Individual(Box::new(individual)));
    }
    // An individual enrollment may block a certificate whose id it does not know: the leaf comes before any group.
    if let Some(EnrollmentRef::Individual(other)) =
        store.enrollment_of_certificate(&scope.scope, chain.leaf().sha256()).await?
        && let Some(individual) = store.individual(&scope.scope, &other).await?
    {
        return Ok(Selected::Individual(Box::new(individual)));
    }
    let Some(owner) = scope.anchors().nearest(chain) else {
        return Err(Cause::NotEnrolled(id.clone()).into());
    };
    if let Some(authority) = &owner.unproven {
        return Err(Cause::AuthorityUnproven { group: owner.group.clone(), authority: authority.to_string() }.into());
    }
    let group = scope.group(&owner.group).ok_or_else(|| Cause::NotEnrolled(id.clone()))?;
    Ok(Selected::Group(Arc::clone(group)))
}
