//! The states of the breaker, as a function of events and times. It uses no clock, no randomness and no threads: a
//! moment is the time since the breaker was created.

use std::time::Duration;

use super::suspects::{Held, Suspects};

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerLimits {
    /// The calls of this many devices in a row must break to open it. If as many calls were answered lately, four
    /// times as many.
    pub failures: u32,
    /// The time over which the share of good calls is computed.
    pub window: Duration,
    /// The least number of calls in the window. With fewer calls, the share does not count.
    pub least_calls: u32,
    /// A smaller share of good calls opens the breaker, in percent.
    pub success_percent: u32,
    /// For how long it opens at first.
    pub open: Duration,
    /// For how long it opens at most.
    pub open_most: Duration,
}

/// The permission to make one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The number of the probe, if the call is a probe.
    probe: Option<u64>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The policy answered. A refusal and a fault are answers too.
    Answered,
    /// The policy broke.
    Broke,
    /// The policy was not at fault, and the call does not show that the policy works.
    NotItsDoing,
}

/// Why a breaker opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The calls of the given number of devices in a row broke.
    InARow,
    /// Too few of the calls in the window were good.
    Share,
}

/// Why a call must be skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// The breaker is open for all devices.
    Open(Shut),
    /// The policy is not called for this device: it breaks the policy, and others do not.
    Device(Held),
}

/// The breaker is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shut {
    /// Why the breaker opened.
    pub reason: Reason,
    /// The time until a call may be tried.
    pub left: Duration,
}

/// The state of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Calls are made.
    Closed,
    /// Calls are skipped, for the time that is given.
    Open(Shut),
    /// One call is being tried as a probe, or the next call will be.
    Probation(Reason),
}

/// The state, and everything that decides about the next state.
#[derive(Debug)]
pub(super) struct Machine {
    limits: BreakerLimits,
    phase: Phase,
    window: [Bucket; BUCKETS],
    in_a_row: u32,
    /// How often it opened without a good window between.
    openings: u32,
    /// The number of the last probe. It identifies the result of a probe that was given up.
    probes: u64,
    /// When a call was last answered.
    answered: Option<Duration>,
    suspects: Suspects,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed {
        since: Duration,
    },
    /// `broke`: the number of devices whose probes have broken since the back-off ended.
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

    /// Records how a call ended. Returns the reason if the breaker opened.
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
            // A device that is known to break the policy says nothing new about the policy.
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
            // A call from before the breaker opened, or a probe that was given up.
            _ => None,
        }
    }

    /// Adds answered calls of a bucket that were counted outside of the machine.
    pub(super) fn add_answers(&mut self, bucket: u32, calls: u32, now: Duration) {
        self.answered = if calls > 0 { Some(now) } else { self.answered };
        if matches!(self.phase, Phase::Closed { .. }) && calls > 0 {
            self.add(bucket, calls, 0);
        }
    }

    /// Whether a call needs nothing but being counted.
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

    /// Adds calls to the bucket with this number. Old contents of its place in the ring are discarded.
    fn add(&mut self, number: u32, answered: u32, broke: u32) {
        let place = usize::try_from(number).unwrap_or_default() % BUCKETS;
        let Some(bucket) = self.window.get_mut(place) else { return };
        if bucket.number != number {
            *bucket = Bucket { number, ..Bucket::default() };
        }
        bucket.answered = bucket.answered.saturating_add(answered);
        bucket.broke = bucket.broke.saturating_add(broke);
    }

    /// The numbers of calls that answered and that broke, in the window that ends with this bucket.
    fn in_window(&self, number: u32) -> (u64, u64) {
        let buckets = u32::try_from(BUCKETS).unwrap_or(u32::MAX);
        let within = self.window.iter().filter(|bucket| number.wrapping_sub(bucket.number) < buckets);
        within.fold((0, 0), |(answered, broke), bucket| {
            (answered + u64::from(bucket.answered), broke + u64::from(bucket.broke))
        })
    }
}

impl BreakerLimits {
    /// The number of the bucket for a moment.
    pub(super) fn bucket_at(&self, now: Duration) -> u32 {
        let width = (self.window.as_millis() / BUCKETS_WIDE).max(1);
        // The number stays below `NOT_CALM`, and wraps around after a year or so.
        u32::try_from(now.as_millis() / width % u128::from(u32::MAX)).unwrap_or_default()
    }
}

impl Pass {
    /// The permission for a call while the breaker is closed.
    pub(super) fn ordinary() -> Self {
        Self { probe: None }
    }
}

impl Reason {
    /// A stable word for metrics.
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

/// The factor for the number of devices in a row when a policy answered a moment ago: a batch of devices with the same
/// odd payload is switched on at once.
const WELL: u32 = 4;
/// The number of buckets in the window.
const BUCKETS: usize = 10;
const BUCKETS_WIDE: u128 = 10;
/// How long to wait for the result of a probe before another one is allowed: many times the usual deadline, in
/// wall-clock time.
const PROBE_PATIENCE: Duration = Duration::from_secs(30);
