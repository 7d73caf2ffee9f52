//! Linked hubs. They are few, and are read with the catalogue.

use std::sync::Weak;

use async_trait::async_trait;
use landfall_domain::hub::Hub;
use landfall_domain::names::{HubName, IdScope};

use super::RedbStore;
use super::catalogue::revised;
use super::codec::key;
use super::engine::Write;
use super::tables::Tables;
use crate::writer::Lane;
use crate::{DeleteOutcome, HubLoadFollower, Precondition, PutOutcome, StoreError, entity_tag};

#[async_trait]
impl crate::HubStore for RedbStore {
    async fn put_hub(&self, scope: &IdScope, hub: Hub, when: Precondition) -> Result<PutOutcome, StoreError> {
        let put = PutHub::new(scope, hub, when);
        self.write(Lane::Operator, put).await
    }

    async fn delete_hub(
        &self,
        scope: &IdScope,
        name: &HubName,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError> {
        let delete = DeleteHub::new(scope, name, when);
        self.write(Lane::Operator, delete).await
    }

    async fn follow_hub_loads(&self, follower: Weak<dyn HubLoadFollower>) -> Result<(), StoreError> {
        self.loads.follow(follower);
        Ok(())
    }
}

/// Links a hub or changes it. Its count is a row of its own, and stays even while the hub is unlinked.
pub(super) struct PutHub {
    scope: IdScope,
    hub: Hub,
    when: Precondition,
}

impl PutHub {
    pub(super) fn new(scope: &IdScope, hub: Hub, when: Precondition) -> Self {
        Self { scope: scope.clone(), hub, when }
    }
}

impl Write for PutHub {
    type Answer = PutOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<PutOutcome, StoreError> {
        let key = key(&self.scope, self.hub.name.as_str());
        let tag = tables.hubs.get::<Hub>(&key)?.map(|hub| entity_tag(&hub));
        let outcome = match self.when.judge(tag.as_deref()) {
            Ok(outcome) => outcome,
            Err(refused) => return Ok(refused),
        };
        tables.hubs.put(&key, &self.hub)?;
        revised(tables, &self.scope, outcome)
    }
}

/// Unlinks a hub. Its count stays.
pub(super) struct DeleteHub {
    scope: IdScope,
    name: HubName,
    when: Precondition,
}

impl DeleteHub {
    pub(super) fn new(scope: &IdScope, name: &HubName, when: Precondition) -> Self {
        Self { scope: scope.clone(), name: name.clone(), when }
    }
}

impl Write for DeleteHub {
    type Answer = DeleteOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<DeleteOutcome, StoreError> {
        let key = key(&self.scope, self.name.as_str());
        let tag = tables.hubs.get::<Hub>(&key)?.map(|hub| entity_tag(&hub));
        if let Err(refused) = self.when.judge_removal(tag.as_deref()) {
            return Ok(refused);
        }
        tables.hubs.remove(&key)?;
        revised(tables, &self.scope, DeleteOutcome::Deleted)
    }
}
