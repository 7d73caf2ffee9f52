//! The catalogue that decides now, and the only way to change it.
//!
//! [`LiveCatalogue::change`] writes a change to the store and then reads the catalogue from it, so no writer can forget
//! to read. If a change is on disk and could not be read, a task reads it. It does not wait for the next change.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use landfall_attestation::bearer::TokenRules;
use landfall_domain::enrollment::GroupAttestation;
use landfall_domain::names::IdScope;
use landfall_domain::plugin::PublishedPlugin;
use landfall_domain::plugin::rules::Resort;
use landfall_domain::secret::sealing::SealingKey;
use landfall_policy::shipped;
use landfall_policy::watch::{Watched, Watches};
use landfall_store::{Store, StoreError};

use super::images::Images;
use super::outside::Outside;
use super::unread::Unread;
use crate::catalogue::candidates::HubLoads;
use crate::catalogue::{BoundPolicy, Catalogue, ScopeCatalogue};
use crate::identity_providers;
use crate::tasks::{Ran, Trigger};

/// The catalogue as it is now, and what must be updated with it.
pub struct LiveCatalogue {
    live: ArcSwap<Catalogue>,
    /// Held while the catalogue is read from the store.
    reading: tokio::sync::Mutex<()>,
    unread: Unread,
    store: Arc<dyn Store>,
    sealing: Arc<SealingKey>,
    watches: Arc<Watches>,
    images: Arc<Images>,
    outside: Arc<Outside>,
}

/// The future of a write to the store.
pub(crate) type Write<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

impl LiveCatalogue {
    /// The catalogue of what the store holds, which knows from it how full the hubs are.
    pub(super) async fn start(
        store: Arc<dyn Store>,
        sealing: Arc<SealingKey>,
        watches: Arc<Watches>,
        images: Arc<Images>,
        outside: Arc<Outside>,
    ) -> Result<Self, StoreError> {
        let loads = Arc::new(HubLoads::default());
        let follower: Weak<HubLoads> = Arc::downgrade(&loads);
        store.follow_hub_loads(follower).await?;
        let live = ArcSwap::from_pointee(Catalogue::following(loads));
        let (reading, unread) = (tokio::sync::Mutex::default(), Unread::default());
        let started = Self { live, reading, unread, store, sealing, watches, images, outside };
        started.reload().await?;
        Ok(started)
    }

    /// The catalogue as it is now.
    pub fn now(&self) -> Arc<Catalogue> {
        self.live.load_full()
    }

    /// One tenant, as it is now.
    pub fn scope(&self, scope: &IdScope) -> Option<Arc<ScopeCatalogue>> {
        self.live.load().scope(scope).cloned()
    }

    /// Writes to the store, in one transaction. What was written decides from then on.
    ///
    /// # Errors
    ///
    /// The error of the write: then nothing has changed. Or the error of reading: then the change is on disk, and it is
    /// in force as soon as it can be read.
    pub async fn change<'a, T>(
        &'a self,
        write: impl FnOnce(&'a dyn Store) -> Write<'a, T> + Send,
    ) -> Result<T, StoreError> {
        let written = write(&*self.store).await?;
        self.reload().await?;
        Ok(written)
    }

    /// Reads the catalogue anew, for a caller that has written to the store itself.
    ///
    /// # Errors
    ///
    /// The error of the store. The catalogue is then read as soon as it can be.
    pub(crate) async fn reload(&self) -> Result<(), StoreError> {
        self.read().await.map_err(|error| self.unread.leave(error))
    }

    /// Reads changes that could not be read by those who made them: one run of the task `catalogue`.
    ///
    /// # Errors
    ///
    /// If they cannot be read now either.
    pub async fn read_what_is_left(&self) -> Ran {
        let Some(left) = self.unread.left() else { return Ok("every change is in force".to_owned()) };
        self.read().await.map_err(|error| {
            format!("a change of hubs, enrollments, authorities or plugins is on disk and not in force yet: {error}")
        })?;
        self.unread.read(left);
        Ok("the change that could not be read is in force".to_owned())
    }

    /// Starts the task that reads such changes.
    pub(super) fn left(&self) -> &Trigger {
        &self.unread.more
    }

