//! Simulated power failures: the real store and the real writer on a disk in memory that loses what was not flushed.
//!
//! One *history* is a database that is filled, loses its power at a random operation of the disk, is opened again
//! from what is left, checked, and filled on, several times over; in some of the failures the power fails again while
//! the database recovers. The harness takes the writer's turns itself and draws everything from the seed, so that a
//! history can be had again exactly.
//!
//! What must hold after each failure:
//! - everything acknowledged is there, unchanged: registrations, ledger entries, records, contents;
//! - what was refused, or never acknowledged and not there, left no trace: no entry, no count;
//! - a transaction that was under way is there as a whole or not at all;
//! - each id has one registration, and every count equals what it counts;
//! - the database opens without help, and takes new registrations.
//!
//! That the harness would notice is shown by letting the disk lie: when flushing does nothing, it must report
//! violations.

mod disk;
mod history;
mod ledger;
pub mod things;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

pub use self::disk::Disk;
use self::history::History;

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many power failures.
    pub points: u64,
    /// What everything is drawn from; the histories have this seed and the following ones.
    pub seed: u64,
    /// Whether the disk's flushing does nothing: then violations must be found.
    pub lying: bool,
    /// How many histories run at once. What each does depends on its seed only.
    pub threads: usize,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Power failures.
    pub points: u64,
    /// How many of them were followed by another one during recovery.
    pub second: u64,
    /// Histories.
    pub histories: u64,
    /// Writes that were acknowledged before a failure.
    pub acknowledged: u64,
    /// Transactions that were under way and are there.
    pub arrived: u64,
    /// Transactions that were under way and are not.
    pub vanished: u64,
    /// What did not hold, and the seed of its history.
    pub violations: Vec<String>,
}

/// Simulates, until as many power failures have happened as were planned.
pub fn run(plan: &Plan) -> Report {
    let next = AtomicU64::new(0);
    let total = Mutex::new(Report::default());
    std::thread::scope(|scope| {
        for _ in 0..plan.threads.max(1) {
            scope.spawn(|| work(plan, &next, &total));
        }
    });
    total.into_inner().unwrap_or_default()
}

fn work(plan: &Plan, next: &AtomicU64, total: &Mutex<Report>) {
    // Each history counts for as many failures as it has at most, so that the number of histories, and with it what
    // is simulated, does not depend on which thread is faster.
    let histories = plan.points.div_ceil(FAILURES);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= histories {
            return;
        }
        let failures = FAILURES.min(plan.points - number * FAILURES);
        let report = history(plan.seed.wrapping_add(number), failures, plan.lying);
        if let Ok(mut total) = total.lock() {
            total.add(report);
        }
    }
}

/// One history; it ends early at a violation, which makes what follows meaningless.
fn history(seed: u64, failures: u64, lying: bool) -> Report {
    let mut report = Report { histories: 1, ..Report::default() };
    let mut history = History::new(seed, lying);
    for point in 1..=failures {
        report.points += 1;
        // A damaged database may make the store panic, which is a violation like any other.
        let outcome = catch_unwind(AssertUnwindSafe(|| history.fail_once(&mut report)));
        let story = match outcome {
            Ok(Ok(())) => continue,
            Ok(Err(story)) => story,
            Err(_) => "panicked".to_owned(),
        };
        report.violations.push(format!("seed {seed}, power failure {point}: {story}"));
        break;
    }
    report
}

impl Report {
    fn add(&mut self, other: Self) {
        self.points += other.points;
        self.second += other.second;
        self.histories += other.histories;
        self.acknowledged += other.acknowledged;
        self.arrived += other.arrived;
        self.vanished += other.vanished;
        self.violations.extend(other.violations);
    }
}

/// Power failures in one history.
const FAILURES: u64 = 8;
