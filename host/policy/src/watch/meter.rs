//! Cost and results of the calls of one revision.
//!
//! Times are in microseconds, because a call takes some dozens of them. Each number is a word or a short list with a
//! lock of its own, so that a call costs a few additions. Nothing is formatted before somebody reads it.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use landfall_domain::decision::Answer;
use landfall_domain::decision::call::{CallReport, Outcome, Usage};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use crate::breaker::Reason;

/// The meters of one revision.
#[derive(Default)]
pub struct Meters {
    selection: OnceLock<Meter>,
    grouping: OnceLock<Meter>,
    in_a_row: Counter,
    share: Counter,
}

/// An interface through which a policy is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// To choose a hub.
    HubSelection,
    /// To choose a place.
    Grouping,
}

/// The meters of one interface of a revision.
pub struct Meter {
    /// Microseconds that calls waited for a worker.
    pub queue: Histogram,
    /// Microseconds to create the instance.
    pub instantiate: Histogram,
    /// Microseconds in the policy.
    pub guest: Histogram,
    /// Microseconds of the transaction that wrote the decision.
    pub commit: Histogram,
    /// Units of fuel.
    pub fuel: Histogram,
    /// Bytes of the largest linear memory.
    pub memory: Histogram,
    /// Log lines that exceeded the budget.
    pub log_lines_dropped: Counter,
    outcomes: Mutex<BTreeMap<&'static str, u64>>,
    failures: Mutex<BTreeMap<&'static str, u64>>,
}

impl Meters {
    /// The meter of an interface, if the policy was ever called through it.
    #[must_use]
    pub fn of(&self, interface: Interface) -> Option<&Meter> {
        self.cell(interface).get()
    }

    /// Whether anything was measured.
    #[must_use]
    pub fn used(&self) -> bool {
        self.selection.get().is_some() || self.grouping.get().is_some()
    }

    /// How often the breaker opened for a reason.
    #[must_use]
    pub fn openings(&self, reason: Reason) -> &Counter {
        match reason {
            Reason::InARow => &self.in_a_row,
            Reason::Share => &self.share,
        }
    }

    /// Counts a call. `waited` says that the call's report includes the time in the queue.
    pub fn count(&self, interface: Interface, report: &CallReport<Answer>, waited: bool) {
        let meter = self.cell(interface).get_or_init(Meter::default);
        let add = |counts: &Mutex<BTreeMap<&'static str, u64>>, word| {
            *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(word).or_default() += 1;
        };
        match &report.result {
            Ok(answer) => add(&meter.outcomes, outcome(answer)),
            Err(failure) => add(&meter.failures, failure.kind()),
        }
        if report.usage == Usage::default() {
            // The call never began.
            return;
        }
        let Usage { fuel, peak_memory_bytes, queue_us, instantiate_us, guest_us } = report.usage;
        if waited {
            meter.queue.observe(float(queue_us));
        }
        meter.instantiate.observe(float(instantiate_us));
        meter.guest.observe(float(guest_us));
        meter.fuel.observe(float(fuel));
        meter.memory.observe(float(peak_memory_bytes));
        if report.log.dropped > 0 {
            meter.log_lines_dropped.inc_by(report.log.dropped.into());
        }
    }

    /// Records how long the transaction took that wrote the decision.
    pub fn committed(&self, took: Duration) {
        if let Some(meter) = self.selection.get() {
            meter.commit.observe(took.as_secs_f64() * 1e6);
        }
    }

    fn cell(&self, interface: Interface) -> &OnceLock<Meter> {
        match interface {
            Interface::HubSelection => &self.selection,
            Interface::Grouping => &self.grouping,
        }
    }
}

impl Meter {
    /// How often each outcome was returned.
    #[must_use]
    pub fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often a call gave no answer, by kind.
    #[must_use]
    pub fn failures(&self) -> BTreeMap<&'static str, u64> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Default for Meter {
    fn default() -> Self {
        let time = || Histogram::new(MICROSECONDS);
        Self {
            queue: time(),
            instantiate: time(),
            guest: time(),
            commit: time(),
            fuel: Histogram::new(FUEL),
            memory: Histogram::new(BYTES),
            log_lines_dropped: Counter::default(),
            outcomes: Mutex::default(),
            failures: Mutex::default(),
        }
    }
}

impl Interface {
    /// Both interfaces of a policy.
    pub const ALL: [Self; 2] = [Self::HubSelection, Self::Grouping];

    /// The name of the interface in the WIT.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HubSelection => "hub-selection",
            Self::Grouping => "grouping",
        }
    }
}

fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Answer::Selected(Outcome::Assign(_)) => "assign",
        Answer::Selected(Outcome::Defer(_)) => "defer",
        Answer::Selected(Outcome::Reject(_)) => "reject",
        Answer::Selected(Outcome::Abstain(_)) => "abstain",
        Answer::Placed(_) => "placed",
    }
}

/// Exact below 2^53, which none of these numbers reaches.
#[allow(clippy::cast_precision_loss, reason = "a histogram counts in floating point")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Bounds of the buckets. A Rust policy takes some dozens, an interpreted one some thousands, a transaction some
/// hundreds to thousands.
const MICROSECONDS: [f64; 15] = [5.0, 10.0, 20.0, 35.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2.5e4, 1e5, 1e6];
/// Bounds of the buckets. A Rust policy over 64 hubs takes 60,000; an interpreted one 20,000,000.
const FUEL: [f64; 10] = [1e3, 1e4, 3e4, 1e5, 3e5, 1e6, 5e6, 2e7, 1e8, 1e9];
/// Bounds of the buckets, from one page of memory to the most that a plugin can have.
const BYTES: [f64; 8] =
    [65_536.0, 1_048_576.0, 2_097_152.0, 4_194_304.0, 8_388_608.0, 16_777_216.0, 33_554_432.0, 67_108_864.0];