    /// Makes sure that what decides is at least as new as this revision of an id scope in the store. Normally whoever
    /// makes a change reads it as well; this is for when that failed.
    pub(super) async fn catch_up(&self, scope: &IdScope, revision: u64) -> Result<(), StoreError> {
        {
            // Whoever made the change may be reading it now.
            let _reading = self.reading.lock().await;
            if self.scope(scope).is_some_and(|scope| scope.revision >= revision) {
                return Ok(());
            }
        }
        self.reload().await
    }

    async fn read(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.reading.lock().await;
        let records = self.store.load_catalogue().await?;
        let before = self.live.load_full();
        let (known, watches, sealing) = (Arc::clone(&before), Arc::clone(&self.watches), Arc::clone(&self.sealing));
        // Reading certificates and revocation lists takes long, and requests of devices must not wait for it.
        let reading = tokio::task::spawn_blocking(move || Catalogue::new(records, &known, &watches, &sealing));
        let catalogue = reading.await.map_err(|e| StoreError::Read(format!("the catalogue cannot be read: {e}")))?;
        let catalogue = Arc::new(catalogue);
        self.live.store(Arc::clone(&catalogue));
        let needed: Vec<BoundPolicy> = catalogue.scopes().flat_map(|scope| needed(scope)).collect();
        // Revisions that no group uses are loaded on demand, so that publishing many of them does not fill the memory.
        let revisions = catalogue.scopes().flat_map(|scope| {
            let asked = |plugin: &&PublishedPlugin| {
                let mut policies = scope.groups().flat_map(|group| group.allocation.policies());
                policies.any(|policy| policy.plugin == plugin.name)
            };
            let both = |plugin: &PublishedPlugin| [Some(plugin.live), plugin.previous.first().copied()];
            scope.plugins().filter(asked).flat_map(both).flatten().collect::<Vec<_>>()
        });
        self.images.settle(needed.iter(), revisions);
        self.watches.retain(&watched(&catalogue, &needed));
        let relied_on = catalogue.scopes().flat_map(|scope| token_rules(scope)).map(identity_providers::named);
        self.outside.identity_providers().retain(&relied_on.collect());
        Ok(())
    }

    /// Leaves a change unread, as after a failure of the store.
    #[cfg(test)]
    pub(super) fn leave_unread(&self) {
        self.unread.leave(StoreError::Read("for once".to_owned()));
    }
}

/// The policies that the groups of a scope use, those that are asked when one of these gives no answer, and those that
/// would be used after a rollback.
pub(super) fn needed(scope: &ScopeCatalogue) -> Vec<BoundPolicy> {
    let mut needed = Vec::new();
    for policy in scope.groups().flat_map(|group| group.allocation.policies()) {
        needed.extend(policy.chain().map(|(_, bound)| bound.clone()));
        let published = scope.plugin(&policy.plugin);
        let previous = published.filter(|plugin| policy.revision == Some(plugin.live));
        if let Some(previous) = previous.and_then(|plugin| plugin.previous.first()) {
            needed.push(BoundPolicy { revision: Some(*previous), stand_ins: Vec::new(), ..policy.clone() });
        }
    }
    needed
}

/// The rules by which the enrollments of a scope accept tokens of issuers.
pub(super) fn token_rules(scope: &ScopeCatalogue) -> impl Iterator<Item = &TokenRules> {
    scope.groups().filter_map(|bound| match &bound.group.attestation {
        GroupAttestation::Token(rules) => Some(rules),
        _ => None,
    })
}

/// What can be asked: the groups' policies and their stand-ins. Also, with any settings, of every plugin the live
/// revision, the one before it, and those that the operator named for when it gives no answer.
fn watched(catalogue: &Catalogue, needed: &[BoundPolicy]) -> HashSet<Watched> {
    let of_groups = needed.iter().filter_map(|bound| bound.watch.as_ref()?.of.clone());
    let of_plugins = catalogue.scopes().flat_map(|scope| {
        scope.plugins().flat_map(|plugin| {
            let own = std::iter::once(plugin.live).chain(plugin.previous.first().copied());
            let own = own.map(|revision| (plugin.name.clone(), revision));
            let shipped = plugin.rules.on_failure.iter().filter_map(|resort| match resort {
                Resort::PreviousRevision => None,
                Resort::Shipped { policy, .. } => Some((policy.clone(), shipped::digest_of(policy.as_str())?)),
            });
            let of = |(plugin, revision)| Watched { scope: scope.scope.clone(), plugin, revision, settings: None };
            own.chain(shipped).map(of).collect::<Vec<_>>()
        })
    });
    of_groups.chain(of_plugins).collect()
}
