//! The breaker's states, as a function of what happens and when. It knows no clock, no randomness and no threads: a
//! moment is the time since the breaker was made.

use std::time::Duration;

use super::suspects::{Held, Suspects};

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerLimits {
    /// So many devices in a row whose calls broke open it; four times as many when as many calls were good lately.
    pub failures: u32,
    /// The time over which the share of good calls is taken.
    pub window: Duration,
    /// The share counts from so many calls in the window.
    pub least_calls: u32,
    /// Less than this share of good calls opens it, in percent.
    pub success_percent: u32,
    /// How long it is open at first.
    pub open: Duration,
    /// How long it is open at most.
    pub open_most: Duration,
}

/// The right to make one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The number of the probe that it is, if it is one.
    probe: Option<u64>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The policy answered, be it no or that it could not.
    Answered,
    /// The policy broke.
    Broke,
    /// The policy was never at fault, nor was it well.
    NotItsDoing,
}

/// Why a breaker opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The calls of so many devices in a row broke.
    InARow,
    /// Too few of the calls in the window were good.
    Share,
}

/// A call is not to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Nobody's: the breaker is open.
    Open(Shut),
    /// This device's: it breaks the policy, others do not.
    Device(Held),
}

/// The breaker is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shut {
    /// Why the breaker opened.
    pub reason: Reason,
    /// Until a call may be tried.
    pub left: Duration,
}

/// What a breaker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Calls are made.
    Closed,
    /// Calls are skipped, for so long still.
    Open(Shut),
    /// One call is tried, or the next one will be.
    Probation(Reason),
}

/// The states and what leads from one to another.
#[derive(Debug)]
pub(super) struct Machine {
    limits: BreakerLimits,
    phase: Phase,
    window: [Bucket; BUCKETS],
    in_a_row: u32,
    /// Openings without a calm window between them.
    openings: u32,
    /// Counts probes, so that a late one is known.
    probes: u64,
    /// When a call was answered last.
    answered: Option<Duration>,
    suspects: Suspects,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed {
        since: Duration,
    },
    /// `broke`: the devices whose probes broke since the back-off was over.
    Open {
        until: Duration,
        reason: Reason,
        broke: u32,
    },
    Probation {
        probe: u64,
        until: Duration,
        reason: Reason,
        broke: u32,
    },
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    number: u32,
    answered: u32,
    broke: u32,
}

impl Machine {
    pub(super) fn new(limits: BreakerLimits) -> Self {
        Self {
            limits,
            phase: Phase::Closed { since: Duration::ZERO },
            window: [Bucket::default(); BUCKETS],
            in_a_row: 0,
            openings: 0,
            probes: 0,
            answered: None,
            suspects: Suspects::default(),
        }
    }

    pub(super) fn admit(&mut self, device: &str, now: Duration) -> Result<Pass, Skip> {
        let held = self.suspects.held(device, now);
        match self.phase {
            Phase::Open { until, reason, .. } | Phase::Probation { until, reason, .. } if now < until => {
                Err(Skip::Open(Shut { reason, left: until - now }))
            }
            _ if held.is_some() => held.map_or(Ok(Pass::ordinary()), |held| Err(Skip::Device(held))),
            Phase::Closed { .. } => Ok(Pass::ordinary()),
            Phase::Open { reason, broke, .. } | Phase::Probation { reason, broke, .. } => {
                self.probes += 1;
                self.phase = Phase::Probation { probe: self.probes, until: now + PROBE_PATIENCE, reason, broke };
                Ok(Pass { probe: Some(self.probes) })
            }
        }
    }

    /// Takes in how a call ended; answers why the breaker opened, if it did.
    pub(super) fn tell(
        &mut self,
        pass: Pass,
        device: &str,
        ending: Ending,
        now: Duration,
        chance: impl FnOnce() -> u64,
    ) -> Option<Reason> {
        let known = match ending {
            Ending::Answered => {
                self.answered = Some(now);
                self.suspects.clear(device, now);
                false
            }
            Ending::Broke => self.suspects.strike(device, now, &self.limits),
            Ending::NotItsDoing => false,
        };
        match (self.phase, pass.probe) {
            // What is known of a device says nothing new of the policy.
            (Phase::Closed { .. }, None) if known => None,
            (Phase::Closed { since }, None) => {
                let reason = self.count(ending, now)?;
                self.openings = if now - since < self.limits.window { self.openings } else { 0 };
                Some(self.open(reason, now, chance()))
            }
            (Phase::Probation { probe, reason, broke, .. }, Some(number)) if number == probe => match ending {
                Ending::Answered => {
                    self.phase = Phase::Closed { since: now };
                    self.window = [Bucket::default(); BUCKETS];
                    self.in_a_row = 0;
                    None
                }
                Ending::Broke if !known && broke + 1 >= self.limits.failures => {
                    let lately = |answered| now.saturating_sub(answered) < self.limits.window;
                    self.openings = if self.answered.is_some_and(lately) { 0 } else { self.openings };
                    Some(self.open(reason, now, chance()))
                }
                Ending::Broke | Ending::NotItsDoing => {
                    let counts = ending == Ending::Broke && !known;
                    self.phase = Phase::Open { until: now, reason, broke: broke + u32::from(counts) };
                    None
                }
            },
            // A call from before, or a probe that was given up.
            _ => None,
        }
    }

