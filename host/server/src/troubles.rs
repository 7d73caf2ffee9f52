//! Logs problems that anybody can cause, without flooding the log.
//!
//! A connection that ends before its first request leaves no refusal in the ledger, so the reason must be logged.
//! Anybody can cause as many of these as they can send packets. So each kind is logged a few times a minute, with the
//! number of those that were not logged.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use landfall_domain::clock::Clock;

/// Limits how often one kind of trouble is logged.
#[derive(Debug)]
pub(crate) struct LogLimiter {
    said: Mutex<Said>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Said {
    minute: Option<Instant>,
    times: u32,
    unsaid: u64,
}

impl LogLimiter {
    /// A limit of which nothing is used yet.
    pub(crate) fn new(clock: &Arc<dyn Clock>) -> Self {
        Self { said: Mutex::default(), clock: Arc::clone(clock) }
    }

    /// Whether it may be logged now. If so, also how many before it were not logged.
    pub(crate) fn may_be_said(&self) -> Option<u64> {
        let now = self.clock.instant();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.minute.is_none_or(|minute| now.saturating_duration_since(minute) >= MINUTE) {
            (said.minute, said.times) = (Some(now), 0);
        }
        if said.times >= TIMES_A_MINUTE {
            said.unsaid = said.unsaid.saturating_add(1);
            return None;
        }
        said.times += 1;
        Some(std::mem::take(&mut said.unsaid))
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const TIMES_A_MINUTE: u32 = 10;

#[cfg(test)]
mod tests {
    use landfall_domain::clock::ManualClock;

    use super::*;

    #[test]
    fn a_flood_is_said_ten_times_and_then_how_long_it_was() {
        let clock = Arc::new(ManualClock::stopped_now());
        let trouble = LogLimiter::new(&(Arc::clone(&clock) as _));
        let said: Vec<_> = (0..500).filter_map(|_| trouble.may_be_said()).collect();
        assert_eq!(said, [0; 10]);
        clock.advance(MINUTE);
        assert_eq!(trouble.may_be_said(), Some(490));
        assert_eq!(trouble.may_be_said(), Some(0));
    }
}
