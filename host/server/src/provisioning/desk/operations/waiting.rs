//! Devices that wait: their policy could not decide yet, or asked for time.
//!
//! They are known while this process knows their operations. After a restart, and when others took their room, they are
//! known again as soon as they poll, which is every few seconds; what held each of them up is in the ledger all the time.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Instant;

use landfall_domain::clock::Timestamp;
use landfall_domain::names::{IdScope, OperationId, RegistrationId, TrackingId};

use super::{Claimant, Operations, Progress};

/// What holds a device up, and how long.
#[derive(Debug)]
pub struct Wait {
    /// When its next poll tries again: by a clock that nobody sets.
    pub until: Instant,
    /// The same, by the clock on the wall.
    pub again_at: Timestamp,
    /// The request whose decision held it up; the ledger explains it.
    pub decision: TrackingId,
    /// What holds it up, for programs.
    pub kind: &'static str,
    /// The same, for people.
    pub detail: String,
}

/// A device that waits.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct WaitingDevice {
    pub claimant: Claimant,
    /// What it polls for.
    pub operation: OperationId,
    pub wait: std::sync::Arc<Wait>,
}

impl Operations {
    /// The devices of an id scope that wait, in no order.
    pub(crate) fn waiting(&self, scope: &IdScope) -> Vec<WaitingDevice> {
        self.waiting_where(|claimant| claimant.scope == *scope)
    }

    /// Whether a device waits. Each key that claims its id waits for itself.
    pub(crate) fn waiting_of(&self, scope: &IdScope, id: &RegistrationId) -> Vec<WaitingDevice> {
        self.waiting_where(|claimant| claimant.id == *id && claimant.scope == *scope)
    }

    /// How many devices wait, by id scope and by what holds them up.
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
    /// When the device began to wait, as its operation id says.
    pub fn since(&self) -> Timestamp {
        self.operation.request().unwrap_or(self.wait.decision).made_at()
    }
}
