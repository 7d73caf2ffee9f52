//! Limits for reporting refusals: lines in the log, and ledger entries that wait to be written.
//!
//! Anybody who knows the address of this installation can cause refusals at any rate. So strangers have lines and
//! places of their own, and each address gets only some of them. No stranger can fill a disk, or crowd out what is
//! reported about devices or about other strangers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use landfall_domain::clock::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::network;

/// Bounds how many refusals are logged and kept.
pub(in crate::provisioning) struct ReportLimits {
    lines: Mutex<Lines>,
    /// Bound the entries that wait to be written.
    strangers: Arc<Semaphore>,
    others: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Lines {
    minute: Option<Instant>,
    by_address: HashMap<(IpAddr, bool), u32>,
    of_strangers: u32,
    unsaid: u64,
}

impl ReportLimits {
    /// The limits, with nothing reported yet.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let places = || Arc::new(Semaphore::new(BEING_KEPT));
        Self { lines: Mutex::default(), strangers: places(), others: places(), clock }
    }

    /// Whether a refusal may be logged now. If so, also how many refusals before it were not logged.
    pub(in crate::provisioning) fn may_be_said(&self, source: IpAddr, stranger: bool) -> Option<u64> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).at(self.clock.instant(), source, stranger)
    }

    /// A place among the entries that wait to be written, if one is free.
    pub(in crate::provisioning) fn place(&self, stranger: bool) -> Option<OwnedSemaphorePermit> {
        let places = if stranger { &self.strangers } else { &self.others };
        Arc::clone(places).try_acquire_owned().ok()
    }
}

impl Lines {
    fn at(&mut self, now: Instant, source: IpAddr, stranger: bool) -> Option<u64> {
        if self.minute.is_none_or(|minute| now.saturating_duration_since(minute) >= MINUTE) {
            *self = Self { minute: Some(now), unsaid: self.unsaid, ..Self::default() };
        }
        let most = if stranger { OF_A_STRANGER } else { OF_AN_ADDRESS };
        let key = (network::of(source), stranger);
        let said = self.by_address.get(&key).copied().unwrap_or_default();
        let room = self.by_address.contains_key(&key) || self.by_address.len() < MOST_ADDRESSES;
        if said >= most || !room || (stranger && self.of_strangers >= OF_ALL_STRANGERS) {
            self.unsaid = self.unsaid.saturating_add(1);
            return None;
        }
        self.by_address.insert(key, said + 1);
        self.of_strangers += u32::from(stranger);
        Some(std::mem::take(&mut self.unsaid))
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// Log lines per minute for the strangers at one address.
const OF_A_STRANGER: u32 = 20;
/// Log lines per minute for all strangers: a quarter of a megabyte.
const OF_ALL_STRANGERS: u32 = 600;
/// Log lines per minute for devices at one address whose credential was proven. The ledger has all of their refusals.
const OF_AN_ADDRESS: u32 = 300;
const MOST_ADDRESSES: usize = 10_000;
/// How many refusals may wait to be written: this many of strangers, and as many of others. They are small. Beyond
/// this, only the log has them.
const BEING_KEPT: usize = 256;

#[cfg(test)]
mod tests {
    use landfall_domain::clock::SystemClock;

    use super::*;

    #[test]
    fn no_address_has_all_the_lines_and_strangers_have_none_of_the_devices() {
        let (mut lines, now) = (Lines::default(), SystemClock.instant());
        let mut said = |source: [u8; 4], stranger, times: u32| {
            (0..times).filter(|_| lines.at(now, source.into(), stranger).is_some()).count()
        };
        assert_eq!(said([10, 0, 0, 1], true, 1000), 20);
        assert_eq!(said([10, 0, 0, 2], true, 3), 3, "another address");
        for last in 3..=255 {
            said([10, 0, 0, last], true, 20);
        }
        assert_eq!(said([10, 0, 1, 1], true, 1), 0, "600 of all strangers");
        assert_eq!(said([10, 0, 0, 1], false, 1000), 300, "devices at the same address");
        let unsaid = lines.at(now + MINUTE, [10, 0, 1, 1].into(), true).unwrap();
        assert_eq!(unsaid, 700, "those since the last line that said how many");
        assert_eq!(lines.at(now + MINUTE, [10, 0, 1, 1].into(), true), Some(0));
    }

    #[test]
    fn strangers_take_no_place_of_others() {
        let telling = ReportLimits::new(Arc::new(SystemClock));
        let taken: Vec<_> = (0..BEING_KEPT).filter_map(|_| telling.place(true)).collect();
        assert_eq!(taken.len(), BEING_KEPT);
        assert!(telling.place(true).is_none() && telling.place(false).is_some());
    }
}
