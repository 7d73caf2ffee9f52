//! The hubs that can be chosen, and how full they are.
//!
//! The store checks for room in the transaction that takes a place, and tells the counts that are read here ([`HubLoads`]). So
//! a decision does not have to read one row per hub. If a choice was made on counts that are out of date, its commit fails and it
//! is made again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use landfall_domain::decision::call::{self, Candidate};
use landfall_domain::hub::{Hub, HubState};
use landfall_domain::names::{HubName, IdScope};
use landfall_store::HubLoadFollower;

/// How many devices each hub has, linked or not, as the store tells it. Nobody else writes these numbers.
#[derive(Debug, Default)]
pub struct HubLoads(RwLock<HashMap<IdScope, HashMap<HubName, HubLoad>>>);

/// How many devices a hub has. All clones are one number.
#[derive(Clone, Debug, Default)]
pub struct HubLoad(Arc<AtomicU64>);

impl HubLoads {
    /// The number of one hub, now and from now on.
    pub fn of(&self, scope: &IdScope, hub: &HubName) -> HubLoad {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(load) = known.get(scope).and_then(|hubs| hubs.get(hub)) {
            return load.clone();
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(scope.clone()).or_default().entry(hub.clone()).or_default().clone()
    }
}

impl HubLoadFollower for HubLoads {
    fn hub_load(&self, scope: &IdScope, hub: &HubName, assigned: u64) {
        self.of(scope, hub).0.store(assigned, Ordering::Relaxed);
    }
}

impl HubLoad {
    fn assigned(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl From<u64> for HubLoad {
    fn from(assigned: u64) -> Self {
        Self(Arc::new(AtomicU64::new(assigned)))
    }
}

/// The linked hubs of one id scope, by name, with their counters.
#[derive(Debug, Default)]
pub struct Hubs {
    hubs: Vec<LinkedHub>,
    /// The hubs as policies are told of them, in the same order.
    shown: Arc<[call::Hub]>,
    /// Places that are being taken. Hubs that were unlinked are included: registrations are under way there, and the
    /// hub may be linked again.
    pending: HashMap<HubName, Arc<AtomicU32>>,
}

/// A hub and its counters.
#[derive(Clone, Debug)]
pub struct LinkedHub {
    /// The hub as the operator has set it.
    pub hub: Hub,
    load: HubLoad,
    pending: Arc<AtomicU32>,
}

/// A place in a hub that is being taken. Dropping it takes the announcement back, however the registration ended.
#[derive(Debug)]
pub struct Pending(Arc<AtomicU32>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hubs {
    /// Hubs with their counts. Hubs that are in `before` as well keep counting the places that are being taken in them.
    pub fn new(records: impl IntoIterator<Item = (Hub, HubLoad)>, before: Option<&Self>) -> Self {
        let mut pending = before.map(|hubs| hubs.pending.clone()).unwrap_or_default();
        let linked = records.into_iter().map(|(hub, load)| {
            let pending = Arc::clone(pending.entry(hub.name.clone()).or_default());
            LinkedHub { hub, load, pending }
        });
        let mut hubs: Vec<LinkedHub> = linked.collect();
        hubs.sort_by(|a, b| a.hub.name.cmp(&b.hub.name));
        let shown = hubs.iter().map(|linked| for_policies(&linked.hub)).collect();
        Self { hubs, shown, pending }
    }

    /// The hubs, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &LinkedHub> {
        self.hubs.iter()
    }

    /// The linked hub of this name.
    pub fn get(&self, name: &HubName) -> Option<&LinkedHub> {
        self.hubs.get(self.position(name)?)
    }

    /// What policies are told of all hubs. A candidate names its hub by the position here.
    pub fn for_policies(&self) -> &Arc<[call::Hub]> {
        &self.shown
    }

    /// A hub as it is shown to a policy now.
    pub fn candidate(&self, name: &HubName) -> Option<(&call::Hub, Candidate)> {
        let at = self.position(name)?;
        Some((self.shown.get(at)?, self.hubs.get(at)?.candidate(u32::try_from(at).ok()?)))
    }

    fn position(&self, name: &HubName) -> Option<usize> {
        self.hubs.binary_search_by(|linked| linked.hub.name.cmp(name)).ok()
    }

    /// The number of linked hubs.
    pub fn len(&self) -> usize {
        self.hubs.len()
    }

    /// Whether no hub is linked.
    pub fn is_empty(&self) -> bool {
        self.hubs.is_empty()
    }
}

impl LinkedHub {
    /// The number of devices that are assigned to it.
    pub fn assigned(&self) -> u64 {
        self.load.assigned()
    }

    /// Announces that a place is being taken.
    pub fn pending(&self) -> Pending {
        self.pending.fetch_add(1, Ordering::Relaxed);
        Pending(Arc::clone(&self.pending))
    }

    /// Why the hub cannot take a device; `None` if it can. A device's own hub can, even if it is full or draining.
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
        let pending = self.pending.load(Ordering::Relaxed);
        Candidate { hub: position, assigned: self.assigned(), pending }
    }
}

fn for_policies(hub: &Hub) -> call::Hub {
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
    use landfall_domain::hub::Connector;

    use super::*;

    fn hub(name: &str, capacity: u64, state: HubState) -> Hub {
        let name = name.parse().unwrap();
        Hub { name, weight: 1, capacity, location: None, labels: Default::default(), state, connector: Connector::None }
    }

    #[test]
    fn a_device_may_stay_where_it_is_even_when_nobody_else_may_come() {
        let hubs = Hubs::new(
            [
                (hub("full.example", 1, HubState::Active), 1.into()),
                (hub("old.example", 9, HubState::Draining), 1.into()),
            ],
            None,
        );
        for linked in hubs.iter() {
            assert!(linked.refusal(None, None).is_some());
            assert_eq!(linked.refusal(None, Some(&linked.hub.name)), None);
            assert!(linked.refusal(Some(&[]), Some(&linked.hub.name)).is_some());
        }
    }

    #[test]
    fn what_is_being_taken_is_counted_on_through_a_change_of_the_hub_and_while_it_is_gone() {
        let name = "a.example".parse().unwrap();
        let before = Hubs::new([(hub("a.example", 1, HubState::Active), 4.into())], None);
        let pending = before.get(&name).unwrap().pending();
        let without = Hubs::new([], Some(&before));
        let after = Hubs::new([(hub("a.example", 9, HubState::Active), 5.into())], Some(&without));
        let linked = after.get(&name).unwrap();
        assert_eq!((linked.assigned(), linked.candidate(0).pending), (5, 1));
        drop(pending);
        assert_eq!(linked.candidate(0).pending, 0);
    }
}
