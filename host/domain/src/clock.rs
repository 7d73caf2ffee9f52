//! The only source of time and of randomness.
//!
//! There are two kinds of time, and one [`Clock`] gives both, so that they cannot disagree in a test:
//!
//! | time | type | for |
//! | --- | --- | --- |
//! | wall-clock time | [`Timestamp`] | comparing with a date that was written somewhere: certificates, tokens, lists, tickets. An operator or NTP may set it, also back |
//! | monotonic time | [`Instant`] | how long ago something happened in this process: windows, back-offs, ages. It never goes back and means nothing after a restart |
//!
//! A long-lived part gets the clock, or an [`Ambient`], when it is created. A function that decides by time gets the
//! moment as an argument. So a test moves a [`ManualClock`] instead of sleeping. Code that must really wait (a timeout
//! of a connection, a pause before another try) uses tokio's timers; but whether something has expired is decided by
//! this clock.
//!
//! `Instant::now`, `SystemTime::now` and `elapsed` of both are forbidden elsewhere by a lint (`clippy.toml`).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::macros::format_description;

/// A moment of wall-clock time: milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From milliseconds since 1970-01-01 UTC.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970-01-01 UTC.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The moment that is later by `span`.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How much time lies between an earlier moment and this one. Zero when `earlier` is in fact later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with seven fractional digits, as DPS writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:7]Z");
        let nanos = i128::from(self.0) * 1_000_000;
        let moment = OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| fmt::Error)?;
        f.write_str(&moment.format(format).map_err(|_| fmt::Error)?)
    }
}

/// Wall-clock and monotonic time.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The wall-clock time now. It may be before one that was read earlier.
    fn now(&self) -> Timestamp;

    /// The monotonic time now. It is never before one that was read earlier.
    fn instant(&self) -> Instant;
}

/// A source of unpredictable bytes.
pub trait Entropy: Send + Sync + 'static {
    /// Fills the buffer. Without randomness nothing can be issued safely, so a source that fails ends the process.
    fn fill(&self, out: &mut [u8]);
}

/// The two inputs of a process that are not data: time and randomness.
#[derive(Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Ambient {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}

impl Ambient {
    /// The machine's clock and the cryptographic library's generator.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) }
    }

    /// The same inputs with another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The wall-clock time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The monotonic time now.
    pub fn instant(&self) -> Instant {
        self.clock.instant()
    }

    /// `N` random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.entropy.fill(&mut out);
        out
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::default().plus(since_epoch)
    }

    #[allow(clippy::disallowed_methods, reason = "this is the one place")]
    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// Measures how long something takes.
#[derive(Clone, Debug)]
pub struct Stopwatch {
    clock: Arc<dyn Clock>,
    began: Instant,
}

impl Stopwatch {
    /// Begins to measure with a clock.
    pub fn start(clock: &Arc<dyn Clock>) -> Self {
        Self { began: clock.instant(), clock: Arc::clone(clock) }
    }

    /// Begins to measure with the machine's clock. For the command line and for benchmarks, which show people how long
    /// something takes.
    pub fn system() -> Self {
        Self { began: SystemClock.instant(), clock: Arc::new(SystemClock) }
    }

    /// How much time has passed since the start.
    pub fn elapsed(&self) -> Duration {
        self.clock.instant().saturating_duration_since(self.began)
    }
}

/// The cryptographic library's generator.
#[derive(Debug)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) {
        if aws_lc_rs::rand::fill(out).is_err() {
            tracing::error!("the system has no randomness: ending");
            crate::fatal::end(crate::fatal::SYSTEM_ERROR);
        }
    }
}

/// A clock that stands still until it is moved: for tests and simulations.
///
/// ```
/// # use std::time::Duration;
/// # use landfall_domain::clock::{Clock, ManualClock, Timestamp};
/// let clock = ManualClock::at(Timestamp::from_millis(1_700_000_000_000));
/// let (then, began) = (clock.now(), clock.instant());
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().since(then), Duration::from_secs(60));
/// assert_eq!(clock.instant() - began, Duration::from_secs(60));
/// ```
#[derive(Debug)]
pub struct ManualClock(Mutex<(Timestamp, Instant)>);

impl ManualClock {
    /// A clock that stands still at a moment.
    pub fn at(moment: Timestamp) -> Self {
        Self(Mutex::new((moment, SystemClock.instant())))
    }

    /// A clock that stands still at the machine's present time.
    pub fn stopped_now() -> Self {
        Self::at(SystemClock.now())
    }

    /// Lets time pass: wall-clock and monotonic time advance by `span`.
    pub fn advance(&self, span: Duration) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, instant) = &mut *times;
        // Where the sum does not fit, monotonic time stays where it is.
        (*now, *instant) = (now.plus(span), instant.checked_add(span).unwrap_or(*instant));
    }

    /// Sets the wall clock, forwards or backwards, as an operator or NTP does. Monotonic time does not change.
    pub fn set(&self, moment: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = moment;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn instant(&self) -> Instant {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_dps_writes_it() {
        assert_eq!(Timestamp::from_millis(1_661_983_370_516).to_string(), "2022-08-31T22:02:50.5160000Z");
    }

    #[test]
    fn a_wall_clock_that_is_set_back_moves_no_stopwatch() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let stopwatch = Stopwatch::start(&shared);
        clock.set(Timestamp::from_millis(5));
        assert_eq!((clock.now(), stopwatch.elapsed()), (Timestamp::from_millis(5), Duration::ZERO));
        clock.advance(Duration::from_millis(20));
        assert_eq!((clock.now(), stopwatch.elapsed()), (Timestamp::from_millis(25), Duration::from_millis(20)));
        clock.advance(Duration::MAX);
        assert_eq!(stopwatch.elapsed(), Duration::from_millis(20), "no clock holds it");
    }
}
