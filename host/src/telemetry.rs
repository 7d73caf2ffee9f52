//! The log: lines for people on a terminal, JSON for whoever collects it. Always to standard error, so that standard
//! output belongs to what a command prints.
//!
//! Nobody waits for the log. Its lines are written by a thread of their own (`lines`); what cannot be written, because
//! its reader has stalled or gone or the disk is full, is counted and lost, and everything else goes on.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt};

mod elsewhere;
mod lines;

use elsewhere::Elsewhere;
use lines::Lines;

/// Starts logging. `LANDFALL_LOG` chooses what is logged, in the syntax of `tracing`'s filters, such as
/// `info,landfall::provisioning=debug`; without it, `default` does. A second start in one process changes nothing.
pub fn start(default: &str) {
    let filter = std::env::var("LANDFALL_LOG").ok().and_then(|text| text.parse().ok());
    let filter: EnvFilter = filter.unwrap_or_else(|| EnvFilter::new(default));
    let Some(lines) = Lines::of_this_process() else { return };
    let terminal = std::io::stderr().is_terminal();
    let layer = fmt::layer().with_ansi(terminal).with_writer(lines).log_internal_errors(false).with_target(false);
    let registry = Registry::default().with(filter).with(Elsewhere::default());
    let started = if terminal { registry.with(layer).try_init() } else { registry.with(layer.json()).try_init() };
    // Somebody who embeds Landfall has a subscriber already, and keeps it.
    if started.is_ok() {
        tell_of_panics();
    }
}

/// Waits until the lines that are there have been written, for a moment only: a process ends whether its log is read or not.
pub fn finish() {
    if let Some(lines) = Lines::started() {
        lines.wait(FAREWELL);
    }
}

/// Says why a command failed, to whoever reads standard error; its exit code says it to everybody else. A process that
/// logs waits for its reader no longer than for that of its log.
pub fn complain(text: &str) {
    match Lines::started() {
        Some(lines) => {
            lines.take(format!("{text}\n").as_bytes());
            lines.wait(FAREWELL);
        }
        None => drop(writeln!(std::io::stderr().lock(), "{text}")),
    }
}

/// The lines that could not be written since the process began.
pub fn lost() -> u64 {
    Lines::started().map_or(0, |lines| lines.lost())
}

/// What panics is told in the log as well, and so does not wait for whoever reads standard error.
fn tell_of_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let at = panic.location().map(ToString::to_string);
        tracing::error!(at, thread = std::thread::current().name(), "a panic: {message}");
    }));
}

/// How long the end of a process waits for its log.
const FAREWELL: Duration = Duration::from_secs(1);
