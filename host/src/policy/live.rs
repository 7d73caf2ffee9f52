//! The images that decisions run on, ready when they are asked for.
//!
//! An enrollment names a plugin and settings; a decision needs the image made of both. Groups share images, and a
//! million individual enrollments may name as many settings, so images are made when they are first needed, shared
//! from then on, and the one that was not used for longest makes room when there are too many. Making one reads the
//! compiled component from the cache, or compiles it; one is made at a time, on a thread that may block.
//!
//! What an image was made of is kept in the store before it can decide anything: a decision names it by digest.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::PolicyHost;
use super::image::{ConfigureError, Fetched, Image, LoadError, Revision};
use crate::catalogue::Bound;
use crate::names::{Digest, PluginName};
use crate::store::{Store, StoreError};

/// The images.
pub struct Images {
    host: Arc<PolicyHost>,
    store: Arc<dyn Store>,
    ready: RwLock<HashMap<Key, Ready>>,
    revisions: RwLock<HashMap<Digest, Arc<Revision>>>,
    making: tokio::sync::Mutex<()>,
    uses: AtomicU64,
    max_images: usize,
}

/// A revision (SHA-256 of the component) and its settings (SHA-256 of their text).
type Key = (Digest, Digest);

struct Ready {
    image: Arc<Image>,
    last_used: AtomicU64,
}

/// Why there is no image.
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
    /// The thread that made it ended.
    #[error("making the image was interrupted")]
    Interrupted,
}

impl Images {
    /// None yet; at most so many at once.
    pub fn new(host: Arc<PolicyHost>, store: Arc<dyn Store>, max_images: usize) -> Self {
        Self {
            host,
            store,
            ready: RwLock::default(),
            revisions: RwLock::default(),
            making: tokio::sync::Mutex::default(),
            uses: AtomicU64::new(0),
            max_images,
        }
    }

    /// The image of a bound policy.
    pub async fn get(&self, bound: &Bound) -> Result<Arc<Image>, ImageError> {
        let digest = bound.revision.ok_or_else(|| ImageError::NotPublished(bound.plugin.clone()))?;
        let key = (digest, bound.settings_digest);
        if let Some(image) = self.find(key) {
            return Ok(image);
        }
        let _one_at_a_time = self.making.lock().await;
        if let Some(image) = self.find(key) {
            return Ok(image);
        }
        let revision = self.revision(digest).await?;
        let (host, settings) = (Arc::clone(&self.host), bound.settings.as_str().to_owned());
        let image = tokio::task::spawn_blocking(move || host.configure(&revision, &settings))
            .await
            .map_err(|_| ImageError::Interrupted)??;
        self.store.keep_content(bound.settings.as_str().as_bytes().to_vec()).await?;
        self.keep(key, Arc::clone(&image));
        Ok(image)
    }

    /// A revision whose component is in the store.
    pub async fn revision(&self, digest: Digest) -> Result<Arc<Revision>, ImageError> {
        if let Some(known) = self.revisions.read().unwrap_or_else(PoisonError::into_inner).get(&digest) {
            return Ok(Arc::clone(known));
        }
        let bytes = self.store.content(digest).await?.ok_or(ImageError::NoComponent(digest))?;
        let signatures = self.store.signatures(digest).await?;
        let revision = self.load(Fetched::from(bytes).signed(signatures)).await?;
        self.revisions.write().unwrap_or_else(PoisonError::into_inner).insert(digest, Arc::clone(&revision));
        Ok(revision)
    }

    /// Loads a component that may never have been seen before.
    pub async fn load(&self, fetched: Fetched) -> Result<Arc<Revision>, ImageError> {
        let host = Arc::clone(&self.host);
        let loaded = tokio::task::spawn_blocking(move || host.load(fetched)).await;
        Ok(loaded.map_err(|_| ImageError::Interrupted)??)
    }

    fn find(&self, key: Key) -> Option<Arc<Image>> {
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        let found = ready.get(&key)?;
        found.last_used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(Arc::clone(&found.image))
    }

    fn keep(&self, key: Key, image: Arc<Image>) {
        let mut ready = self.ready.write().unwrap_or_else(PoisonError::into_inner);
        if ready.len() >= self.max_images {
            let oldest = ready.iter().min_by_key(|(_, kept)| kept.last_used.load(Ordering::Relaxed));
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                ready.remove(&oldest);
            }
        }
        let last_used = self.uses.fetch_add(1, Ordering::Relaxed).into();
        ready.insert(key, Ready { image, last_used });
    }
}
