//! Puts a running server together, from the data folder to the sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use landfall_attestation::x509::make::expires_at;
use landfall_domain::clock::{Ambient, Timestamp};
use landfall_domain::names::IdScope;
use landfall_policy::trust::{Trust, TrustError};
use landfall_policy::{PolicyHost, PolicySettings, StartError};
use landfall_store::redb::{RedbStore, StoreSettings};
use landfall_store::{StoreError, Upkeep as _};
use tokio::net::TcpListener;

use crate::certificate_issuing::{CertificateIssuing, IssuerError};
use crate::config::{Config, ConfigError};
use crate::device_api::http::heads::Heads;
use crate::directory::{Directories, DirectoryError};
use crate::folder::DataFolder;
use crate::listener::{Counts, Http, Listener};
use crate::provisioning::Provisioning;
use crate::reseal::has_sealed;
use crate::service::seen::Seen;
use crate::service::{Keys, Service};
use crate::tasks::{Plan, Ran};
use crate::tls::current::Current;
use crate::tls::{self, TlsError, renewal};
use crate::{admin_api, device_api, sealing_key as sealing};

/// A server that serves until it is stopped.
pub struct Server {
    /// The parts that management requests work with.
    pub service: Arc<Service>,
    /// The parts that devices' requests work with.
    pub provisioning: Arc<Provisioning>,
    /// The address of the devices' listener.
    pub device_addr: SocketAddr,
    /// The address of the management API.
    pub management_addr: SocketAddr,
    /// The counts of the devices' listener.
    pub device_counts: Arc<Counts>,
    identity: Arc<Current>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ServeError {
    /// There is no data folder at the path.
    #[error("{0} is no data folder; make one with: landfall init --data {0} --hostname NAME")]
    NoFolder(String),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The sealing key cannot be used.
    #[error(transparent)]
    Sealing(#[from] sealing::SealingKeyError),
    /// A rotation was interrupted: some secrets are sealed with the next key already.
    #[error("a rotation of the sealing key was interrupted; finish it: landfall secrets rotate --data {0}")]
    HalfRotated(String),
    /// The certificate is not for the host name that devices call.
    #[error(
        "the server's certificate (tls/server.pem) is not for server.hostname {hostname:?}: {reason}; set the name that \
         devices call in landfall.toml, or make a certificate for this one: landfall certificate renew"
    )]
    Hostname {
        hostname: String,
        /// The names that the certificate is for.
        reason: String,
    },
    /// The id scope that landfall.toml names is not in the database.
    #[error(
        "server.scope in landfall.toml is {scope}, and the database has {known}; name one of them, or make the new one \
         (landfall scope create) before it is named"
    )]
    Scope {
        scope: IdScope,
        /// The id scopes that are in the database.
        known: String,
    },
    /// The key of operation ids cannot be used.
    #[error("{path} cannot be used: {reason}; restore it, or write 32 random bytes there")]
    Key { path: String, reason: String },
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// An issuer of certificates cannot be used.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The policy host cannot start.
    #[error(transparent)]
    Policy(#[from] StartError),
    /// A key for the signatures of plugins cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("cannot listen on {address} for {whom}: {source}; {setting} in landfall.toml chooses another address")]
    Listen {
        address: SocketAddr,
        /// Who would call at this address.
        whom: &'static str,
        setting: &'static str,
        source: std::io::Error,
    },
}

