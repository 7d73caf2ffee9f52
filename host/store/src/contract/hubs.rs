//! Linked hubs and their loads.

use std::sync::Weak;

use async_trait::async_trait;
use landfall_domain::hub::Hub;
use landfall_domain::names::{HubName, IdScope};

use crate::{DeleteOutcome, Precondition, PutOutcome, StoreError};

/// Linked hubs and their loads.
#[async_trait]
pub trait HubStore: Send + Sync + 'static {
    /// Links a hub or changes it. Its count of devices stays, even while it is unlinked.
    async fn put_hub(&self, scope: &IdScope, hub: Hub, when: Precondition) -> Result<PutOutcome, StoreError>;

    /// Unlinks a hub. Registrations that name it stay, but no new registration can name it.
    async fn delete_hub(
        &self,
        scope: &IdScope,
        name: &HubName,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError>;

    /// Reports to `follower` how many devices each hub has, linked or not. All counts are reported before this
    /// returns, and after that each count that changes, until the follower is dropped. A hub that was never reported
    /// has no devices.
    ///
    /// A store of one process reports a count before it answers the caller that changed it. A store that several
    /// processes write to may report late; no promise depends on that, because a commit checks the count itself.
    async fn follow_hub_loads(&self, follower: Weak<dyn HubLoadFollower>) -> Result<(), StoreError>;
}

/// Receives the number of devices of each hub.
pub trait HubLoadFollower: Send + Sync {
    /// This hub now has `assigned` devices. It is called while other callers wait, so it must return quickly.
    fn hub_load(&self, scope: &IdScope, hub: &HubName, assigned: u64);
}
