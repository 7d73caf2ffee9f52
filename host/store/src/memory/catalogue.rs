//! Id scopes and linked hubs.

use std::sync::Weak;

use async_trait::async_trait;
use landfall_domain::hub::Hub;
use landfall_domain::names::{HubName, IdScope};

use super::{MemoryStore, of_scope};
use crate::{
    CatalogueRecords, CatalogueStore, DeleteOutcome, HubLoadFollower, HubStore, Precondition, PutOutcome, ScopeRecords,
    StoreError, entity_tag,
};

#[async_trait]
impl CatalogueStore for MemoryStore {
    async fn load_catalogue(&self) -> Result<CatalogueRecords, StoreError> {
        self.read(|state| {
            let scopes = state.scopes.iter().map(|(scope, tenant)| ScopeRecords {
                scope: scope.clone(),
                revision: tenant.revision,
                admissions: tenant.admissions,
                hubs: of_scope(&state.hubs, scope).map(|(_, hub)| hub.clone()).collect(),
                groups: of_scope(&state.groups, scope).map(|(_, group)| group.clone()).collect(),
                authorities: of_scope(&state.authorities, scope).map(|(_, authority)| authority.clone()).collect(),
                revocations: tenant.revocations.clone(),
                plugins: of_scope(&state.plugins, scope).map(|(_, plugin)| plugin.clone()).collect(),
            });
            CatalogueRecords { scopes: scopes.collect() }
        })
    }

    async fn create_scope(&self, scope: IdScope) -> Result<bool, StoreError> {
        self.write(|state| {
            let new = !state.scopes.contains_key(&scope);
            if new {
                state.revise(&scope);
            }
            Ok(new)
        })
    }
}

#[async_trait]
impl HubStore for MemoryStore {
    async fn put_hub(&self, scope: &IdScope, hub: Hub, when: Precondition) -> Result<PutOutcome, StoreError> {
        self.write(|state| {
            let key = (scope.clone(), hub.name.clone());
            let outcome = match when.judge(state.hubs.get(&key).map(entity_tag).as_deref()) {
                Ok(outcome) => outcome,
                Err(refused) => return Ok(refused),
            };
            state.hubs.insert(key, hub);
            state.revise(scope);
            Ok(outcome)
        })
    }

    async fn delete_hub(
        &self,
        scope: &IdScope,
        name: &HubName,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError> {
        self.write(|state| {
            let key = (scope.clone(), name.clone());
            if let Err(refused) = when.judge_removal(state.hubs.get(&key).map(entity_tag).as_deref()) {
                return Ok(refused);
            }
            state.hubs.remove(&key);
            state.revise(scope);
            Ok(DeleteOutcome::Deleted)
        })
    }

    async fn follow_hub_loads(&self, follower: Weak<dyn HubLoadFollower>) -> Result<(), StoreError> {
        self.write(|state| {
            if let Some(follower) = follower.upgrade() {
                for ((scope, _), registration) in &state.registrations {
                    if let Some(hub) = registration.hub() {
                        follower.hub_load(scope, hub, state.hub_load(scope, hub));
                    }
                }
            }
            state.followers.push(follower);
            Ok(())
        })
    }
}