impl Server {
    /// Opens a data folder and serves it.
    pub async fn start(folder: &DataFolder, config: Config, ambient: Ambient) -> Result<Self, ServeError> {
        let identity = Current::new(renewal::load(folder)?)?;
        let hostname = &config.server.hostname;
        identity.is_for(hostname).map_err(|reason| ServeError::Hostname { hostname: hostname.clone(), reason })?;
        let operations_key = operations_key(folder)?;
        let directories = Directories::load(&config.directory, &config.server.scope, folder.root(), &ambient.clock)?;
        let certificate_issuing =
            CertificateIssuing::load(&config.issuing, &config.server.scope, folder.root(), &ambient)?;
        let sealing = sealing::load(folder)?;
        if folder.next_sealing_key().exists() {
            return Err(ServeError::HalfRotated(folder.root().display().to_string()));
        }
        let store_settings = StoreSettings { clock: Arc::clone(&ambient.clock), ..config.store_settings() };
        let store = Arc::new(RedbStore::open(&folder.database(), store_settings)?);
        if let Err(error) = store.has_room() {
            tracing::error!(%error, "devices are told to come back later");
        }
        // This is read before anything is written, because each write counts.
        let sequence = store.sequence();
        if let Some(at) = store.copied_at().await? {
            tracing::warn!(
                "this database is a copy that was made at {at}, and it is served for the first time. What was changed \
                 after that is not in it: tokens that were revoked since are good again, and devices that were quarantined, \
                 retired or revoked are admitted"
            );
        }
        folder.forget_copies();
        let seen = Seen::open(&folder.seen(), sequence, ambient.now());
        let sealing = match sealing {
            Some(key) => key,
            // A new key would seal new secrets. When the missing key is restored, it could not open those.
            None if has_sealed(&*store).await? => {
                return Err(sealing::SealingKeyError::Gone { path: folder.sealing_key() }.into());
            }
            None => sealing::make(folder, &ambient)?,
        };
        // The ports are taken before any slow work, so that a second server fails at once.
        let devices = listen(config.server.device_listen, "devices", "server.device_listen").await?;
        let management = listen(config.server.management_listen, "management", "server.management_listen").await?;
        let trust = Trust::load(folder.root(), &config.plugins.trusted_keys, config.plugins.require_signature)?;
        let settings =
            PolicySettings { trust, clock: Arc::clone(&ambient.clock), ..config.policy_settings(folder.cache()) };
        let policies = Arc::new(PolicyHost::start(settings)?);
        let limits = config.limits.listener.clone();
        let keys = Keys { seen, folder: folder.clone(), sealing, certificate_issuing, directories };
        let service = Service::start(config, ambient, store, policies, keys).await?;
        let provisioning = Provisioning::start(Arc::clone(&service), &operations_key).await?;
        let scope = &service.config().server.scope;
        if service.scope(scope).is_none() {
            let known = service.catalogue().now().scopes().map(|scope| scope.scope.to_string()).collect::<Vec<_>>();
            return Err(ServeError::Scope { scope: scope.clone(), known: known.join(", ") });
        }
        service.counters().certificate(Arc::clone(&identity));
        // The built-in policies are loaded first, so that devices which need them hardly wait for a compiler, even with
        // an empty cache. Images are made later, those that devices ask for first. There may be many settings, and the
        // start must not wait for all of them.
        if tokio::time::timeout(LONGEST_LOADING, service.load_shipped()).await.is_err() {
            tracing::warn!("the policies that come with Landfall are not compiled yet; devices that need them wait");
        }
        service.check_grants();
        for scope in service.catalogue().now().scopes() {
            service.warn_of_mixed_manufacturers(&scope.scope).await;
        }

        let (device_addr, management_addr) = (address(&devices)?, address(&management)?);
        let device_router = device_api::http::router(Arc::clone(&provisioning));
        let management_router = admin_api::router(Arc::clone(&provisioning));
        let device_http = Http::new(device_router).with_bad_heads(Arc::new(Heads::new(Arc::clone(&provisioning))));
        let management_http = Http::new(management_router).with_long_requests(LONGEST_IMPORT);
        let clock = || Arc::clone(&service.ambient().clock);
        let devices = Listener::new(devices, tls::for_devices(&identity)?, device_http, limits.clone(), clock());
        let management = Listener::new(management, tls::for_management(&identity)?, management_http, limits, clock());
        let device_counts = devices.counts();
        service.counters().listen(vec![("devices", devices.counts()), ("management", management.counts())]);
        service.run_by_itself();
        let (shown, place, runs) = (Arc::clone(&identity), folder.clone(), Arc::clone(&service));
        service.tasks().register(Plan::every(CERTIFICATE, CERTIFICATE_EVERY), move || {
            std::future::ready(look_at_certificates(&shown, &place, &runs))
        });
        let patience = Duration::from_secs(service.config().limits.listener.drain_seconds).saturating_add(CUTTING);
        service.tasks().serve("management-listener", patience, |stopping| management.serve(stopping));
        service.tasks().serve("device-listener", patience, |stopping| devices.serve(stopping));
        Ok(Self { identity, service, provisioning, device_addr, management_addr, device_counts })
    }

