//! Devices that wait: their policy could not decide yet, or asked for more time.
//!
//! A waiting device is known as long as this process holds its operation. After a restart, or when its operation had to
//! make room, it is known again as soon as it polls, which happens every few seconds. The ledger always has the reason
//! of its last wait.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Instant;

use landfall_domain::clock::Timestamp;
use landfall_domain::names::{IdScope, OperationId, RegistrationId, TrackingId};

use super::{Claimant, Operations, Progress};

/// What holds a device up, and for how long.
#[derive(Debug)]
pub struct Wait {
    /// From when its next poll tries again, on the monotonic clock, which nobody sets.
    pub until: Instant,
    /// The same moment on the wall clock.
    pub again_at: Timestamp,
    /// The request whose decision made the device wait. The ledger has that decision.
    pub decision: TrackingId,
    /// What holds the device up: a word for programs.
    pub kind: &'static str,
    /// The same for people.
    pub detail: String,
}

/// A device that waits.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct WaitingDevice {
    pub claimant: Claimant,
    /// The operation that it polls for.
    pub operation: OperationId,
    pub wait: std::sync::Arc<Wait>,
}

impl Operations {
    /// The devices of an id scope that wait, in no particular order.
    pub(crate) fn waiting(&self, scope: &IdScope) -> Vec<WaitingDevice> {
        self.waiting_where(|claimant| claimant.scope == *scope)
    }

    /// The device's operations that wait. Each key that claims the id has an operation of its own.
    pub(crate) fn waiting_of(&self, scope: &IdScope, id: &RegistrationId) -> Vec<WaitingDevice> {
        self.waiting_where(|claimant| claimant.id == *id && claimant.scope == *scope)
    }

    /// The number of devices that wait, by id scope and by what holds them up.
    pub(crate) fn waiting_counts(&self) -> BTreeMap<(String, &'static str), u64> {
        let mut counts = BTreeMap::new();
        let running = &self.running.lock().unwrap_or_else(PoisonError::into_inner).held;
        for (claimant, held) in running {
            if let Progress::Waiting(wait) = held.operation.progress() {
                *counts.entry((claimant.scope.to_string(), wait.kind)).or_insert(0) += 1;
            }
        }
        counts
    }

    fn waiting_where(&self, wanted: impl Fn(&Claimant) -> bool) -> Vec<WaitingDevice> {
        let running = &self.running.lock().unwrap_or_else(PoisonError::into_inner).held;
        let all = running.iter().filter(|(claimant, _)| wanted(claimant));
        all.filter_map(|(claimant, held)| match held.operation.progress() {
            Progress::Waiting(wait) => {
                Some(WaitingDevice { claimant: claimant.clone(), operation: held.operation.id.clone(), wait })
            }
            Progress::Running | Progress::Finished(_) | Progress::Refused(_) | Progress::Failed => None,
        })
        .collect()
    }
}

impl WaitingDevice {
    /// When the device began to wait. Its operation id says so.
    pub fn since(&self) -> Timestamp {
        self.operation.request().unwrap_or(self.wait.decision).made_at()
    }
}
