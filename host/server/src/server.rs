//! A running server: the parts put together, from the data folder to the sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use landfall_attestation::x509::make::expires_at;
use landfall_domain::clock::{Ambient, Timestamp};
use landfall_domain::names::IdScope;
use landfall_policy::trust::{Trust, TrustError};
use landfall_policy::{PolicyHost, PolicySettings, StartError};
use landfall_store::redb::RedbStore;
use landfall_store::{Store as _, StoreError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::certificate_issuing::{CertificateIssuing, IssuerError};
use crate::config::{Config, ConfigError};
use crate::device_api::http::heads::Heads;
use crate::directory::{Directories, DirectoryError};
use crate::folder::DataFolder;
use crate::listener::{Counts, Http, Listener};
use crate::provisioning::Provisioning;
use crate::reseal::has_sealed;
use crate::service::issuer_keys::keep_renewing;
use crate::service::revocation_refresh::keep_fetching;
use crate::service::seen::{Seen, keep_seeing};
use crate::service::{Keys, Service};
use crate::tls::current::Current;
use crate::tls::{self, TlsError, renewal};
use crate::{admin_api, device_api, sealing_key as sealing};

/// A server that serves until it is stopped.
pub struct Server {
    /// What requests of management work with.
    pub service: Arc<Service>,
    /// What requests of devices work with.
    pub provisioning: Arc<Provisioning>,
    /// Where devices are served.
    pub device_addr: SocketAddr,
    /// Where management is.
    pub management_addr: SocketAddr,
    /// What the devices' listener has seen.
    pub device_counts: Arc<Counts>,
    identity: Arc<Current>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    ended: Arc<watch::Sender<Option<&'static str>>>,
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
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The key that seals secrets.
    #[error(transparent)]
    Sealing(#[from] sealing::SealingKeyError),
    /// Some secrets are sealed with the next key already.
    #[error("a rotation of the sealing key was interrupted; finish it: landfall secrets rotate --data {0}")]
    HalfRotated(String),
    /// The certificate is for other names than devices call.
    #[error(
        "the server's certificate (tls/server.pem) is not for server.hostname {hostname:?}: {reason}; set the name that \
         devices call in landfall.toml, or make a certificate for this one: landfall certificate renew"
    )]
    Hostname {
        /// The name.
        hostname: String,
        /// What the certificate is for.
        reason: String,
    },
    /// The tenant that landfall.toml names is not in the database.
    #[error(
        "server.scope in landfall.toml is {scope}, and the database has {known}; name one of them, or make the new one \
         (landfall scope create) before it is named"
    )]
    Scope {
        /// The tenant.
        scope: IdScope,
        /// Those that are there.
        known: String,
    },
    /// The key of operation ids.
    #[error("{path} cannot be used: {reason}; restore it, or write 32 random bytes there")]
    Key {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// A directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// An issuer of certificates.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
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
        let identity = Current::new(renewal::load(folder)?)?;
        let hostname = &config.server.hostname;
        identity.is_for(hostname).map_err(|reason| ServeError::Hostname { hostname: hostname.clone(), reason })?;
        let operations_key = operations_key(folder)?;
        let directories = Directories::load(&config.directory, &config.server.scope, folder.root())?;
        let certificate_issuing =
            CertificateIssuing::load(&config.issuing, &config.server.scope, folder.root(), &ambient)?;
        let sealing = sealing::load(folder)?;
        if folder.next_sealing_key().exists() {
            return Err(ServeError::HalfRotated(folder.root().display().to_string()));
        }
        let store = Arc::new(RedbStore::open(&folder.database(), config.store_settings())?);
        if let Err(error) = store.has_room() {
            tracing::error!(%error, "devices are told to come back later");
        }
        // Before anything is written: each write counts.
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
            // A new one would seal what comes, and the old one, once it is back, would not open that.
            None if has_sealed(&*store).await? => {
                return Err(sealing::SealingKeyError::Gone { path: folder.sealing_key() }.into());
            }
            None => sealing::make(folder, &ambient)?,
        };
        // Ports are taken before anything costly is done, so that a second server says so at once.
        let devices = listen(config.server.device_listen, "devices", "server.device_listen").await?;
        let management = listen(config.server.management_listen, "management", "server.management_listen").await?;
        let trust = Trust::load(folder.root(), &config.plugins.trusted_keys, config.plugins.require_signature)?;
        let settings = PolicySettings { trust, ..config.policy_settings(folder.cache()) };
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
        // Devices whose policies come with Landfall hardly wait for a compiler, with a cold cache too. Images are made behind
        // that, and those that devices ask for first of all: there may be many settings, and the server is not to wait.
        if tokio::time::timeout(LONGEST_LOADING, service.load_shipped()).await.is_err() {
            tracing::warn!("the policies that come with Landfall are not compiled yet; devices that need them wait");
        }
        service.check_grants();
        for scope in service.catalogue().now().scopes() {
            service.warn_of_mixed_manufacturers(&scope.scope).await;
        }

        let (stop, stopping) = watch::channel(false);
        let (device_addr, management_addr) = (address(&devices)?, address(&management)?);
        let device_router = device_api::http::router(Arc::clone(&provisioning));
        let management_router = admin_api::router(Arc::clone(&provisioning));
        let device_http = Http::new(device_router).with_bad_heads(Arc::new(Heads::new(Arc::clone(&provisioning))));
        let management_http = Http::new(management_router).with_long_requests(LONGEST_IMPORT);
        let devices = Listener::new(devices, tls::for_devices(&identity)?, device_http, limits.clone());
        let management = Listener::new(management, tls::for_management(&identity)?, management_http, limits);
        let device_counts = devices.counts();
        service.counters().listen(vec![("devices", devices.counts()), ("management", management.counts())]);
        let (lists, issuers, seeing) = (Arc::clone(&service), Arc::clone(&service), Arc::clone(&service));
        let reading = Arc::clone(&service);
        let ended = Arc::new(watch::Sender::new(None));
        let life =
            |what| Life { what, stopping: stopping.clone(), ended: Arc::clone(&ended), pause: BEGUN_AGAIN_AFTER };
        let images = life("the making of policies' images");
        let warm_up = warm_up_behind(Arc::clone(&service), stopping.clone());
        let tasks = vec![
            tokio::spawn(life("the devices' listener").run_to_the_end(devices.serve(stopping.clone()))),
            tokio::spawn(life("the management listener").run_to_the_end(management.serve(stopping.clone()))),
            tokio::spawn(
                life("the fetching of revocation lists")
                    .again_and_again(move |stopping| keep_fetching(Arc::clone(&lists), stopping)),
            ),
            tokio::spawn(
                life("the renewal of issuers' keys")
                    .again_and_again(move |stopping| keep_renewing(Arc::clone(&issuers), stopping)),
            ),
            tokio::spawn(
                life("the keeping of what was seen")
                    .again_and_again(move |stopping| keep_seeing(Arc::clone(&seeing), stopping)),
            ),
            tokio::spawn(async move {
                images.once(warm_up).await;
            }),
            tokio::spawn(life("the reading of changes").again_and_again(move |stopping| {
                let reading = Arc::clone(&reading);
                async move { reading.catalogue().keep_reading(stopping).await }
            })),
        ];
        warn_of_dates(&identity, service.ambient().now(), service.config().clock_skew());
        warn_of_authority(folder, service.ambient().now());
        Ok(Self { identity, service, provisioning, device_addr, management_addr, device_counts, stop, tasks, ended })
    }

    /// Shows the certificate that is in the data folder now.
    ///
    /// # Errors
    ///
    /// When it cannot be used; the one before stays.
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
        warn_of_dates(&self.identity, now, skew);
        Ok(())
    }

    /// Comes when something has ended without which the server is none, and says what. The log says why.
    pub async fn broken(&self) -> &'static str {
        let mut ended = self.ended.subscribe();
        // The sender lives as long as the server.
        let what = ended.wait_for(Option::is_some).await.map(|what| *what);
        match what {
            Ok(Some(what)) => what,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Stops gracefully: no new connections, requests under way are finished, the store is closed.
    pub async fn stop(self) -> Result<(), StoreError> {
        self.stop.send_replace(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task ended badly");
            }
        }
        self.provisioning.finish().await;
        self.service.policies().close();
        self.service.note_seen();
        self.service.store().close().await
    }
}