    /// Shows the certificate that is now in the data folder.
    ///
    /// # Errors
    ///
    /// If it cannot be used. The present one then stays.
    pub fn reload_certificate(&self, folder: &DataFolder) -> Result<(), ServeError> {
        let done = self.reload(folder);
        self.service.counters().certificate_read(if done.is_ok() { "taken" } else { "refused" });
        done
    }

    fn reload(&self, folder: &DataFolder) -> Result<(), ServeError> {
        let renewed = renewal::load(folder)?;
        let hostname = &self.service.config().server.hostname;
        let trial = Current::new(renewed.clone())?;
        trial.is_for(hostname).map_err(|reason| ServeError::Hostname { hostname: hostname.clone(), reason })?;
        let (now, skew) = (self.service.ambient().now(), self.service.config().clock_skew());
        trial.is_good_at(now, skew).map_err(TlsError::Dates)?;
        self.identity.replace(renewed)?;
        tracing::info!(expires = %self.identity.expires_at(), "the server's certificate was read again");
        self.service.tasks().activate(CERTIFICATE);
        Ok(())
    }

    /// Resolves when a task has ended without which the server cannot work. Answers its name; the log says why it
    /// ended.
    pub async fn broken(&self) -> &'static str {
        self.service.tasks().broken().await
    }

    /// Stops gracefully: new connections are refused, requests under way are finished, the store is closed.
    pub async fn stop(self) -> Result<(), StoreError> {
        self.service.tasks().stop().await;
        self.provisioning.finish().await;
        self.service.policies().close();
        self.service.note_seen();
        self.service.store().close().await
    }
}

impl Drop for Server {
    /// A server that was dropped without `stop` ends as well, when its tasks next run.
    fn drop(&mut self) {
        self.service.tasks().detach();
    }
}

/// Checks that clients accept the server's certificate, and for how long: one run of the task `server-certificate`.
/// Devices that no longer trust the server cannot be told anything. The server starts even with a certificate that is
/// not valid: some devices do not check the time, and the operator must be able to reach the server to replace the
/// certificate.
fn look_at_certificates(identity: &Current, folder: &DataFolder, service: &Service) -> Ran {
    let (now, skew) = (service.ambient().now(), service.config().clock_skew());
    warn_of_authority(folder, now);
    identity.is_good_at(now, skew).map_err(|untimely| {
        let refuse = "EVERY CLIENT THAT LOOKS AT ITS DATES REFUSES THE SERVER";
        let text = format!("the server's certificate {untimely}: {refuse}; landfall certificate renew, then SIGHUP");
        tracing::error!("{text}");
        text
    })?;
    let expires = identity.expires_at();
    let days = expires.since(now).as_secs() / 86_400;
    if days < EXPIRY_DAYS {
        tracing::warn!(%expires, days, "the server's certificate expires: landfall certificate renew, then SIGHUP");
    }
    Ok(format!("the server's certificate is good for {days} days, until {expires}"))
}

/// Warns that the CA's certificate ends soon. Clients that check it refuse the server after that, even if its own
/// certificate is new.
fn warn_of_authority(folder: &DataFolder, now: Timestamp) {
    let path = folder.ca_certificate();
    let Some(expires) = std::fs::read_to_string(&path).ok().and_then(|pem| expires_at(&pem)) else { return };
    if expires.since(now).as_secs() / 86_400 < EXPIRY_DAYS {
        let path = path.display();
        tracing::warn!(%expires, "the certificate of the server's CA ({path}) expires; `landfall certificate show` tells");
    }
}

/// Reads the 32 random bytes that `init` has written.
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

/// The task that looks at the server's certificate.
const CERTIFICATE: &str = "server-certificate";

/// How often that task runs.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(12 * 3600);

/// The number of days before its end from which a warning about the certificate is logged.
const EXPIRY_DAYS: u64 = 30;

/// The time that a listener has to end, beyond the time that its connections have to drain.
const CUTTING: Duration = Duration::from_secs(5);

/// The longest time that the start waits for the built-in policies to be compiled.
const LONGEST_LOADING: Duration = Duration::from_secs(10);

/// The longest time of an import. Imports of a hundred million rows take hours; this limit is for imports that would
/// never end.
const LONGEST_IMPORT: Duration = Duration::from_secs(24 * 3600);
