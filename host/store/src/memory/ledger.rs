//! The ledger, and the contents that its entries name.

use async_trait::async_trait;
use landfall_domain::decision::{Content, Entry};
use landfall_domain::names::{Digest, IdScope, RegistrationId, TrackingId};

use super::{MemoryStore, State};
use crate::rules::contents::{self, Contents as _, Named};
use crate::{DecisionFilter, DecisionPage, DecisionPlace, Lane, LedgerStore, Listing, StoreError};

#[async_trait]
impl LedgerStore for MemoryStore {
    async fn record_entry(&self, entry: Entry, contents: Vec<Content>) -> Result<(), StoreError> {
        self.write(|state| {
            contents::take(state, &Named::by_entry(&entry), &contents)?;
            state.keep_other(entry)
        })
    }

    async fn decisions(
        &self,
        scope: &IdScope,
        page: DecisionPage,
        filter: DecisionFilter,
    ) -> Result<Listing<Entry>, StoreError> {
        self.read(|state| {
            // An entry that explains a registration takes precedence over an earlier entry of the same request.
            let others = state.others.values().filter(|entry| !state.decisions.contains_key(&entry.tracking_id));
            let mut shown: Vec<&Entry> = state.decisions.values().chain(others).collect();
            shown.retain(|entry| entry.scope.as_ref() == Some(scope) && filter.shows(entry));
            shown.retain(|entry| page.after.is_none_or(|after| DecisionPlace::of(entry) < after));
            shown.sort_by_key(|entry| std::cmp::Reverse(DecisionPlace::of(entry)));
            let more = shown.len() > page.limit.max(1);
            shown.truncate(page.limit.max(1));
            let next = shown.last().filter(|_| more).map(|last| DecisionPlace::of(last).to_string());
            Listing { items: shown.into_iter().cloned().collect(), next }
        })
    }

    async fn ledger_entry(&self, id: TrackingId) -> Result<Option<Entry>, StoreError> {
        self.read(|state| {
            let other = || state.others.values().find(|entry| entry.tracking_id == id);
            state.decisions.get(&id).or_else(other).cloned()
        })
    }

    async fn keep_content(&self, _: Lane, content: Vec<u8>) -> Result<Digest, StoreError> {
        self.write(|state| {
            let digest = Digest::of(&content);
            if state.size(digest)?.is_none() {
                state.changed = true;
                state.contents.insert(digest, content);
            }
            Ok(digest)
        })
    }

    async fn content(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|state| state.contents.get(&digest).cloned())
    }
}

impl State {
    /// Stores an entry that led to no registration, or whose registration is gone, and whose contents are counted
    /// already. The first to arrive are evicted.
    pub(super) fn keep_other(&mut self, entry: Entry) -> Result<(), StoreError> {
        self.changed = true;
        let same = self.others.iter().find(|(_, other)| other.tracking_id == entry.tracking_id);
        let last = self.others.last_key_value().map_or(0, |(number, _)| *number);
        let number = same.map_or(last.saturating_add(1), |(number, _)| *number);
        if let Some(before) = self.others.insert(number, entry) {
            contents::give_back(self, &Named::by_entry(&before))?;
        }
        while self.others.len() > self.settings.entries_kept {
            let Some((_, oldest)) = self.others.pop_first() else { break };
            contents::give_back(self, &Named::by_entry(&oldest))?;
        }
        Ok(())
    }

    /// Removes a decision that explains no registration any more, and the contents that only it named.
    pub(super) fn drop_decision(&mut self, id: TrackingId) -> Result<(), StoreError> {
        if let Some(entry) = self.decisions.remove(&id) {
            contents::give_back(self, &Named::by_entry(&entry))?;
        }
        Ok(())
    }

    /// Moves the entry that explained a registration to the entries that can be evicted. An entry of another device
    /// stays.
    pub(super) fn retire_decision(
        &mut self,
        scope: &IdScope,
        device: &RegistrationId,
        id: TrackingId,
    ) -> Result<(), StoreError> {
        let is_of = |entry: &Entry| {
            entry.scope.as_ref() == Some(scope) && entry.registration_id.eq_ignore_ascii_case(device.as_str())
        };
        if !self.decisions.get(&id).is_some_and(is_of) {
            return Ok(());
        }
        self.decisions.remove(&id).map_or(Ok(()), |entry| self.keep_other(entry))
    }
}
