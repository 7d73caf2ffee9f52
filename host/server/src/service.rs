//! The parts of a running Landfall, except for what is remembered of devices, which belongs to [`crate::provisioning`].
//!
//! Each part has methods for what it does, and keeps its fields private.

use std::sync::Arc;
use std::time::Duration;

use landfall_domain::clock::{Ambient, Timestamp};
use landfall_domain::names::{IdScope, PluginName};
use landfall_domain::secret::sealing::SealingKey;
use landfall_policy::PolicyHost;
use landfall_policy::host_view::GroupCounts;
use landfall_policy::watch::Watches;
use landfall_store::{Store, StoreError};

use self::images::Images;
use self::live_catalogue::LiveCatalogue;
use self::outside::Outside;
use self::seen::Seen;
use crate::catalogue::ScopeCatalogue;
use crate::certificate_issuing::CertificateIssuing;
use crate::config::Config;
use crate::counters::Counters;
use crate::directory::Directories;
use crate::folder::DataFolder;
use crate::identity_providers::IdentityProviders;
use crate::shares::Shares;
use crate::tasks::Tasks;

mod advice;
mod background;
pub mod images;
pub mod issuer_keys;
pub mod live_catalogue;
pub mod outside;
pub mod revocation_refresh;
pub mod seen;
pub mod switch;
pub mod take_over;
mod unread;

#[cfg(test)]
mod tests;

/// The parts that requests work with.
pub struct Service {
    config: Config,
    ambient: Ambient,
    seen: Seen,
    folder: DataFolder,
    sealing: Arc<SealingKey>,
    store: Arc<dyn Store>,
    policies: Arc<PolicyHost>,
    images: Arc<Images>,
    outside: Arc<Outside>,
    catalogue: LiveCatalogue,
    watches: Arc<Watches>,
    counters: Arc<Counters>,
    tasks: Tasks,
    /// Lets one switch of a plugin's revision run at a time.
    switching: Shares<(IdScope, PluginName)>,
}

/// What only this machine has: its keys, its data folder, and the services for which it holds keys.
pub struct Keys {
    /// The newest state of the database and of the clock that was ever seen.
    pub seen: Seen,
    /// The data folder.
    pub folder: DataFolder,
    /// Seals the secrets in the store.
    pub sealing: SealingKey,
    /// The issuers of certificates for devices.
    pub certificate_issuing: CertificateIssuing,
    /// The directories whose accounts are devices.
    pub directories: Directories,
}

impl Service {
    /// Puts the parts together and reads the catalogue.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub async fn start(
        config: Config,
        ambient: Ambient,
        store: Arc<dyn Store>,
        policies: Arc<PolicyHost>,
        keys: Keys,
    ) -> Result<Arc<Self>, StoreError> {
        let Keys { seen, folder, sealing, certificate_issuing, directories } = keys;
        let sealing = Arc::new(sealing);
        let (most, clock) = (config.limits.policy.max_images, Arc::clone(&ambient.clock));
        let images = Arc::new(Images::new(Arc::clone(&policies), Arc::clone(&store), most, clock));
        let watches = Arc::new(Watches::new(config.limits.policy.breaker(), ambient.clone()));
        let fresh = Duration::from_secs(config.limits.device.issuer_keys_hours.saturating_mul(3600));
        let identity_providers = IdentityProviders::new(fresh, Arc::clone(&store), ambient.clone());
        identity_providers.take_up(store.issuer_keys().await?);
        let outside = Arc::new(Outside::new(identity_providers, directories, certificate_issuing));
        let catalogue = LiveCatalogue::start(
            Arc::clone(&store),
            Arc::clone(&sealing),
            Arc::clone(&watches),
            Arc::clone(&images),
            Arc::clone(&outside),
        )
        .await?;
        Ok(Arc::new(Self {
            config,
            tasks: Tasks::new(Arc::clone(&ambient.clock)),
            ambient,
            seen,
            folder,
            sealing,
            store,
            policies,
            images,
            outside,
            catalogue,
            watches,
            counters: Arc::default(),
            switching: Shares::new(1),
        }))
    }

    /// The configuration: every limit and address.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Time and randomness.
    pub fn ambient(&self) -> &Ambient {
        &self.ambient
    }

    /// The newest state of the database and of the clock that was ever seen.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The data folder.
    pub fn folder(&self) -> &DataFolder {
        &self.folder
    }

    /// Seals the secrets in the store.
    pub fn sealing(&self) -> &SealingKey {
        &self.sealing
    }

    /// The store. Changes of what decides must be made with [`LiveCatalogue::change`].
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The policy host, which runs policies.
    pub fn policies(&self) -> &Arc<PolicyHost> {
        &self.policies
    }

    /// The images that decisions run on: policies with their settings.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// The outside services on which admission relies.
    pub fn outside(&self) -> &Outside {
        &self.outside
    }

    /// The live catalogue: what decides now, and how it is changed.
    pub fn catalogue(&self) -> &LiveCatalogue {
        &self.catalogue
    }

    /// The breakers and meters of the policies that can be asked.
    pub fn watches(&self) -> &Watches {
        &self.watches
    }

    /// The counters of this process, for metrics.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// The driver of everything that runs by itself.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Registers the service's tasks. They run until [`Tasks::stop`].
    pub fn run_by_itself(self: &Arc<Self>) {
        background::register(self);
    }

    /// One id scope, as it is now.
    pub fn scope(&self, scope: &IdScope) -> Option<Arc<ScopeCatalogue>> {
        self.catalogue.scope(scope)
    }

    /// The time that decides whether a token has ended. It never goes back, so setting the clock back makes no token
    /// valid again.
    pub fn latest_time(&self) -> Timestamp {
        self.seen.latest(self.ambient.now())
    }

    /// Writes to a file how far the database and the clock have come.
    pub fn note_seen(&self) {
        self.seen.note(self.store.sequence(), self.ambient.now());
    }

    /// Makes sure, in a task of its own, that what decides is at least as new as this revision of an id scope in the
    /// store.
    pub fn catch_up(self: &Arc<Self>, scope: &IdScope, revision: u64) {
        let (service, scope) = (Arc::clone(self), scope.clone());
        tokio::spawn(async move {
            if let Err(error) = service.catalogue.catch_up(&scope, revision).await {
                tracing::error!(%scope, %error, "a change of what admits devices could not be read; it is tried again");
            }
        });
    }

    /// Counts the devices of an id scope's groups, for policies that ask.
    pub fn group_counts(&self, scope: &IdScope) -> Arc<dyn GroupCounts> {
        Arc::new(StoredCounts {
            store: Arc::clone(&self.store),
            scope: scope.clone(),
            runtime: tokio::runtime::Handle::current(),
        })
    }
}

/// Asks the store from a policy's thread. That thread does not belong to the async runtime, so it may block.
struct StoredCounts {
    store: Arc<dyn Store>,
    scope: IdScope,
    runtime: tokio::runtime::Handle,
}

impl GroupCounts for StoredCounts {
    fn group_count(&self, path: &[String]) -> Result<u64, String> {
        self.runtime.block_on(self.store.group_count(&self.scope, path)).map_err(|error| error.to_string())
    }
}
