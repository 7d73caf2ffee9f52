//! The images that decisions run on. They are ready before they are needed.
//!
//! An enrollment names a plugin and settings. A decision needs the image that is made of both, and of the limits that
//! the operator has set for the plugin. Groups share images, and a million individual enrollments may name as many
//! settings. So an image is made when it is first needed, and shared from then on. Making one reads the compiled
//! component from the cache, or compiles it, on a thread that may block.
//!
//! **What stays in memory.** Resident images stay: those of all groups, and those that are asked or rolled back to when
//! one of them breaks. So the revision before the live one stays loaded, and going back to it takes no longer than the
//! next decision. An image that is no longer resident is dropped at once. Of all others, the least recently used one is
//! dropped when there are too many. A revision that is not resident is dropped with its last image. A decision that is
//! still running keeps its image until it is done.
//!
//! Each image comes with the contents that it was made of. They are written with the first decision that names them by
//! digest.

mod making;
mod warm_up;

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use landfall_domain::clock::{Clock, Stopwatch};
use landfall_domain::decision::Content;
use landfall_domain::names::{Digest, PluginName};
use landfall_domain::plugin::rules::PluginLimits;
use landfall_domain::plugin::signature::{KeyId, Signature};
use landfall_domain::plugin::statement::Subject;
use landfall_policy::image::{ConfigureError, Configured, Fetched, Image, LoadError, Revision};
use landfall_policy::{PolicyHost, shipped};
use landfall_store::{Lane, Store, StoreError};

use self::making::Making;
use crate::catalogue::BoundPolicy;

/// Holds the images, and makes them when they are needed.
pub struct Images {
    host: Arc<PolicyHost>,
    store: Arc<dyn Store>,
    ready: RwLock<HashMap<Key, Ready>>,
    revisions: RwLock<HashMap<Digest, Arc<Revision>>>,
    resident: RwLock<Resident>,
    making: Making,
    uses: AtomicU64,
    max_images: usize,
    clock: Arc<dyn Clock>,
}

/// What an image is made of: a revision (SHA-256 of the component), its settings (SHA-256 of their text), and its
/// limits. The plugin's name is part of the key as well: whether a revision may run depends on what its signatures say
/// about the name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    plugin: PluginName,
    revision: Digest,
    settings: Digest,
    limits: PluginLimits,
}

/// What is never dropped to make room for others.
#[derive(Default)]
struct Resident {
    images: HashSet<Key>,
    revisions: HashSet<Digest>,
}

struct Ready {
    image: Arc<ReadyImage>,
    last_used: AtomicU64,
}

/// An image that can be asked.
pub struct ReadyImage {
    image: Arc<Image>,
    /// The settings that it was made with, as decisions name them.
    pub settings: Content,
    /// The budget of its calls, as decisions name it.
    pub budget: Content,
    age: Stopwatch,
}

/// The images of one revision, counted for an operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Images that start from a snapshot of memory with their settings in it.
    pub baked: u64,
    /// Images that are configured before each call.
    pub configured_each_call: u64,
    /// The age of the oldest image.
    pub oldest: Duration,
}

/// Why an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Nothing is published under the name.
    #[error("no plugin {0} is published; publish one with `landfall plugin publish`")]
    NotPublished(PluginName),
    /// The store does not have the component.
    #[error("there is no component {0} here; publish it with `landfall plugin publish`")]
    NoComponent(Digest),
    /// The component cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The plugin does not take the settings.
    #[error(transparent)]
    Configure(#[from] ConfigureError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The thread that made it ended early.
    #[error("making the image was interrupted")]
    Interrupted,
}

impl Images {
    /// No images yet. Keeps at most `max_images`, unless more than that are resident.
    pub fn new(host: Arc<PolicyHost>, store: Arc<dyn Store>, max_images: usize, clock: Arc<dyn Clock>) -> Self {
        Self {
            host,
            store,
            ready: RwLock::default(),
            revisions: RwLock::default(),
            resident: RwLock::default(),
            making: Making::new(Arc::clone(&clock)),
            clock,
            uses: AtomicU64::new(0),
            max_images,
        }
    }

    /// The image of a bound policy. `lane` says who waits for it.
    ///
    /// # Errors
    ///
    /// An [`ImageError`]. All who asked for the same image at the same time get the same one.
    pub async fn get(&self, lane: Lane, bound: &BoundPolicy) -> Result<Arc<ReadyImage>, Arc<ImageError>> {
        self.image(lane, bound, None).await
    }

