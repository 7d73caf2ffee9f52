//! A running server: the parts put together, from the data folder to the sockets.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admin_api;
use crate::clock::Ambient;
use crate::config::{Config, ConfigError};
use crate::device_api;
use crate::folder::DataFolder;
use crate::listener::{Counts, Listener};
use crate::policy::trust::{Trust, TrustError};
use crate::policy::{PolicyHost, PolicySettings, StartError};
use crate::service::Service;
use crate::store::StoreError;
use crate::store::redb::RedbStore;
use crate::tls::{self, Identity, TlsError};

/// A server that serves until it is stopped.
pub struct Server {
    /// What requests work with.
    pub service: Arc<Service>,
    /// Where devices are served.
    pub device_addr: SocketAddr,
    /// Where management is.
    pub management_addr: SocketAddr,
    /// What the devices' listener has seen.
    pub device_counts: Arc<Counts>,
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is no data folder at the place.
    #[error("{0} is no data folder; make one with: landfall init --data {0} --hostname NAME")]
    NoFolder(String),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database is lost.
    #[error(
        "{0} is missing or empty, although this folder has been initialised: restore it from a backup; a new one would \
         know no device and no operator"
    )]
    NoDatabase(String),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The key of operation ids.
    #[error("{path} cannot be used: {reason}; restore it, or write 32 random bytes there")]
    Key {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The policy host.
    #[error(transparent)]
    Policy(#[from] StartError),
    /// The keys that plugins are signed with.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A port.
    #[error("cannot listen on {address} for {whom}: {source}; {setting} in landfall.toml chooses another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Who would call there.
        whom: &'static str,
        /// The setting.
        setting: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

impl Server {
    /// Opens a data folder and serves it.
    pub async fn start(folder: &DataFolder, config: Config, ambient: Ambient) -> Result<Self, ServeError> {
        let identity = Identity::load(&folder.server_certificate(), &folder.server_key())?;
        let operations_key = operations_key(folder)?;
        there(&folder.database())?;
        let store = Arc::new(RedbStore::open(&folder.database(), config.store_settings())?);
        if let Err(error) = store.has_room() {
            tracing::error!(%error, "devices are told to come back later");
        }
        // Ports are taken before anything costly is done, so that a second server says so at once.
        let devices = listen(config.server.device_listen, "devices", "server.device_listen").await?;
        let management = listen(config.server.management_listen, "management", "server.management_listen").await?;
        let trust = Trust::load(folder.root(), &config.plugins.trusted_keys, config.plugins.require_signature)?;
        let settings = PolicySettings { trust, ..config.policy_settings(folder.cache()) };
        let policies = Arc::new(PolicyHost::start(settings)?);
        let limits = config.limits.listener.clone();
        let service = Service::start(config, ambient, store, policies, &operations_key).await?;
        service.warm_up().await;
        service.check_grants();

        let (stop, stopping) = watch::channel(false);
        let (device_addr, management_addr) = (address(&devices)?, address(&management)?);
        let device_router = device_api::http::router(Arc::clone(&service));
        let management_router = admin_api::router(Arc::clone(&service));
        let devices = Listener::new(devices, tls::for_devices(identity.clone())?, device_router, limits.clone());
        let management = Listener::new(management, tls::for_management(identity)?, management_router, limits);
        let device_counts = devices.counts();
        service.metrics.listen(vec![("devices", devices.counts()), ("management", management.counts())]);
        let listeners = vec![tokio::spawn(devices.serve(stopping.clone())), tokio::spawn(management.serve(stopping))];
        Ok(Self { service, device_addr, management_addr, device_counts, stop, listeners })
    }

    /// Stops gracefully: no new connections, requests under way are finished, the store is closed.
    pub async fn stop(self) -> Result<(), StoreError> {
        self.stop.send_replace(true);
        for listener in self.listeners {
            if let Err(error) = listener.await {
                tracing::error!(%error, "a listener ended badly");
            }
        }
        self.service.finish().await;
        self.service.policies.close();
        self.service.store.close().await
    }
}

/// Only `init` makes a database. One that is lost would otherwise be an empty one, which knows no device and no operator.
fn there(database: &Path) -> Result<(), ServeError> {
    match std::fs::metadata(database) {
        Ok(file) if file.len() > 0 => Ok(()),
        Ok(_) | Err(_) => Err(ServeError::NoDatabase(database.display().to_string())),
    }
}

/// 32 bytes that `init` has drawn.
fn operations_key(folder: &DataFolder) -> Result<[u8; 32], ServeError> {
    let path = folder.operations_key();
    let unusable = |reason: String| ServeError::Key { path: path.display().to_string(), reason };
    let bytes = std::fs::read(&path).map_err(|error| unusable(error.to_string()))?;
    bytes.try_into().map_err(|_| unusable("it must have 32 bytes".to_owned()))
}

async fn listen(address: SocketAddr, whom: &'static str, setting: &'static str) -> Result<TcpListener, ServeError> {
    let failed = |source| ServeError::Listen { address, whom, setting, source };
    TcpListener::bind(address).await.map_err(failed)
}

fn address(socket: &TcpListener) -> Result<SocketAddr, ServeError> {
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    let failed = |source| ServeError::Listen { address: unknown, whom: "a socket", setting: "server", source };
    socket.local_addr().map_err(failed)
}
