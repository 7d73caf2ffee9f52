//! Individual enrollments and enrollment groups.

use async_trait::async_trait;
use landfall_domain::enrollment::{EnrollmentRef, Group, Individual};
use landfall_domain::names::{Digest, GroupId, IdScope, RegistrationId};

use super::{MemoryStore, State, page_of};
use crate::rules::admissions::ways_of_change;
use crate::rules::claims::Claims;
use crate::rules::{Scoped as _, contents, groups};
use crate::{DeleteOutcome, EnrollmentStore, Held, Listing, Page, Precondition, PutOutcome, StoreError};

#[async_trait]
impl EnrollmentStore for MemoryStore {
    async fn individual(&self, scope: &IdScope, id: &RegistrationId) -> Result<Option<Individual>, StoreError> {
        self.read(|state| state.individuals.get(&(scope.clone(), id.key().to_owned())).cloned())
    }

    async fn individuals(&self, scope: &IdScope, page: Page) -> Result<Listing<Individual>, StoreError> {
        self.read(|state| page_of(&state.individuals, scope, &page, |_| true))
    }

    async fn put_individual(
        &self,
        scope: &IdScope,
        entry: Individual,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError> {
        self.write(|state| {
            let key = (scope.clone(), entry.registration_id.key().to_owned());
            let stands = state.individuals.get(&key);
            let outcome = match when.judge(stands.map(|stands| stands.terms.etag.as_str())) {
                Ok(outcome) => outcome,
                Err(refused) => return Ok(refused),
            };
            let before = stands.map(|stands| Claims::of_individual(scope, stands));
            let next = Claims::of_individual(scope, &entry);
            if let Some(refused) = next.refused(&state.of(scope), before.as_ref())? {
                return Ok(PutOutcome::Conflict(refused));
            }
            state.hold(before.as_ref(), Some(&next))?;
            state.individuals.insert(key, entry);
            Ok(outcome)
        })
    }

    async fn replace_individuals(
        &self,
        scope: &IdScope,
        entries: Vec<(Individual, Precondition)>,
    ) -> Result<Vec<PutOutcome>, StoreError> {
        self.write(|state| {
            let replace = |(entry, when): (Individual, Precondition)| {
                let key = (scope.clone(), entry.registration_id.key().to_owned());
                let Some(stands) = state.individuals.get_mut(&key) else { return PutOutcome::Missing };
                when.judge(Some(&stands.terms.etag)).map_or_else(
                    |refused| refused,
                    |outcome| {
                        *stands = entry;
                        state.changed = true;
                        outcome
                    },
                )
            };
            Ok(entries.into_iter().map(replace).collect())
        })
    }

    async fn delete_individual(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError> {
        self.write(|state| {
            let key = (scope.clone(), id.key().to_owned());
            let stands = state.individuals.get(&key);
            if let Err(refused) = when.judge_removal(stands.map(|stands| stands.terms.etag.as_str())) {
                return Ok(refused);
            }
            let before = stands.map(|stands| Claims::of_individual(scope, stands));
            state.individuals.remove(&key);
            state.hold(before.as_ref(), None)?;
            Ok(DeleteOutcome::Deleted)
        })
    }

    async fn enrollment_of_certificate(
        &self,
        scope: &IdScope,
        certificate: Digest,
    ) -> Result<Option<EnrollmentRef>, StoreError> {
        self.read(|state| state.of(scope).holder(&Held::Certificate(certificate)))?
    }

    async fn group(&self, scope: &IdScope, id: &GroupId) -> Result<Option<Group>, StoreError> {
        self.read(|state| state.groups.get(&(scope.clone(), id.clone())).cloned())
    }

    async fn put_group(&self, scope: &IdScope, group: Group, when: Precondition) -> Result<PutOutcome, StoreError> {
        self.write(|state| {
            let key = (scope.clone(), group.id.clone());
            let stands = state.groups.get(&key).cloned();
            let outcome = match when.judge(stands.as_ref().map(|stands| stands.terms.etag.as_str())) {
                Ok(outcome) => outcome,
                Err(refused) => return Ok(refused),
            };
            let most = state.settings.groups_per_scope;
            if let Some(refused) = groups::refused(&state.of(scope), scope, (stands.as_ref(), &group), most)? {
                return Ok(PutOutcome::Conflict(refused));
            }
            state.groups.insert(key, group.clone());
            state.follow_group(scope, stands.as_ref(), Some(&group))?;
            Ok(outcome)
        })
    }

    async fn delete_group(
        &self,
        scope: &IdScope,
        id: &GroupId,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError> {
        self.write(|state| {
            let key = (scope.clone(), id.clone());
            let stands = state.groups.get(&key).cloned();
            if let Err(refused) = when.judge_removal(stands.as_ref().map(|stands| stands.terms.etag.as_str())) {
                return Ok(refused);
            }
            state.groups.remove(&key);
            state.follow_group(scope, stands.as_ref(), None)?;
            Ok(DeleteOutcome::Deleted)
        })
    }
}

impl State {
    /// Updates the reference counts of the contents that an enrollment names.
    fn hold(&mut self, before: Option<&Claims>, next: Option<&Claims>) -> Result<(), StoreError> {
        self.changed = true;
        if let Some(next) = next {
            contents::take(self, &next.named, &[])?;
        }
        if let Some(before) = before {
            contents::give_back(self, &before.named)?;
        }
        Ok(())
    }

    fn follow_group(
        &mut self,
        scope: &IdScope,
        before: Option<&Group>,
        next: Option<&Group>,
    ) -> Result<(), StoreError> {
        let claims = |group: Option<&Group>| group.map(|group| Claims::of_group(scope, group));
        self.hold(claims(before).as_ref(), claims(next).as_ref())?;
        for der in groups::let_go(before, next) {
            let at = before.map_or_else(Default::default, |before| before.terms.updated_at);
            self.remember(scope, der, at)?;
        }
        ways_of_change(before, next).for_each(|way| self.count_admission(scope, way));
        self.revise(scope);
        Ok(())
    }
}
