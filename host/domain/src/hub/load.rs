//! How full a hub is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many devices are assigned to a hub. The store counts them in the transaction that moves them, and updates this
/// number after each commit, before the commit is reported to anybody. Nobody else writes to this number, so it cannot
/// drift. All clones share one number.
#[derive(Clone, Debug, Default)]
pub struct HubLoad(Arc<AtomicU64>);

impl HubLoad {
    /// The number of devices that are assigned to the hub.
    pub fn assigned(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the number to what has been committed.
    pub fn set(&self, assigned: u64) {
        self.0.store(assigned, Ordering::Relaxed);
    }
}

impl From<u64> for HubLoad {
    fn from(assigned: u64) -> Self {
        Self(Arc::new(AtomicU64::new(assigned)))
    }
}

impl PartialEq for HubLoad {
    fn eq(&self, other: &Self) -> bool {
        self.assigned() == other.assigned()
    }
}
