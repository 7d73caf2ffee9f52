//! Published plugins. They are few, and are read with the catalogue; their components are contents.

use async_trait::async_trait;
use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::names::{Digest, IdScope, PluginName};
use landfall_domain::plugin::rules::PluginRules;
use landfall_domain::plugin::signature::Signature;
use landfall_domain::plugin::{KeptComponent, PublishBounds, PublishedPlugin};

use super::catalogue::revised;
use super::codec::{key, pair};
use super::engine::Write;
use super::tables::Tables;
use super::{RedbStore, components, ledger};
use crate::rules::contents;
use crate::rules::publishing::Publication;
use crate::writer::Lane;
use crate::{DeleteOutcome, InUse, Precondition, PutOutcome, StoreError, plugin_tag};

#[async_trait]
impl crate::PluginStore for RedbStore {
    async fn publish_plugin(
        &self,
        scope: &IdScope,
        plugin: PublishedPlugin,
        bytes: Vec<u8>,
        signatures: Vec<Signature>,
        bounds: PublishBounds,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError> {
        // A component is large, so the publication stops at the same reserve as an import and leaves room for devices
        // and operators.
        self.space.check(Lane::Bulk)?;
        let (scope, digest) = (scope.clone(), Digest::of(&bytes));
        let publish = Publication { scope, plugin, digest, bytes, signatures, bounds, when };
        self.write(Lane::Operator, publish).await
    }

    async fn set_plugin_rules(
        &self,
        scope: &IdScope,
        name: &PluginName,
        rules: PluginRules,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError> {
        let set = SetRules { scope: scope.clone(), name: name.clone(), rules, when };
        self.write(Lane::Operator, set).await
    }

    async fn delete_plugin(
        &self,
        scope: &IdScope,
        name: &PluginName,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError> {
        let delete = DeletePlugin { scope: scope.clone(), name: name.clone(), when };
        self.write(Lane::Operator, delete).await
    }

    async fn kept_components(&self, scope: &IdScope) -> Result<Vec<KeptComponent>, StoreError> {
        let scope = scope.clone();
        self.look(move |view| components::of_scope(view, &scope)).await
    }

    async fn signatures(&self, component: Digest) -> Result<Vec<Signature>, StoreError> {
        ledger::signatures(&self.view()?, component)
    }
}

impl Write for Publication {
    type Answer = PutOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<PutOutcome, StoreError> {
        match self.publish(tables)? {
            done @ (PutOutcome::Created | PutOutcome::Replaced) => revised(tables, &self.scope, done),
            refused => Ok(refused),
        }
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// Changes the rules that the operator sets for a plugin.
struct SetRules {
    scope: IdScope,
    name: PluginName,
    rules: PluginRules,
    when: Precondition,
}

impl Write for SetRules {
    type Answer = PutOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<PutOutcome, StoreError> {
        let key = key(&self.scope, self.name.as_str());
        let Some(stands) = tables.plugins.get::<PublishedPlugin>(&key)? else {
            return Ok(PutOutcome::Missing);
        };
        if let Err(refused) = self.when.judge(Some(&plugin_tag(&stands))) {
            return Ok(refused);
        }
        tables.plugins.put(&key, &PublishedPlugin { rules: self.rules.clone(), ..stands })?;
        revised(tables, &self.scope, PutOutcome::Replaced)
    }
}

/// Removes a plugin that no enrollment uses.
struct DeletePlugin {
    scope: IdScope,
    name: PluginName,
    when: Precondition,
}

impl Write for DeletePlugin {
    type Answer = DeleteOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<DeleteOutcome, StoreError> {
        let key = key(&self.scope, self.name.as_str());
        let stands: Option<PublishedPlugin> = tables.plugins.get(&key)?;
        if let Err(refused) = self.when.judge_removal(stands.as_ref().map(plugin_tag).as_deref()) {
            return Ok(refused);
        }
        let first = pair(&self.scope, self.name.as_str(), "");
        if let Some(user) = tables.plugin_uses.first_of::<EnrollmentRef>(&first)? {
            return Ok(DeleteOutcome::InUse(InUse::Uses(user)));
        }
        tables.plugins.remove(&key)?;
        let revisions = stands.iter().flat_map(PublishedPlugin::revisions);
        let revisions: Vec<_> = revisions.map(|(revision, publisher)| (revision, publisher.to_owned())).collect();
        contents::let_go(tables, (&self.scope, &self.name), revisions.into_iter())?;
        revised(tables, &self.scope, DeleteOutcome::Deleted)
    }
}
