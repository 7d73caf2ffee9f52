//! The log: lines for people on a terminal, JSON for whoever collects it. Always to standard error, so that standard
//! output belongs to what a command prints.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts logging. `LANDFALL_LOG` chooses what is logged, in the syntax of `tracing`'s filters, such as
/// `info,landfall::provisioning=debug`; without it, `default` does. A second start in one process changes nothing.
pub fn start(default: &str) {
    let filter = std::env::var("LANDFALL_LOG").ok().and_then(|text| text.parse().ok());
    let filter: EnvFilter = filter.unwrap_or_else(|| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let started = if std::io::stderr().is_terminal() { builder.try_init() } else { builder.json().try_init() };
    // Somebody who embeds Landfall has a subscriber already, and keeps it.
    drop(started);
}