    /// Makes the image of a policy with a revision that the store may not have yet, for an operator who is publishing
    /// it. The revision must have been checked for the plugin's name already.
    ///
    /// # Errors
    ///
    /// As [`Images::get`].
    pub async fn get_ahead(
        &self,
        bound: BoundPolicy,
        revision: &Arc<Revision>,
    ) -> Result<Arc<ReadyImage>, Arc<ImageError>> {
        self.image(Lane::Operator, &BoundPolicy { revision: Some(revision.digest()), ..bound }, Some(revision)).await
    }

    async fn image(
        &self,
        lane: Lane,
        bound: &BoundPolicy,
        at_hand: Option<&Arc<Revision>>,
    ) -> Result<Arc<ReadyImage>, Arc<ImageError>> {
        let revision = bound.revision.ok_or_else(|| ImageError::NotPublished(bound.plugin.clone()))?;
        let key = Key::of(bound, revision);
        if let Some(image) = self.find(&key) {
            return Ok(image);
        }
        let turn = self.making.turn(key.clone(), &bound.scope).await;
        if let Some(image) = self.find(&key) {
            return Ok(image);
        }
        if let Some(error) = turn.failed() {
            return Err(error);
        }
        let made = {
            let _room = turn.room().await;
            match at_hand {
                Some(revision) => {
                    self.revisions
                        .write()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(revision.digest(), Arc::clone(revision));
                    self.make(bound, Arc::clone(revision)).await
                }
                None => match self.revision_of(lane, &bound.plugin, revision).await {
                    Ok(revision) => self.make(bound, revision).await,
                    Err(error) => Err(error),
                },
            }
        };
        let image = turn.ended(made)?;
        self.keep(key, Arc::clone(&image));
        Ok(image)
    }

    async fn make(&self, bound: &BoundPolicy, revision: Arc<Revision>) -> Result<Arc<ReadyImage>, ImageError> {
        let (host, settings) = (Arc::clone(&self.host), bound.settings.as_str().to_owned());
        let budgets = self.host.budgets().limited(bound.limits);
        let text = serde_json::to_vec(&budgets.call).unwrap_or_default();
        let image = tokio::task::spawn_blocking(move || host.configure_within(&revision, &settings, budgets))
            .await
            .map_err(|_| ImageError::Interrupted)??;
        let (settings, budget) = (Content::of(bound.settings.as_str().as_bytes()), Content::of(text));
        Ok(Arc::new(ReadyImage { image, settings, budget, age: Stopwatch::start(&self.clock) }))
    }

    /// A revision that may run under this plugin's name: its component is there, and the required signatures are for
    /// this name.
    pub async fn revision_of(
        &self,
        lane: Lane,
        plugin: &PluginName,
        digest: Digest,
    ) -> Result<Arc<Revision>, ImageError> {
        let revision = self.revision(lane, digest).await?;
        self.signers(plugin, &revision.description().version, digest).await?;
        Ok(revision)
    }

    /// A revision whose component is in the store, or is built in. The name under which it may run is not checked.
    pub async fn revision(&self, lane: Lane, digest: Digest) -> Result<Arc<Revision>, ImageError> {
        if let Some(known) = self.loaded(digest) {
            return Ok(known);
        }
        let bytes = match (self.store.content(digest).await?, shipped::component_of(digest)) {
            (Some(bytes), _) => bytes,
            (None, Some(bytes)) => {
                self.store.keep_content(lane, bytes.to_vec()).await?;
                bytes.to_vec()
            }
            (None, None) => return Err(ImageError::NoComponent(digest)),
        };
        let signatures = self.signatures(digest).await?;
        let revision = self.load(Fetched::from(bytes).signed(signatures)).await?;
        self.revisions.write().unwrap_or_else(PoisonError::into_inner).insert(digest, Arc::clone(&revision));
        Ok(revision)
    }

    /// The trusted keys that signed a revision for a plugin. The component is not loaded.
    pub async fn signers(&self, plugin: &PluginName, version: &str, digest: Digest) -> Result<Vec<KeyId>, ImageError> {
        let subject = Subject { digest, name: Some(plugin), version: Some(version) };
        Ok(self.host.signers(&subject, &self.signatures(digest).await?)?)
    }

