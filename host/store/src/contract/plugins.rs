//! Published plugins, their components and signatures.

use async_trait::async_trait;
use landfall_domain::names::{Digest, IdScope, PluginName};
use landfall_domain::plugin::rules::PluginRules;
use landfall_domain::plugin::signature::Signature;
use landfall_domain::plugin::{KeptComponent, PublishBounds, PublishedPlugin};

use crate::{DeleteOutcome, PutOutcome, StoreError};

/// Published plugins, their components and signatures.
#[async_trait]
pub trait PluginStore: Send + Sync + 'static {
    /// Keeps a revision's bytes and signatures and makes it the live one of its name. The store keeps `previous`, `past`
    /// and `rules` itself, so that two who publish at once lose nothing; bytes of another digest are a conflict, and so is
    /// what goes beyond the bounds, once the plugin's own oldest revisions have made room.
    async fn publish_plugin(
        &self,
        scope: &IdScope,
        plugin: PublishedPlugin,
        bytes: Vec<u8>,
        signatures: Vec<Signature>,
        bounds: PublishBounds,
    ) -> Result<PutOutcome, StoreError>;

    /// Changes what the operator says of a plugin: [`PutOutcome::Replaced`], or [`PutOutcome::Missing`].
    async fn set_plugin_rules(
        &self,
        scope: &IdScope,
        name: &PluginName,
        rules: PluginRules,
    ) -> Result<PutOutcome, StoreError>;

    /// Removes a plugin's name, unless an enrollment uses it; the bytes stay for as long as a decision names them.
    async fn delete_plugin(&self, scope: &IdScope, name: &PluginName) -> Result<DeleteOutcome, StoreError>;

    /// The components of an id scope's plugins that no plugin names any more, and that are kept for decisions and enrollments.
    async fn kept_components(&self, scope: &IdScope) -> Result<Vec<KeptComponent>, StoreError>;

    /// The signatures with which a component was published, all times together.
    async fn signatures(&self, component: Digest) -> Result<Vec<Signature>, StoreError>;
}
