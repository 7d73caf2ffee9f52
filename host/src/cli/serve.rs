//! `landfall serve`.

use tokio::signal::unix::{SignalKind, signal};

use super::CliError;
use crate::clock::{self, Ambient};
use crate::config::Config;
use crate::enrollment::Manufacturing;
use crate::folder::DataFolder;
use crate::server::Server;
use crate::telemetry;

/// Serves a data folder until the process is told to stop.
pub(super) async fn run(folder: &DataFolder) -> Result<(), CliError> {
    telemetry::start("info");
    let began = clock::instant();
    let config = Config::of_folder(folder)?;
    // Before the sockets are there: a signal that comes early must not be lost.
    let mut stop = signal(SignalKind::terminate()).map_err(CliError::signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::signals)?;
    let server = Server::start(folder, config, Ambient::system()).await?;
    warn_of_one_factor(&server);
    let ready_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        devices = %server.device_addr, management = %server.management_addr,
        policies = if server.service.policies.pooled() { "pooled" } else { "not pooled" }, ready_ms, "serving"
    );
    tokio::select! {
        _ = stop.recv() => tracing::info!("told to stop: finishing what is under way"),
        _ = interrupt.recv() => tracing::info!("interrupted: finishing what is under way"),
    }
    server.stop().await?;
    tracing::info!("stopped; nothing is lost");
    Ok(())
}

/// The two-factor rule can be turned off, and never quietly.
fn warn_of_one_factor(server: &Server) {
    for scope in server.service.catalogue().scopes() {
        for group in scope.groups().filter(|group| group.terms.manufacturing == Manufacturing::Optional) {
            tracing::warn!(scope = %scope.scope, group = %group.group.id, "ONE FACTOR ONLY: this group demands no manufacturing record");
        }
    }
}
