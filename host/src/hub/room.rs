//! How full the hubs are, as far as choosing needs to know.
//!
//! The truth is in the store and is checked in the transaction that fills a place. This copy follows it so that a
//! decision need not read one row a hub; when it is behind, a choice loses its race and is made again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{Hub, HubState};
use crate::names::HubName;
use crate::policy::call::{self, Candidate};

/// The linked hubs of one id scope, by name, with their counters.
#[derive(Debug, Default)]
pub struct Hubs {
    hubs: Vec<LinkedHub>,
    /// The same as policies are told of them, in the same order.
    told: Arc<[call::Hub]>,
    /// Those of hubs that were unlinked as well: registrations under way still move them, and the hub may come back.
    counters: HashMap<HubName, Arc<Counters>>,
}

/// A hub and its counters.
#[derive(Clone, Debug)]
pub struct LinkedHub {
    /// What the operator says of it.
    pub hub: Hub,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    assigned: AtomicU64,
    pending: AtomicU32,
}

/// A place in a hub that is being taken. Dropping it ends the wait, however the registration ended.
#[derive(Debug)]
pub struct Pending(Arc<Counters>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hubs {
    /// Hubs with counts as the store has them. A hub that was there before keeps its counters, which
    /// registrations under way are still moving.
    pub fn new(records: impl IntoIterator<Item = (Hub, u64)>, before: Option<&Self>) -> Self {
        let mut counters = before.map(|hubs| hubs.counters.clone()).unwrap_or_default();
        let mut hubs: Vec<LinkedHub> = records
            .into_iter()
            .map(|(hub, assigned)| {
                let new = || Arc::new(Counters { assigned: assigned.into(), pending: 0.into() });
                let counters = Arc::clone(counters.entry(hub.name.clone()).or_insert_with(new));
                LinkedHub { hub, counters }
            })
            .collect();
        hubs.sort_by(|a, b| a.hub.name.cmp(&b.hub.name));
        let told = hubs.iter().map(|linked| told(&linked.hub)).collect();
        Self { hubs, told, counters }
    }

    /// The hubs, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &LinkedHub> {
        self.hubs.iter()
    }

    /// One hub.
    pub fn get(&self, name: &HubName) -> Option<&LinkedHub> {
        self.hubs.get(self.position(name)?)
    }

    /// What policies are told of all of them; candidates name them by their position here.
    pub fn told(&self) -> &Arc<[call::Hub]> {
        &self.told
    }

    /// One hub as it is shown to a policy now.
    pub fn candidate(&self, name: &HubName) -> Option<(&call::Hub, Candidate)> {
        let at = self.position(name)?;
        Some((self.told.get(at)?, self.hubs.get(at)?.candidate(u32::try_from(at).ok()?)))
    }

    fn position(&self, name: &HubName) -> Option<usize> {
        self.hubs.binary_search_by(|linked| linked.hub.name.cmp(name)).ok()
    }

    /// How many are linked.
    pub fn len(&self) -> usize {
        self.hubs.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.hubs.is_empty()
    }

    /// Follows a registration that has moved: from a hub, to a hub.
    pub fn moved(&self, from: Option<&HubName>, to: Option<&HubName>) {
        if from == to {
            return;
        }
        if let Some(old) = from.and_then(|name| self.counters.get(name)) {
            let less = |count: u64| Some(count.saturating_sub(1));
            // The closure always answers, so there is no failure to look at.
            let _ = old.assigned.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
        if let Some(new) = to.and_then(|name| self.counters.get(name)) {
            new.assigned.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes over what the store counts.
    pub fn set_assigned(&self, name: &HubName, assigned: u64) {
        if let Some(linked) = self.get(name) {
            linked.counters.assigned.store(assigned, Ordering::Relaxed);
        }
    }
}

impl LinkedHub {
    /// Devices assigned to it.
    pub fn assigned(&self) -> u64 {
        self.counters.assigned.load(Ordering::Relaxed)
    }

    /// Announces that a place is being taken.
    pub fn pending(&self) -> Pending {
        self.counters.pending.fetch_add(1, Ordering::Relaxed);
        Pending(Arc::clone(&self.counters))
    }

    /// Why it cannot take a device, if it cannot. A device's own hub can, even when it is full or draining.
    pub fn refusal(&self, allowed: Option<&[HubName]>, current: Option<&HubName>) -> Option<&'static str> {
        if allowed.is_some_and(|names| !names.contains(&self.hub.name)) {
            return Some("not among the enrollment's hubs");
        }
        if current == Some(&self.hub.name) {
            return None;
        }
        match self.hub.state {
            HubState::Draining => Some("draining"),
            HubState::Active if self.assigned() >= self.hub.capacity => Some("full"),
            HubState::Active => None,
        }
    }

    /// The hub as it is shown to a policy now.
    pub fn candidate(&self, position: u32) -> Candidate {
        let pending = self.counters.pending.load(Ordering::Relaxed);
        Candidate { hub: position, assigned: self.assigned(), pending }
    }
}

fn told(hub: &Hub) -> call::Hub {
    call::Hub {
        name: hub.name.as_str().into(),
        weight: hub.weight,
        capacity: hub.capacity,
        location: hub.location,
        labels: hub.labels.iter().map(|(key, value)| call::Label { key: key.clone(), value: value.clone() }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Connector;

    fn hub(name: &str, capacity: u64, state: HubState) -> Hub {
        let name = name.parse().unwrap();
        Hub { name, weight: 1, capacity, location: None, labels: Default::default(), state, connector: Connector::None }
    }

    #[test]
    fn a_device_may_stay_where_it_is_even_when_nobody_else_may_come() {
        let hubs = Hubs::new(
            [(hub("full.example", 1, HubState::Active), 1), (hub("old.example", 9, HubState::Draining), 1)],
            None,
        );
        for linked in hubs.iter() {
            assert!(linked.refusal(None, None).is_some());
            assert_eq!(linked.refusal(None, Some(&linked.hub.name)), None);
            assert!(linked.refusal(Some(&[]), Some(&linked.hub.name)).is_some());
        }
    }

    #[test]
    fn counters_outlive_a_change_of_the_hub() {
        let before = Hubs::new([(hub("a.example", 1, HubState::Active), 4)], None);
        let name = "a.example".parse().unwrap();
        let pending = before.get(&name).unwrap().pending();
        let after = Hubs::new([(hub("a.example", 9, HubState::Active), 99)], Some(&before));
        before.moved(None, Some(&name));
        let linked = after.get(&name).unwrap();
        assert_eq!((linked.assigned(), linked.candidate(0).pending), (5, 1));
        drop(pending);
        assert_eq!(linked.candidate(0).pending, 0);
        after.moved(Some(&name), None);
        assert_eq!(linked.assigned(), 4);
    }

    #[test]
    fn a_hub_that_comes_back_goes_on_counting_where_it_was() {
        let name = "a.example".parse().unwrap();
        let before = Hubs::new([(hub("a.example", 9, HubState::Active), 4)], None);
        let without = Hubs::new([], Some(&before));
        // A registration that began before the hub went, and one that leaves it while it is gone.
        before.moved(None, Some(&name));
        without.moved(Some(&name), None);
        without.moved(Some(&name), None);
        let after = Hubs::new([(hub("a.example", 9, HubState::Active), 99)], Some(&without));
        before.moved(None, Some(&name));
        assert_eq!(after.get(&name).unwrap().assigned(), 4);
    }
}
