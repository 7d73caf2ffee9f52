//! `landfall serve`.

use std::sync::Arc;

use clap::Args;
#[cfg(target_os = "linux")]
use landfall_domain::clock::{Ambient, Stopwatch};
use landfall_domain::enrollment::Manufacturing;
use landfall_store::StoreError;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::Common;
use crate::config::{Config, ConfigError};
use crate::server::{ServeError, Server};
use crate::telemetry::{self, LogSettingError};

mod dev;

/// What is served beside what is in the data folder.
#[derive(Clone, Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    dev: dev::DevArgs,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeCommandError {
    /// The server could not start.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store could not be closed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log's settings in the environment are not valid.
    #[error(transparent)]
    Log(#[from] LogSettingError),
    /// The process cannot receive signals.
    #[error("the system's signals cannot be heard: {0}")]
    Signals(#[from] std::io::Error),
    /// A part without which nothing can be served has ended.
    #[error("{0} has ended, and the server with it; the log says why. Start it again, and report it")]
    Broken(&'static str),
}

/// Serves a data folder until the process is told to stop.
pub(super) async fn run(common: &Common, args: ServeArgs) -> Result<(), ServeCommandError> {
    let folder = &common.folder();
    telemetry::start("info")?;
    let began = Stopwatch::system();
    if folder.config().try_exists().is_ok_and(|there| !there) {
        return Err(ServeError::NoFolder(folder.root().display().to_string()).into());
    }
    let config = super::config_to_serve(folder)?;
    leave_no_core();
    allow_files(&config);
    // The handlers are set before the sockets are open, so that an early signal is not lost.
    let mut stop = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let server = Server::start(folder, config, Ambient::system()).await?;
    warn_of_one_factor(&server);
    if server.service.config().passwords.enabled {
        tracing::warn!(
            "PASSWORDS ARE TAKEN: devices may come in by username and password (passwords.enabled), which is not recommended"
        );
    }
    let ready_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        devices = %server.device_addr, management = %server.management_addr,
        policies = if server.service.policies().pooled() { "pooled" } else { "not pooled" }, ready_ms, "serving"
    );
    let scope = common.scope.clone().unwrap_or_else(|| server.service.config().server.scope.clone());
    let dev = dev::watch(Arc::clone(&server.service), scope, args.dev, common.output());
    let dev = tokio::spawn(dev);
    let broken = loop {
        tokio::select! {
            _ = stop.recv() => {
                tracing::info!("told to stop: finishing what is under way");
                break None;
            }
            _ = interrupt.recv() => {
                tracing::info!("interrupted: finishing what is under way");
                break None;
            }
            what = server.broken() => break Some(what),
            _ = hangup.recv() => {
                if let Err(error) = server.reload_certificate(folder) {
                    tracing::error!(%error, "SIGHUP: the server goes on with the certificate that it has");
                }
            }
        }
    };
    dev.abort();
    server.stop().await?;
    tracing::info!("stopped; nothing is lost");
    broken.map_or(Ok(()), |what| Err(ServeCommandError::Broken(what)))
}

/// Every connection is an open file. The initial limit of a process is often lower than what the system allows on
/// request.
fn allow_files(config: &Config) {
    let needed = u64::try_from(config.limits.listener.connections).unwrap_or(u64::MAX);
    // There are two listeners. Other open files are the database, revocation lists, and calls of policies.
    allow_open_files(needed.saturating_mul(2).saturating_add(FILES_BESIDE_CONNECTIONS));
}

/// Raises the limit of open files to the needed number, as far as it is allowed.
pub(super) fn allow_open_files(needed: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(now) = current.filter(|now| *now < needed) else { return };
    let most = maximum.map_or(needed, |most| most.min(needed));
    if most > now
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum })
    {
        tracing::warn!(%error, now, needed, "the limit of open files cannot be raised");
    }
    if most < needed {
        tracing::warn!(
            most,
            needed,
            "fewer files may be open than the connections need (limits.listener.connections of each listener): raise `ulimit -Hn`, or LimitNOFILE= of the service"
        );
    }
}

/// The number of open files besides connections.
const FILES_BESIDE_CONNECTIONS: u64 = 1_000;

/// Turns core dumps off: they would contain every key in memory.
fn leave_no_core() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "should this process crash, its core may hold keys");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "other processes of this user may read this one's memory");
    }
}

/// Warns that the two-factor rule is turned off: that is never done silently.
fn warn_of_one_factor(server: &Server) {
    for scope in server.service.catalogue().now().scopes() {
        for group in scope.groups().filter(|group| group.terms.manufacturing == Manufacturing::Optional) {
            tracing::warn!(scope = %scope.scope, group = %group.group.id, "ONE FACTOR ONLY: this group demands no manufacturing record");
        }
    }
}
