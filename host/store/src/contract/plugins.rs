//! Published plugins, their components and signatures.

use async_trait::async_trait;
use landfall_domain::names::{Digest, IdScope, PluginName};
use landfall_domain::plugin::rules::PluginRules;
use landfall_domain::plugin::signature::Signature;
use landfall_domain::plugin::{KeptComponent, PublishBounds, PublishedPlugin};

use crate::{DeleteOutcome, Precondition, PutOutcome, StoreError, entity_tag};

/// Published plugins, their components and signatures.
#[async_trait]
pub trait PluginStore: Send + Sync + 'static {
    /// Stores the bytes and signatures of a revision and makes it the live revision of the plugin. The store maintains
    /// `previous`, `past` and `rules` itself. It is a conflict if the bytes have another digest, or if they exceed the
    /// limits even after the oldest revisions of this plugin were removed. The entity tag is [`plugin_tag`]: if two
    /// callers publish at once over the same revision, the second gets [`PutOutcome::Changed`].
    async fn publish_plugin(
        &self,
        scope: &IdScope,
        plugin: PublishedPlugin,
        bytes: Vec<u8>,
        signatures: Vec<Signature>,
        bounds: PublishBounds,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError>;

    /// Changes the rules that the operator sets for a plugin. The outcome is [`PutOutcome::Replaced`], or
    /// [`PutOutcome::Missing`] even on a condition that allows a new plugin.
    async fn set_plugin_rules(
        &self,
        scope: &IdScope,
        name: &PluginName,
        rules: PluginRules,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError>;

    /// Removes a plugin, unless an enrollment uses it. Its bytes stay for as long as a decision names them.
    async fn delete_plugin(
        &self,
        scope: &IdScope,
        name: &PluginName,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError>;

    /// The components of an id scope that no plugin names any more, but that are kept for decisions and enrollments.
    async fn kept_components(&self, scope: &IdScope) -> Result<Vec<KeptComponent>, StoreError>;

    /// The signatures of a component, from all its publications together.
    async fn signatures(&self, component: Digest) -> Result<Vec<Signature>, StoreError>;
}

/// The entity tag of a plugin: made from its live revision and the rules that the operator set.
pub fn plugin_tag(plugin: &PublishedPlugin) -> String {
    entity_tag(&(plugin.live, &plugin.rules))
}
