//! Published plugins, their components and signatures.

use async_trait::async_trait;
use landfall_domain::names::{Digest, IdScope, PluginName};
use landfall_domain::plugin::rules::PluginRules;
use landfall_domain::plugin::signature::Signature;
use landfall_domain::plugin::{KeptComponent, PublishBounds, PublishedPlugin};

use super::MemoryStore;
use crate::rules::contents::{self, Contents as _};
use crate::rules::publishing::Publication;
use crate::{DeleteOutcome, InUse, PluginStore, Precondition, PutOutcome, StoreError, plugin_tag};

#[async_trait]
impl PluginStore for MemoryStore {
    async fn publish_plugin(
        &self,
        scope: &IdScope,
        plugin: PublishedPlugin,
        bytes: Vec<u8>,
        signatures: Vec<Signature>,
        bounds: PublishBounds,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError> {
        let digest = Digest::of(&bytes);
        let publication = Publication { scope: scope.clone(), plugin, digest, bytes, signatures, bounds, when };
        self.write(|state| {
            let outcome = publication.publish(state)?;
            if matches!(outcome, PutOutcome::Created | PutOutcome::Replaced) {
                state.revise(scope);
            }
            Ok(outcome)
        })
    }

    async fn set_plugin_rules(
        &self,
        scope: &IdScope,
        name: &PluginName,
        rules: PluginRules,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError> {
        self.write(|state| {
            let Some(stands) = state.plugins.get_mut(&(scope.clone(), name.clone())) else {
                return Ok(PutOutcome::Missing);
            };
            if let Err(refused) = when.judge(Some(&plugin_tag(stands))) {
                return Ok(refused);
            }
            stands.rules = rules;
            state.revise(scope);
            Ok(PutOutcome::Replaced)
        })
    }

    async fn delete_plugin(
        &self,
        scope: &IdScope,
        name: &PluginName,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError> {
        self.write(|state| {
            let key = (scope.clone(), name.clone());
            if let Err(refused) = when.judge_removal(state.plugins.get(&key).map(plugin_tag).as_deref()) {
                return Ok(refused);
            }
            if let Some(user) = state.claims(scope).find(|claims| claims.plugins.contains(name)) {
                return Ok(DeleteOutcome::InUse(InUse::Uses(user.owner)));
            }
            let gone = state.plugins.remove(&key);
            let revisions = gone.iter().flat_map(PublishedPlugin::revisions);
            let revisions: Vec<_> = revisions.map(|(revision, publisher)| (revision, publisher.to_owned())).collect();
            contents::let_go(state, (scope, name), revisions.into_iter())?;
            state.revise(scope);
            Ok(DeleteOutcome::Deleted)
        })
    }

    async fn kept_components(&self, scope: &IdScope) -> Result<Vec<KeptComponent>, StoreError> {
        self.read(|state| state.kept_components.values().filter(|kept| kept.scope == *scope).cloned().collect())
    }

    async fn signatures(&self, component: Digest) -> Result<Vec<Signature>, StoreError> {
        self.read(|state| state.signatures_of(component))?
    }
}