/// The life of a task that is there for as long as the server is.
struct Life {
    what: &'static str,
    stopping: watch::Receiver<bool>,
    ended: Arc<watch::Sender<Option<&'static str>>>,
    /// How long it is left alone before it is begun again.
    pause: Duration,
}

impl Life {
    /// Of one without which the server is none: when it ends before the server is told to stop, so does the server.
    async fn run_to_the_end(self, task: impl Future<Output = ()> + Send + 'static) {
        let done = tokio::spawn(task).await;
        if !*self.stopping.borrow() {
            let why = done.err().map(|error| error.to_string());
            tracing::error!(why, "{} has ended, and nothing is served without it", self.what);
            self.ended.send_replace(Some(self.what));
        }
    }

    /// Of one that is done some time, and is not done again: what it has not done is done when it is needed. Answers
    /// whether it was done; the log says at once if not.
    async fn once(self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        let done = tokio::spawn(task).await;
        if let Err(why) = &done {
            tracing::error!(%why, "{} has ended early, and is not begun again", self.what);
        }
        done.is_ok()
    }

    /// Of one that can be begun again after a while.
    async fn again_and_again<T>(mut self, task: impl Fn(watch::Receiver<bool>) -> T)
    where
        T: Future<Output = ()> + Send + 'static,
    {
        while !*self.stopping.borrow() {
            let done = tokio::spawn(task(self.stopping.clone())).await;
            if *self.stopping.borrow() {
                return;
            }
            let why = done.err().map(|error| error.to_string());
            tracing::error!(why, "{} has ended, and is begun again", self.what);
            tokio::select! {
                () = tokio::time::sleep(self.pause) => {}
                _ = self.stopping.wait_for(|stop| *stop) => {}
            }
        }
    }
}

