//! The loads of hubs, and the followers that are told of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use landfall_domain::names::{HubName, IdScope};
use redb::ReadableTable;

use super::tables::HUB_LOADS;
use super::{View, codec, unreadable};
use crate::{HubLoadFollower, StoreError};

/// The counts of all hubs, linked or not, and their followers. They are updated after every commit, on the writer
/// thread, before the callers are answered.
pub(super) struct Loads(Mutex<Told>);

struct Told {
    counts: BTreeMap<(IdScope, HubName), u64>,
    followers: Vec<Weak<dyn HubLoadFollower>>,
}

impl Loads {
    /// Reads the counts of the last committed transaction. Called before the first write.
    pub(super) fn read(view: &View) -> Result<Self, StoreError> {
        let mut counts = BTreeMap::new();
        for row in view.table(HUB_LOADS)?.iter().map_err(unreadable)? {
            let (key, count) = row.map_err(unreadable)?;
            // A row whose key names no hub is skipped. `landfall store check` finds it and repairs it.
            let Ok((scope, hub)) = codec::parts(WHAT, key.value()) else { continue };
            let Ok(hub) = hub.parse() else { continue };
            counts.insert((scope, hub), codec::decode(WHAT, count.value())?);
        }
        Ok(Self(Mutex::new(Told { counts, followers: Vec::new() })))
    }

    /// Reports all counts to a follower, and from then on each count that changes.
    pub(super) fn follow(&self, follower: Weak<dyn HubLoadFollower>) {
        let mut told = self.lock();
        if let Some(follower) = follower.upgrade() {
            told.counts.iter().for_each(|((scope, hub), count)| follower.hub_load(scope, hub, *count));
        }
        told.followers.push(follower);
    }

    /// Takes over the counts that a transaction has changed.
    pub(super) fn changed(&self, moved: Vec<(IdScope, HubName, u64)>) {
        if moved.is_empty() {
            return;
        }
        let mut told = self.lock();
        told.followers.retain(|follower| {
            let Some(follower) = follower.upgrade() else { return false };
            moved.iter().for_each(|(scope, hub, count)| follower.hub_load(scope, hub, *count));
            true
        });
        told.counts.extend(moved.into_iter().map(|(scope, hub, count)| ((scope, hub), count)));
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const WHAT: &str = "count of a hub";
