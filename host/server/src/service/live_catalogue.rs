//! The catalogue that decides now, and the one way in which it is changed.
//!
//! A change is written to the store and then read from it, by [`LiveCatalogue::change`]: nobody who writes can forget to read.
//! What is on disk and could not be read is read by a task, so that it does not lie there unseen until somebody changes
//! something else.

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

/// The catalogue as it is, and what follows it.
pub struct LiveCatalogue {
    live: ArcSwap<Catalogue>,
    /// Held by whoever reads it from the store.
    reading: tokio::sync::Mutex<()>,
    unread: Unread,
    store: Arc<dyn Store>,
    sealing: Arc<SealingKey>,
    watches: Arc<Watches>,
    images: Arc<Images>,
    outside: Arc<Outside>,
}

/// A write on its way.
pub type Write<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

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

    /// Writes to the store, and has what was written decide from now on.
    ///
    /// # Errors
    ///
    /// Those of the writing: then nothing is another. Or that what was written could not be read: then it is on disk, and in
    /// force as soon as it can be read.
    pub async fn change<'a, T>(
        &'a self,
        write: impl FnOnce(&'a dyn Store) -> Write<'a, T> + Send,
    ) -> Result<T, StoreError> {
        let written = write(&*self.store).await?;
        self.reload().await?;
        Ok(written)
    }

    /// Reads the catalogue anew: for who has written to the store itself.
    ///
    /// # Errors
    ///
    /// Those of the store; then it is read as soon as it can be.
    pub async fn reload(&self) -> Result<(), StoreError> {
        self.read().await.map_err(|error| self.unread.leave(error))
    }

    /// Reads the catalogue for whoever has changed it and could not: one run of the task `catalogue`.
    ///
    /// # Errors
    ///
    /// It cannot be read now either.
    pub async fn read_what_is_left(&self) -> Ran {
        let Some(left) = self.unread.left() else { return Ok("every change is in force".to_owned()) };
        self.read().await.map_err(|error| {
            format!("a change of hubs, enrollments, authorities or plugins is on disk and not in force yet: {error}")
        })?;
        self.unread.read(left);
        Ok("the change that could not be read is in force".to_owned())
    }

    /// Has the task run that reads what is left.
    pub(super) fn left(&self) -> &Trigger {
        &self.unread.more
    }

    /// Sees to it that what decides is at least as new as what the store said of an id scope. A change is read by whoever made
    /// it; this is for when that failed.
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
        // Reading certificates and lists takes what they take, and requests of devices must not wait behind it.
        let reading = tokio::task::spawn_blocking(move || Catalogue::new(records, &known, &watches, &sealing));
        let catalogue = reading.await.map_err(|e| StoreError::Read(format!("the catalogue cannot be read: {e}")))?;
        let catalogue = Arc::new(catalogue);
        self.live.store(Arc::clone(&catalogue));
        let needed: Vec<BoundPolicy> = catalogue.scopes().flat_map(|scope| needed(scope)).collect();
        // What no group asks is loaded when it is asked for, so that who publishes does not fill the memory.
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

    /// Has something wait to be read, as after a failure of the store.
    #[cfg(test)]
    pub(super) fn leave_unread(&self) {
        self.unread.leave(StoreError::Read("for once".to_owned()));
    }
}

/// What the groups of a scope are decided with, what is asked when one of these gives no answer, and what would be if
/// somebody rolled back.
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

/// How enrollments rely on issuers of tokens.
pub(super) fn token_rules(scope: &ScopeCatalogue) -> impl Iterator<Item = &TokenRules> {
    scope.groups().filter_map(|bound| match &bound.group.attestation {
        GroupAttestation::Token(rules) => Some(rules),
        _ => None,
    })
}

/// What can be asked: the groups' policies and their stand-ins, and with whatever settings of every plugin the live
/// revision, the one before it and what the operator named for when it gives no answer.
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
