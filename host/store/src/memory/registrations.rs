//! Registrations and their counts.

use async_trait::async_trait;
use landfall_domain::names::{Digest, HubName, IdScope, RegistrationId};
use landfall_domain::registration::Registration;

use super::{MemoryStore, State, of_scope, page_of};
use crate::rules::Scoped as _;
use crate::rules::contents::{self, Named};
use crate::rules::registrations::{self as rules, Judged, Wish};
use crate::{
    CommitOutcome, DeleteOutcome, Listing, Page, Precondition, RegistrationCommit, RegistrationFilter,
    RegistrationStore, StoreError,
};

#[async_trait]
impl RegistrationStore for MemoryStore {
    async fn registration(&self, scope: &IdScope, id: &RegistrationId) -> Result<Option<Registration>, StoreError> {
        self.read(|state| state.of(scope).registration(id))?
    }

    async fn device_of_key(&self, scope: &IdScope, key: Digest) -> Result<Option<RegistrationId>, StoreError> {
        self.read(|state| state.of(scope).owner_of_key(key))?
    }

    async fn registrations(
        &self,
        scope: &IdScope,
        page: Page,
        filter: RegistrationFilter,
    ) -> Result<Listing<Registration>, StoreError> {
        self.read(|state| page_of(&state.registrations, scope, &page, |registration| filter.shows(registration)))
    }

    async fn commit_registration(&self, commit: RegistrationCommit) -> Result<CommitOutcome, StoreError> {
        self.write(|state| {
            let (scope, named) = (&commit.scope, Named::by_entry(&commit.entry));
            let wish = Wish {
                registration: &commit.registration,
                expected: commit.expected,
                record: commit.record.as_ref(),
                basis: &commit.basis,
                answered: commit.answered,
                named: &named,
            };
            let Judged { current, mut next } = match rules::commit(&state.of(scope), &wish)? {
                Ok(judged) => judged,
                Err(refused) => return Ok(refused),
            };
            if let Some(challenge) = commit.answered.and_then(|name| state.challenges.get_mut(&name)) {
                challenge.spent = true;
            }
            contents::take(state, &named, &commit.contents)?;
            state.drop_decision(commit.entry.tracking_id)?;
            let hubs = [current.as_ref().and_then(Registration::hub).cloned(), next.hub().cloned()];
            let (earlier, gone) = rules::earlier(current, next.decision, state.settings.decisions_per_device);
            next.earlier = earlier;
            gone.into_iter().try_for_each(|old| state.drop_decision(old))?;
            state.put_registration(scope, next.clone());
            state.decisions.insert(commit.entry.tracking_id, commit.entry);
            state.tell(scope, hubs);
            Ok(CommitOutcome::Committed(Box::new(next)))
        })
    }

    async fn delete_registration(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        when: Precondition,
    ) -> Result<Result<Registration, DeleteOutcome>, StoreError> {
        self.write(|state| {
            let current = state.of(scope).registration(id)?;
            if let Err(refused) = when.judge_removal(current.as_ref().map(Registration::etag).as_deref()) {
                return Ok(Err(refused));
            }
            let Some(current) = current else { return Ok(Err(DeleteOutcome::Missing)) };
            state.changed = true;
            state.registrations.remove(&(scope.clone(), id.key().to_owned()));
            for decision in current.earlier.iter().rev().chain([&current.decision]) {
                state.retire_decision(scope, &current.registration_id, *decision)?;
            }
            state.tell(scope, [current.hub().cloned(), None]);
            Ok(Ok(current))
        })
    }

    async fn release_registration(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError> {
        self.write(|state| {
            let current = state.of(scope).registration(id)?;
            if let Err(refused) = when.judge_removal(current.as_ref().map(Registration::etag).as_deref()) {
                return Ok(refused);
            }
            if let Some(bound) = current {
                state.put_registration(scope, rules::released(bound));
            }
            Ok(DeleteOutcome::Deleted)
        })
    }

    async fn group_count(&self, scope: &IdScope, path: &[String]) -> Result<u64, StoreError> {
        self.read(|state| {
            let below = |registration: &Registration| {
                registration.assignment().is_some_and(|place| place.group_path.starts_with(path))
            };
            let count = of_scope(&state.registrations, scope).filter(|(_, registration)| below(registration)).count();
            u64::try_from(count).unwrap_or(u64::MAX)
        })
    }
}

impl State {
    fn put_registration(&mut self, scope: &IdScope, registration: Registration) {
        self.changed = true;
        self.registrations.insert((scope.clone(), registration.registration_id.key().to_owned()), registration);
    }

    /// Reports the counts of the hubs that a device has left and joined.
    fn tell(&mut self, scope: &IdScope, hubs: [Option<HubName>; 2]) {
        let [left, joined] = hubs;
        if left == joined {
            return;
        }
        let mut followers = std::mem::take(&mut self.followers);
        followers.retain(|follower| {
            let Some(follower) = follower.upgrade() else { return false };
            [&left, &joined].into_iter().flatten().for_each(|hub| {
                follower.hub_load(scope, hub, self.hub_load(scope, hub));
            });
            true
        });
        self.followers = followers;
    }
}
