//! How full a hub is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many devices are assigned to a hub. The store counts them, in the transaction that moves them, and follows each
/// transaction here before anybody is told of it: nobody else writes to this number, so it cannot drift. All clones are
/// one number.
#[derive(Clone, Debug, Default)]
pub struct HubLoad(Arc<AtomicU64>);

impl HubLoad {
    /// Devices assigned to the hub.
    pub fn assigned(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes over what has been committed.
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