/// Devices that cannot trust the server any more cannot be told anything. A server that starts serves all the same: there
/// are devices that know no time, and it must be reached for what an operator does next.
fn warn_of_dates(identity: &Current, now: Timestamp, skew: Duration) {
    if let Err(untimely) = identity.is_good_at(now, skew) {
        let refuse = "EVERY CLIENT THAT LOOKS AT ITS DATES REFUSES THE SERVER";
        tracing::error!("the server's certificate {untimely}: {refuse}; landfall certificate renew, then SIGHUP");
        return;
    }
    let expires = identity.expires_at();
    let days = expires.since(now).as_secs() / 86_400;
    if days < EXPIRY_DAYS {
        tracing::warn!(%expires, days, "the server's certificate expires: landfall certificate renew, then SIGHUP");
    }
}

/// A client that looks at the end of the CA's certificate refuses the server after it, however new the server's own is.
fn warn_of_authority(folder: &DataFolder, now: Timestamp) {
    let path = folder.ca_certificate();
    let Some(expires) = std::fs::read_to_string(&path).ok().and_then(|pem| expires_at(&pem)) else { return };
    if expires.since(now).as_secs() / 86_400 < EXPIRY_DAYS {
        let path = path.display();
        tracing::warn!(%expires, "the certificate of the server's CA ({path}) expires; `landfall certificate show` tells");
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

/// From so many days on the end of the certificate is warned of.
const EXPIRY_DAYS: u64 = 30;

/// How long a task that has ended is left alone.
const BEGUN_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How long the start waits for the policies that come with Landfall to be compiled.
const LONGEST_LOADING: Duration = Duration::from_secs(10);

/// Imports of a hundred million rows take hours; this is no limit on them but on what would never end.
const LONGEST_IMPORT: Duration = Duration::from_secs(24 * 3600);

/// Makes the images of all groups while devices are served, until the server stops.
async fn warm_up_behind(service: Arc<Service>, mut stopping: watch::Receiver<bool>) {
    tokio::select! {
        () = service.warm_up() => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life() -> (watch::Sender<bool>, Life) {
        let (stop, stopping) = watch::channel(false);
        (stop, Life { what: "it", stopping, ended: Arc::new(watch::Sender::new(None)), pause: Duration::ZERO })
    }

    #[tokio::test]
    async fn what_the_server_cannot_do_without_ends_it_and_a_stop_is_no_such_end() {
        let (_stop, broken) = life();
        let ended = Arc::clone(&broken.ended);
        broken.run_to_the_end(panics()).await;
        assert_eq!(*ended.borrow(), Some("it"));
        let (stop, stopped) = life();
        let ended = Arc::clone(&stopped.ended);
        stop.send_replace(true);
        stopped.run_to_the_end(async {}).await;
        assert_eq!(*ended.borrow(), None);
    }

    #[tokio::test]
    async fn what_is_done_once_is_known_to_have_ended_early_and_ends_nothing_else() {
        let (_stop, broken) = life();
        let ended = Arc::clone(&broken.ended);
        assert!(!broken.once(panics()).await);
        assert_eq!(*ended.borrow(), None);
        let (_stop, good) = life();
        assert!(good.once(async {}).await);
    }

    async fn panics() {
        panic!("a panic of this test");
    }

    #[tokio::test]
    async fn what_can_be_begun_again_is() {
        let (stop, life) = life();
        let times = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&times);
        let begun = tokio::spawn(life.again_and_again(move |_| {
            let time = counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let stop = stop.clone();
            async move {
                assert!(time > 1, "a panic of this test");
                stop.send_replace(true);
            }
        }));
        begun.await.unwrap();
        assert_eq!(times.load(std::sync::atomic::Ordering::Relaxed), 3);
    }
}
