//! The stories of answers that are neither a decision nor a refusal: a malformed request, too many requests, something
//! that was not found, a request that must be repeated later. A device logs the tracking id of such an answer too, and
//! its operator asks for it.
//!
//! Anybody can ask for such answers at any rate, so none is written to disk. The newest are kept in memory, and a
//! restart forgets them. Devices that were admitted have places of their own. If the places are full, the network with
//! the most entries loses its oldest one, so a stranger pushes out only its own entries.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use landfall_domain::decision::Entry;
use landfall_domain::names::TrackingId;

/// The newest of these stories.
pub(crate) struct Answered {
    most: usize,
    strangers: Mutex<Kept>,
    admitted: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    entries: HashMap<TrackingId, Entry>,
    /// The number of the next entry. It counts up, so the smallest number is the oldest entry.
    next: u64,
    networks: HashMap<IpAddr, VecDeque<(u64, TrackingId)>>,
    /// The networks by their number of entries. The network with the most comes last; of equal ones, the one with the
    /// oldest entry.
    ranks: BTreeSet<Rank>,
}

type Rank = (usize, Reverse<u64>, IpAddr);

impl Answered {
    /// An empty store, with room for `most` entries of admitted devices and for `most` of all others.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, strangers: Mutex::default(), admitted: Mutex::default() }
    }

    /// Keeps an entry of a network. `admitted` says whether the connection has proven itself.
    pub(crate) fn keep(&self, network: IpAddr, admitted: bool, entry: Entry) {
        let kept = if admitted { &self.admitted } else { &self.strangers };
        lock(kept).keep(self.most, network, entry);
    }

    /// The entry under a tracking id, if it is still kept.
    pub(crate) fn get(&self, id: TrackingId) -> Option<Entry> {
        [&self.admitted, &self.strangers].into_iter().find_map(|kept| lock(kept).entries.get(&id).cloned())
    }
}

impl Kept {
    fn keep(&mut self, most: usize, network: IpAddr, entry: Entry) {
        if most == 0 || self.entries.contains_key(&entry.tracking_id) {
            return;
        }
        while self.entries.len() >= most {
            let Some((_, _, fullest)) = self.ranks.last().copied() else { break };
            let oldest = self.change(fullest, VecDeque::pop_front);
            if let Some((_, id)) = oldest {
                self.entries.remove(&id);
            }
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.change(network, |numbers| numbers.push_back((number, entry.tracking_id)));
        self.entries.insert(entry.tracking_id, entry);
    }

    fn change<T>(&mut self, network: IpAddr, change: impl FnOnce(&mut VecDeque<(u64, TrackingId)>) -> T) -> T {
        let numbers = self.networks.entry(network).or_default();
        if let Some(rank) = rank(network, numbers) {
            self.ranks.remove(&rank);
        }
        let changed = change(numbers);
        if let Some(rank) = rank(network, numbers) {
            self.ranks.insert(rank);
        } else {
            self.networks.remove(&network);
        }
        changed
    }
}

fn rank(network: IpAddr, numbers: &VecDeque<(u64, TrackingId)>) -> Option<Rank> {
    numbers.front().map(|(oldest, _)| (numbers.len(), Reverse(*oldest), network))
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use landfall_domain::clock::Timestamp;
    use landfall_domain::decision::EntryKind;

    use super::*;

    fn entry(number: u16) -> Entry {
        let at = Timestamp::from_millis(1_700_000_000_000);
        let [high, low] = number.to_be_bytes();
        Entry {
            tracking_id: TrackingId::new(at, [high, low, 0, 0, 0, 0, 0, 0, 0, 0]),
            at,
            scope: None,
            registration_id: String::new(),
            source: String::new(),
            kind: EntryKind::Answered { status: 404, detail: String::new(), asked: String::new() },
        }
    }

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn whoever_has_the_most_loses_its_own_oldest() {
        let answered = Answered::new(8);
        let is_there = |number: u16| answered.get(entry(number).tracking_id).is_some();
        answered.keep(address(1), false, entry(1));
        answered.keep(address(1), false, entry(2));
        for number in 100..1_000 {
            answered.keep(address(2), false, entry(number));
        }
        assert!(is_there(1) && is_there(2), "another's flood");
        assert!(is_there(999) && is_there(994) && !is_there(993), "six places are left for the flood");
        // Many addresses with one entry each push out the oldest entries of the network that has the most.
        for last in 10..16 {
            answered.keep(address(last), false, entry(2_000 + u16::from(last)));
        }
        assert!(!is_there(1) && is_there(2), "two of one address were one too many, and the older one went");
        assert!(is_there(2_015));
        let kept = lock(&answered.strangers);
        assert_eq!((kept.entries.len(), kept.networks.len(), kept.ranks.len()), (8, 8, 8));
    }

    #[test]
    fn no_stranger_pushes_out_what_a_device_was_told() {
        let answered = Answered::new(2);
        answered.keep(address(1), true, entry(1));
        for (last, number) in (2..200).zip(2..200) {
            answered.keep(address(last), false, entry(number));
        }
        assert_eq!(answered.get(entry(1).tracking_id), Some(entry(1)));
        assert_eq!(answered.get(entry(2).tracking_id), None);
    }

    #[test]
    fn none_is_kept_where_there_is_no_room_for_any() {
        let answered = Answered::new(0);
        answered.keep(address(1), true, entry(1));
        assert_eq!(answered.get(entry(1).tracking_id), None);
    }
}
