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
use landfall_domain::plugin::signature::Signature;
use landfall_domain::plugin::{PublishBounds, PublishedPlugin};
use landfall_policy::image::Revision;
use landfall_store::{Conflict, Precondition, PutOutcome, StoreError, plugin_tag};

use super::Service;
use super::take_over::TakeOverError;
use crate::catalogue::{BoundPolicy, ScopeCatalogue};
use crate::conflict;

/// Why a revision did not become the live one, or why a plugin's rules were not changed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum SwitchError {
    /// The id scope does not exist.
    #[error("no id scope {0} exists here")]
    NoScope(IdScope),
    /// The revision does not fit the enrollments that follow the name.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    /// It does not go with what else the store holds.
    #[error("{}", conflict::in_words(.0))]
    Conflict(Conflict),
    /// The rules were made for the revision that was live before.
    #[error("another revision of {0} became live meanwhile; set it again")]
    OtherLive(PluginName),
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
    /// Changes nothing if it is the live one already. The condition is checked before anything is tried, and again when
    /// it is written: another host may have published meanwhile.
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
        when: Precondition,
    ) -> Result<PutOutcome, SwitchError> {
        let one_at_a_time = self.switching.take((scope.clone(), name.clone())).await;
        let known = self.scope(scope).ok_or_else(|| SwitchError::NoScope(scope.clone()))?;
        let before = known.plugin(name);
        if let Err(refused) = when.judge(before.map(plugin_tag).as_deref()) {
            return Ok(refused);
        }
        let signatures = self.policies.trust().worth_keeping(signatures);
        if let Some(same) = before.filter(|before| before.live == revision.digest()) {
            // The same bytes with another signature. It is kept for the next start, when the key of the present signature
            // may no longer be trusted.
            if !signatures.is_empty() {
                let component = revision.bytes().to_vec();
                let same = PublishedPlugin { card: Some(revision.plugin_card()), ..same.clone() };
                let bounds = PublishBounds::NONE;
                let published = self
                    .catalogue
                    .change(|store| store.publish_plugin(scope, same, component, signatures, bounds, when));
                return taken(published.await?);
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
        let publish =
            self.catalogue.change(|store| store.publish_plugin(scope, plugin, component, signatures, bounds, when));
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
        when: Precondition,
    ) -> Result<PutOutcome, SwitchError> {
        let one_at_a_time = self.switching.take((scope.clone(), name.clone())).await;
        let known = self.scope(scope).ok_or_else(|| SwitchError::NoScope(scope.clone()))?;
        let Some(plugin) = known.plugin(name) else { return Ok(PutOutcome::Missing) };
        if plugin.live != revision.digest() {
            return Err(SwitchError::OtherLive(name.clone()));
        }
        // What was read is changed, and nothing that another has made of it meanwhile.
        let when = match when.over(Some(&plugin_tag(plugin))) {
            Ok(over) => over,
            Err(refused) => return Ok(refused),
        };
        let rules = change(&plugin.rules);
        if rules.limits != plugin.rules.limits {
            self.takes_over(&known, name, revision, rules.limits).await?;
            self.make_ready(&known, name, revision, &rules).await;
        }
        let outcome = taken(self.catalogue.change(|store| store.set_plugin_rules(scope, name, rules, when)).await?)?;
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
        PutOutcome::Conflict(conflict) => Err(SwitchError::Conflict(conflict)),
        outcome => Ok(outcome),
    }
}

/// The policies of an allocation that follow a plugin's name.
fn followers(allocation: &Allocation, name: &PluginName, scope: &ScopeCatalogue) -> Vec<BoundPolicy> {
    let follows = allocation.bindings().filter(|binding| binding.plugin == *name && binding.revision.is_none());
    follows.map(|binding| scope.bind_one(binding)).collect()
}
