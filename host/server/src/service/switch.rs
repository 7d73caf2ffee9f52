//! Makes another revision of a plugin the live one, whether it is new or was live before.
//!
//! The switch itself is one pointer: the store writes the name's new revision in one transaction, the catalogue is read
//! anew, and a decision keeps the catalogue that it began with. The checks before it make it safe: the revision is
//! loaded, every enrollment that follows the name is tried with it, and the images of all groups are ready. So
//! publishing makes no device wait for a compiler, and no device meets a revision that does not accept its enrollment's
//! settings.
//!
//! Only one switch of a plugin runs at a time: a second one is checked against the result of the first. Switches of
//! other plugins and id scopes run beside it.

use std::sync::Arc;

use landfall_domain::enrollment::Allocation;
use landfall_domain::names::{IdScope, PluginName};
use landfall_domain::plugin::rules::PluginRules;
use landfall_domain::plugin::{PublishBounds, PublishedPlugin};
use landfall_policy::image::Revision;
use landfall_policy::trust::Signature;
use landfall_store::{PutOutcome, StoreError};

use super::Service;
use super::take_over::TakeOverError;
use crate::catalogue::{BoundPolicy, ScopeCatalogue};

/// Why a revision did not become the live one, or why a plugin's rules were not changed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the names say it")]
pub enum SwitchError {
    /// The id scope does not exist.
    #[error("no id scope {0} exists here")]
    NoScope(IdScope),
    /// The revision does not fit the enrollments that follow the name.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    /// The store has no room for more revisions.
    #[error("{0}")]
    Beyond(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The API token that publishes, and its quota.
#[derive(Clone, Copy, Debug)]
pub struct Publisher<'a> {
    /// The token's id.
    pub token: &'a str,
    /// The bytes that everything it published may take.
    pub most_bytes: Option<u64>,
}

impl Service {
    /// Makes a loaded revision the live one of a name, if it does what every enrollment that follows the name needs.
    /// Changes nothing if it is the live one already.
    ///
    /// # Errors
    ///
    /// A [`SwitchError`]. The live revision then stays as it was.
    pub async fn make_live(
        self: &Arc<Self>,
        scope: &IdScope,
        name: &PluginName,
        revision: &Arc<Revision>,
        signatures: Vec<Signature>,
        by: &Publisher<'_>,
    ) -> Result<PutOutcome, SwitchError> {
        let one_at_a_time = self.switching.take((scope.clone(), name.clone())).await;
        let known = self.scope(scope).ok_or_else(|| SwitchError::NoScope(scope.clone()))?;
        let before = known.plugin(name);
        let signatures = self.policies.trust().worth_keeping(signatures);
        if let Some(same) = before.filter(|before| before.live == revision.digest()) {
            // The same bytes with another signature. It is kept for the next start, when the key of the present signature
            // may no longer be trusted.
            if !signatures.is_empty() {
                let component = revision.bytes().to_vec();
                let same = PublishedPlugin { card: Some(revision.plugin_card()), ..same.clone() };
                taken(self.store.publish_plugin(scope, same, component, signatures, PublishBounds::NONE).await?)?;
            }
            return Ok(PutOutcome::Replaced);
        }
        let rules = before.map(|before| before.rules.clone()).unwrap_or_default();
        self.takes_over(&known, name, revision, rules.limits).await?;
        let component = revision.bytes().to_vec();
        let plugin = PublishedPlugin {
            version: revision.description().version.clone(),
            card: Some(revision.plugin_card()),
            ..PublishedPlugin::first(name.clone(), &component, self.ambient.now(), by.token)
        };
        if before.is_some() {
            self.make_ready(&known, name, revision, &rules).await;
        }
        let limits = &self.config.limits.management;
        let bounds = PublishBounds {
            plugins: limits.plugins,
            bytes: limits.plugins_mib.saturating_mul(1 << 20),
            by_publisher: by.most_bytes,
        };
        let publish = self.catalogue.change(|store| store.publish_plugin(scope, plugin, component, signatures, bounds));
        let outcome = taken(publish.await?)?;
        drop(one_at_a_time);
        self.warm_up_behind(scope, name);
        Ok(outcome)
    }

    /// Changes the operator's rules for a plugin, if the live revision still accepts every enrollment's settings under
    /// them.
    ///
    /// # Errors
    ///
    /// A [`SwitchError`]. The rules then stay as they were.
    pub async fn set_rules(
        self: &Arc<Self>,
        scope: &IdScope,
        name: &PluginName,
        revision: &Arc<Revision>,
        change: impl FnOnce(&PluginRules) -> PluginRules,
    ) -> Result<PutOutcome, SwitchError> {
        let one_at_a_time = self.switching.take((scope.clone(), name.clone())).await;
        let known = self.scope(scope).ok_or_else(|| SwitchError::NoScope(scope.clone()))?;
        let Some(plugin) = known.plugin(name) else { return Ok(PutOutcome::Missing) };
        if plugin.live != revision.digest() {
            return Err(SwitchError::Beyond(format!("another revision of {name} became live meanwhile; set it again")));
        }
        let rules = change(&plugin.rules);
        if rules.limits != plugin.rules.limits {
            self.takes_over(&known, name, revision, rules.limits).await?;
            self.make_ready(&known, name, revision, &rules).await;
        }
        let outcome = taken(self.catalogue.change(|store| store.set_plugin_rules(scope, name, rules)).await?)?;
        drop(one_at_a_time);
        self.warm_up_behind(scope, name);
        Ok(outcome)
    }

    /// Makes the images that are still missing, in a task of its own, so that this publication and the next do not wait
    /// for it.
    fn warm_up_behind(self: &Arc<Self>, scope: &IdScope, name: &PluginName) {
        let (service, scope, name) = (Arc::clone(self), scope.clone(), name.clone());
        tokio::spawn(async move {
            service.warm_up_if(|policy| policy.scope == scope && policy.plugin == name).await;
        });
    }

    /// Makes the images that the groups of a scope will need. An image that cannot be made now is made when it is
    /// needed.
    async fn make_ready(
        &self,
        scope: &ScopeCatalogue,
        name: &PluginName,
        revision: &Arc<Revision>,
        rules: &PluginRules,
    ) {
        for group in scope.groups() {
            for policy in followers(&group.group.terms.allocation, name, scope) {
                let soon = BoundPolicy { limits: rules.limits, ..policy };
                if let Err(error) = self.images.get_ahead(soon, revision).await {
                    tracing::warn!(plugin = %name, %error, "an image could not be made ahead of its revision");
                }
            }
        }
    }
}

/// Turns what the store did not accept into an error.
fn taken(outcome: PutOutcome) -> Result<PutOutcome, SwitchError> {
    match outcome {
        PutOutcome::Conflict(beyond) => Err(SwitchError::Beyond(beyond)),
        outcome => Ok(outcome),
    }
}

/// The policies of an allocation that follow a plugin's name.
fn followers(allocation: &Allocation, name: &PluginName, scope: &ScopeCatalogue) -> Vec<BoundPolicy> {
    let follows = allocation.bindings().filter(|binding| binding.plugin == *name && binding.revision.is_none());
    follows.map(|binding| scope.bind_one(binding)).collect()
}