    /// The stored signatures. A signature may have been stored when its key was not trusted, and so was not verified.
    /// If it is not that key's, it counts for nothing.
    async fn signatures(&self, digest: Digest) -> Result<Vec<Signature>, ImageError> {
        let mut kept = self.store.signatures(digest).await?;
        kept.retain(|signature| !self.host.trust().disowns(digest, signature));
        Ok(kept)
    }

    /// A revision, if it is loaded now.
    pub fn loaded(&self, digest: Digest) -> Option<Arc<Revision>> {
        self.revisions.read().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned()
    }

    /// Loads a component that may never have been loaded before.
    pub async fn load(&self, fetched: Fetched) -> Result<Arc<Revision>, ImageError> {
        let host = Arc::clone(&self.host);
        let loaded = tokio::task::spawn_blocking(move || host.load(fetched)).await;
        Ok(loaded.map_err(|_| ImageError::Interrupted)??)
    }

    /// Sets what is resident from now on: these policies, and these revisions whether or not one of the policies needs
    /// them. Whatever is not resident and not in use is dropped.
    pub fn settle<'a>(&self, policies: impl Iterator<Item = &'a BoundPolicy>, revisions: impl Iterator<Item = Digest>) {
        let images: HashSet<Key> = policies.filter_map(|bound| Some(Key::of(bound, bound.revision?))).collect();
        let revisions = images.iter().map(|key| key.revision).chain(revisions).collect();
        {
            let mut resident = self.resident.write().unwrap_or_else(PoisonError::into_inner);
            let before = std::mem::replace(&mut *resident, Resident { images, revisions });
            let mut ready = self.ready.write().unwrap_or_else(PoisonError::into_inner);
            ready.retain(|key, _| resident.images.contains(key) || !before.images.contains(key));
        }
        self.forget_revisions();
    }

    /// The images that are ready, counted by revision.
    pub fn tallies(&self) -> HashMap<Digest, Tally> {
        let mut tallies: HashMap<Digest, Tally> = HashMap::new();
        for (key, Ready { image, .. }) in &*self.ready.read().unwrap_or_else(PoisonError::into_inner) {
            let tally = tallies.entry(key.revision).or_default();
            match image.configured() {
                Configured::Baked => tally.baked += 1,
                Configured::EachCall { .. } => tally.configured_each_call += 1,
            }
            tally.oldest = tally.oldest.max(image.age.elapsed());
        }
        tallies
    }

    fn find(&self, key: &Key) -> Option<Arc<ReadyImage>> {
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        let found = ready.get(key)?;
        found.last_used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(Arc::clone(&found.image))
    }

    fn keep(&self, key: Key, image: Arc<ReadyImage>) {
        {
            let resident = self.resident.read().unwrap_or_else(PoisonError::into_inner);
            let mut ready = self.ready.write().unwrap_or_else(PoisonError::into_inner);
            let last_used = self.uses.fetch_add(1, Ordering::Relaxed).into();
            ready.insert(key.clone(), Ready { image, last_used });
            while ready.len() > self.max_images {
                let others = ready.iter().filter(|(known, _)| **known != key && !resident.images.contains(known));
                let Some(oldest) = others.min_by_key(|(_, kept)| kept.last_used.load(Ordering::Relaxed)) else { break };
                let oldest = oldest.0.clone();
                ready.remove(&oldest);
            }
        }
        self.forget_revisions();
    }

    /// Drops the revisions that nothing needs. A few that were only looked at may stay.
    fn forget_revisions(&self) {
        let resident = self.resident.read().unwrap_or_else(PoisonError::into_inner);
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        let used: HashSet<Digest> = ready.keys().map(|key| key.revision).collect();
        let mut revisions = self.revisions.write().unwrap_or_else(PoisonError::into_inner);
        revisions.retain(|digest, _| resident.revisions.contains(digest) || used.contains(digest));
    }
}

impl Key {
    fn of(bound: &BoundPolicy, revision: Digest) -> Self {
        Self { plugin: bound.plugin.clone(), revision, settings: bound.settings_digest, limits: bound.limits }
    }
}

impl Deref for ReadyImage {
    type Target = Image;

    fn deref(&self) -> &Image {
        &self.image
    }
}
