//! Linked hubs.

use std::sync::Weak;

use async_trait::async_trait;
use landfall_domain::hub::Hub;
use landfall_domain::names::{HubName, IdScope};

use crate::{DeleteOutcome, Precondition, PutOutcome, StoreError};

/// Linked hubs.
#[async_trait]
pub trait HubStore: Send + Sync + 'static {
    /// Links a hub or changes it; its count stays, also while it is unlinked.
    async fn put_hub(&self, scope: &IdScope, hub: Hub, when: Precondition) -> Result<PutOutcome, StoreError>;

    /// Unlinks a hub. Registrations that name it stay, and no new one can.
    async fn delete_hub(
        &self,
        scope: &IdScope,
        name: &HubName,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError>;

    /// Tells `follower` how many devices each hub has, linked or not: all of them before this returns, and from then on each
    /// whose number changes, for as long as somebody holds the follower. A hub of which nothing was told has none.
    ///
    /// A store of one process tells a number before whoever changed it is answered. One that several processes write to may be
    /// late; no promise rests on that, for a commit counts for itself.
    async fn follow_hub_loads(&self, follower: Weak<dyn HubLoadFollower>) -> Result<(), StoreError>;
}

/// Whoever wants to know how full the hubs are.
pub trait HubLoadFollower: Send + Sync {
    /// So many devices are assigned to this hub. Called where others wait: it must not take long.
    fn hub_load(&self, scope: &IdScope, hub: &HubName, assigned: u64);
}