    /// Calls that answered in a bucket and were counted elsewhere.
    pub(super) fn add_answers(&mut self, bucket: u32, calls: u32, now: Duration) {
        self.answered = if calls > 0 { Some(now) } else { self.answered };
        if matches!(self.phase, Phase::Closed { .. }) && calls > 0 {
            self.add(bucket, calls, 0);
        }
    }

    /// Whether there is nothing to do for a call but to count it.
    pub(super) fn is_calm(&self) -> bool {
        self.in_a_row == 0 && self.suspects.is_empty() && matches!(self.phase, Phase::Closed { .. })
    }

    pub(super) fn state(&self, now: Duration) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { until, reason, .. } if now < until => State::Open(Shut { reason, left: until - now }),
            Phase::Open { reason, .. } | Phase::Probation { reason, .. } => State::Probation(reason),
        }
    }

    fn count(&mut self, ending: Ending, now: Duration) -> Option<Reason> {
        let number = self.limits.bucket_at(now);
        match ending {
            Ending::NotItsDoing => return None,
            Ending::Answered => {
                self.in_a_row = 0;
                self.add(number, 1, 0);
                return None;
            }
            Ending::Broke => {}
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.add(number, 0, 1);
        let (answered, broke) = self.in_window(number);
        let well = answered >= u64::from(self.limits.failures);
        if self.in_a_row >= self.limits.failures.saturating_mul(if well { WELL } else { 1 }) {
            return Some(Reason::InARow);
        }
        let (good, all) = (answered.saturating_mul(100), answered + broke);
        let enough = all >= u64::from(self.limits.least_calls);
        (enough && good < all.saturating_mul(self.limits.success_percent.into())).then_some(Reason::Share)
    }

    fn open(&mut self, reason: Reason, now: Duration, chance: u64) -> Reason {
        let whole = self.limits.open.saturating_mul(1_u32.checked_shl(self.openings).unwrap_or(u32::MAX));
        let half = whole.min(self.limits.open_most) / 2;
        let drawn = u64::try_from(u128::from(chance) * half.as_nanos() / u128::from(u64::MAX)).unwrap_or(u64::MAX);
        self.openings = self.openings.saturating_add(1);
        self.phase = Phase::Open { until: now + half + Duration::from_nanos(drawn), reason, broke: 0 };
        reason
    }

    /// Adds calls to the bucket of a number; what was in its place is long past.
    fn add(&mut self, number: u32, answered: u32, broke: u32) {
        let place = usize::try_from(number).unwrap_or_default() % BUCKETS;
        let Some(bucket) = self.window.get_mut(place) else { return };
        if bucket.number != number {
            *bucket = Bucket { number, ..Bucket::default() };
        }
        bucket.answered = bucket.answered.saturating_add(answered);
        bucket.broke = bucket.broke.saturating_add(broke);
    }

    /// Calls that answered and calls that broke, in the window that ends with a bucket.
    fn in_window(&self, number: u32) -> (u64, u64) {
        let buckets = u32::try_from(BUCKETS).unwrap_or(u32::MAX);
        let within = self.window.iter().filter(|bucket| number.wrapping_sub(bucket.number) < buckets);
        within.fold((0, 0), |(answered, broke), bucket| {
            (answered + u64::from(bucket.answered), broke + u64::from(bucket.broke))
        })
    }
}

impl BreakerLimits {
    /// The number of the bucket that a moment falls into.
    pub(super) fn bucket_at(&self, now: Duration) -> u32 {
        let width = (self.window.as_millis() / BUCKETS_WIDE).max(1);
        // Below the number that means something else, and round again after a year or so.
        u32::try_from(now.as_millis() / width % u128::from(u32::MAX)).unwrap_or_default()
    }
}

impl Pass {
    /// That of a call while the breaker is closed.
    pub(super) fn ordinary() -> Self {
        Self { probe: None }
    }
}

impl Reason {
    /// A word for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InARow => "in-a-row",
            Self::Share => "share",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::InARow => "the calls of too many devices in a row broke",
            Self::Share => "too many of its latest calls broke",
        })
    }
}

/// How many times as many devices in a row have to break a policy that was well a moment ago: a crate of devices with the
/// same odd payload is switched on at once.
const WELL: u32 = 4;
/// Buckets of the window.
const BUCKETS: usize = 10;
const BUCKETS_WIDE: u128 = 10;
/// How long a probe may be on its way before another is tried: many times the usual deadline, by the clock on the wall.
const PROBE_PATIENCE: Duration = Duration::from_secs(30);
