//! How full the hubs are, for whoever chooses among them.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use landfall_domain::hub::HubLoad;
use redb::ReadableTable;

use super::tables::HUB_LOADS;
use super::{View, codec, unreadable};
use crate::StoreError;

/// The counts of all hubs, linked or not, by their keys in the database. They follow every commit, on the writer's
/// thread, before anybody is answered.
#[derive(Default)]
pub(super) struct Loads(RwLock<HashMap<Vec<u8>, HubLoad>>);

impl Loads {
    /// What the last finished transaction says. Read before the first write.
    pub(super) fn read(view: &View) -> Result<Self, StoreError> {
        let mut loads = HashMap::new();
        for row in view.table(HUB_LOADS)?.iter().map_err(unreadable)? {
            let (key, count) = row.map_err(unreadable)?;
            loads.insert(key.value().to_vec(), HubLoad::from(codec::decode::<u64>("count of a hub", count.value())?));
        }
        Ok(Self(RwLock::new(loads)))
    }

    /// The count of one hub, now and from now on.
    pub(super) fn of(&self, key: &[u8]) -> HubLoad {
        if let Some(load) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return load.clone();
        }
        self.0.write().unwrap_or_else(PoisonError::into_inner).entry(key.to_vec()).or_default().clone()
    }

    /// Takes over what a transaction has changed.
    pub(super) fn follow(&self, moved: Vec<(Vec<u8>, u64)>) {
        for (key, count) in moved {
            self.of(&key).set(count);
        }
    }
}
