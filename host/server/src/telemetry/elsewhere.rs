//! Limits what libraries log.
//!
//! Libraries log whole texts that a client has sent, as often as they are sent. So their warnings are shortened and
//! rate-limited, as our own are. Lines that are requested at a more detailed level (`LANDFALL_LOG=rustls=debug`) are
//! left as they are.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use landfall_domain::clock::{Clock, SystemClock};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::troubles::LogLimiter;

/// Logs the warnings of libraries, shortened and rate-limited.
pub(super) struct Elsewhere(LogLimiter);

impl Default for Elsewhere {
    /// Uses the machine's clock: the log starts before there is a server with a clock of its own.
    fn default() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Self(LogLimiter::new(&clock))
    }
}

impl<S: Subscriber> Layer<S> for Elsewhere {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let about = event.metadata();
        if *about.level() > Level::INFO || about.target().starts_with(env!("CARGO_PKG_NAME")) {
            return true;
        }
        if let Some(unsaid) = self.0.may_be_said() {
            let mut text = Cut::default();
            event.record(&mut text);
            let Cut(text) = text;
            if *about.level() == Level::ERROR {
                tracing::error!(unsaid, "a library says: {text}");
            } else {
                tracing::warn!(unsaid, "a library says: {text}");
            }
        }
        false
    }
}

/// The text of an event, cut to a length.
#[derive(Default)]
struct Cut(String);

impl Visit for Cut {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // The writer reports an error when it is full. That is the intended end.
        let _ = match field.name() {
            "message" => write!(self, "{value:?}"),
            name if name.starts_with("log.") => Ok(()),
            name => write!(self, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

impl fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.0.len() >= MOST_BYTES {
                return Err(fmt::Error);
            }
            self.0.push(character);
        }
        Ok(())
    }
}

const MOST_BYTES: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut() {
        let mut cut = Cut::default();
        let _ = write!(cut, "{:?}", "x".repeat(10_000));
        assert_eq!(cut.0.len(), MOST_BYTES);
    }
}
