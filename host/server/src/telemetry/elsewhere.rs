//! What libraries log.
//!
//! They write whole what a client has sent, as often as it is sent. So their warnings are cut to a length and said now and
//! then, as our own are. What is asked for in more detail (`LANDFALL_LOG=rustls=debug`) is left as it is.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use landfall_domain::clock::{Clock, SystemClock};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::troubles::Trouble;

/// Says it in our words.
pub(super) struct Elsewhere(Trouble);

impl Default for Elsewhere {
    /// By the machine's clock: the log begins before there is a server that has one.
    fn default() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Self(Trouble::new(&clock))
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

/// The text of an event, up to a length.
#[derive(Default)]
struct Cut(String);

impl Visit for Cut {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // It ends with an error once it is long enough.
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
