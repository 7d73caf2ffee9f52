//! Linked hubs.

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
}
