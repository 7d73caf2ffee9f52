//! What a running Landfall consists of, but for what is remembered of devices, which is [`crate::provisioning`]'s.
//!
//! Each part has methods in the words of what it is for, and keeps its fields to itself.

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
    /// Who makes another revision of a plugin live.
    switching: Shares<(IdScope, PluginName)>,
}

/// What only this machine has: its keys, and what it holds keys to.
pub struct Keys {
    /// How far the database and the clock had come before.
    pub seen: Seen,
    /// The data folder.
    pub folder: DataFolder,
    /// Seals what must not be read in the store.
    pub sealing: SealingKey,
    /// Who issues certificates for devices.
    pub certificate_issuing: CertificateIssuing,
    /// Directories whose accounts devices are.
    pub directories: Directories,
}

impl Service {
    /// Puts the parts together and reads the catalogue.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
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

    /// Every limit and address.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Time and randomness.
    pub fn ambient(&self) -> &Ambient {
        &self.ambient
    }

    /// How far the database and the clock had come before.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The data folder.
    pub fn folder(&self) -> &DataFolder {
        &self.folder
    }

    /// Seals what must not be read in the store.
    pub fn sealing(&self) -> &SealingKey {
        &self.sealing
    }

    /// What must not be lost. Whoever changes what decides, does so with [`LiveCatalogue::change`].
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Runs policies.
    pub fn policies(&self) -> &Arc<PolicyHost> {
        &self.policies
    }

    /// What is run: policies with their settings.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// Those outside on whom it is relied.
    pub fn outside(&self) -> &Outside {
        &self.outside
    }

    /// What decides now, and how it is changed.
    pub fn catalogue(&self) -> &LiveCatalogue {
        &self.catalogue
    }

    /// The breakers and meters of what can be asked.
    pub fn watches(&self) -> &Watches {
        &self.watches
    }

    /// What is counted.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// What runs by itself.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Begins what a service does by itself. It goes on until [`Tasks::stop`].
    pub fn run_by_itself(self: &Arc<Self>) {
        background::register(self);
    }

    /// One tenant, as it is now.
    pub fn scope(&self, scope: &IdScope) -> Option<Arc<ScopeCatalogue>> {
        self.catalogue.scope(scope)
    }

    /// The time by which a token has ended: a clock that was set back makes none good again.
    pub fn latest_time(&self) -> Timestamp {
        self.seen.latest(self.ambient.now())
    }

    /// Keeps how far the database and the clock have come. Writes a file.
    pub fn note_seen(&self) {
        self.seen.note(self.store.sequence(), self.ambient.now());
    }

    /// Sees to it, behind the caller, that what decides is at least as new as what the store said of an id scope.
    pub fn catch_up(self: &Arc<Self>, scope: &IdScope, revision: u64) {
        let (service, scope) = (Arc::clone(self), scope.clone());
        tokio::spawn(async move {
            if let Err(error) = service.catalogue.catch_up(&scope, revision).await {
                tracing::error!(%scope, %error, "a change of what admits devices could not be read; it is tried again");
            }
        });
    }

    /// Counts the devices of a tenant's groups, for policies that ask.
    pub fn group_counts(&self, scope: &IdScope) -> Arc<dyn GroupCounts> {
        Arc::new(StoredCounts {
            store: Arc::clone(&self.store),
            scope: scope.clone(),
            runtime: tokio::runtime::Handle::current(),
        })
    }
}

/// Asks the store from a policy's thread, which is none of the runtime's and so may wait.
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
