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
    /// Keeps a revision's bytes and signatures and makes it the live one of its name. The store keeps `previous`, `past`
    /// and `rules` itself. Bytes of another digest are a conflict, and so is what goes beyond the bounds, once the plugin's
    /// own oldest revisions have made room. The entity tag is [`plugin_tag`]: of two who publish at once over the same
    /// revision, the second is told that it has changed.
    async fn publish_plugin(
        &self,
        scope: &IdScope,
        plugin: PublishedPlugin,
        bytes: Vec<u8>,
        signatures: Vec<Signature>,
        bounds: PublishBounds,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError>;

    /// Changes what the operator says of a plugin: [`PutOutcome::Replaced`], or [`PutOutcome::Missing`] also of a plugin that
    /// may be new.
    async fn set_plugin_rules(
        &self,
        scope: &IdScope,
        name: &PluginName,
        rules: PluginRules,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError>;

    /// Removes a plugin's name, unless an enrollment uses it; the bytes stay for as long as a decision names them.
    async fn delete_plugin(
        &self,
        scope: &IdScope,
        name: &PluginName,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError>;

    /// The components of an id scope's plugins that no plugin names any more, and that are kept for decisions and enrollments.
    async fn kept_components(&self, scope: &IdScope) -> Result<Vec<KeptComponent>, StoreError>;

    /// The signatures with which a component was published, all times together.
    async fn signatures(&self, component: Digest) -> Result<Vec<Signature>, StoreError>;
}

/// The entity tag of a plugin: of its live revision, and of what the operator says of it.
pub fn plugin_tag(plugin: &PublishedPlugin) -> String {
    entity_tag(&(plugin.live, &plugin.rules))
}
