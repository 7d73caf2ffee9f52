//! Individual enrollments and enrollment groups.

use async_trait::async_trait;
use landfall_domain::enrollment::{EnrollmentRef, Group, Individual};
use landfall_domain::names::{Digest, GroupId, IdScope, RegistrationId};

use super::codec::{self, key};
use super::engine::Write;
use super::groups::{DeleteGroup, PutGroup};
use super::listing::{self, Walk};
use super::tables::{self, CERTIFICATES, GROUPS, INDIVIDUALS, Tables};
use super::{RedbStore, View, claims, unreadable};
use crate::rules::claims::Claims;
use crate::writer::Lane;
use crate::{DeleteOutcome, Listing, Page, Precondition, PutOutcome, StoreError};

#[async_trait]
impl crate::EnrollmentStore for RedbStore {
    async fn individual(&self, scope: &IdScope, id: &RegistrationId) -> Result<Option<Individual>, StoreError> {
        individual(&self.view()?, scope, id)
    }

    async fn individuals(&self, scope: &IdScope, page: Page) -> Result<Listing<Individual>, StoreError> {
        let scope = scope.clone();
        self.look(move |view| individuals(view, &scope, &page)).await
    }

    async fn put_individual(
        &self,
        scope: &IdScope,
        entry: Individual,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError> {
        let put = PutIndividual::new(scope, entry, when);
        self.write(Lane::Operator, put).await
    }

    async fn replace_individuals(
        &self,
        scope: &IdScope,
        entries: Vec<(Individual, Precondition)>,
    ) -> Result<Vec<PutOutcome>, StoreError> {
        self.write(Lane::Operator, ReplaceIndividuals { scope: scope.clone(), entries }).await
    }

    async fn delete_individual(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError> {
        let delete = DeleteIndividual::new(scope, id, when);
        self.write(Lane::Operator, delete).await
    }

    async fn enrollment_of_certificate(
        &self,
        scope: &IdScope,
        certificate: Digest,
    ) -> Result<Option<EnrollmentRef>, StoreError> {
        of_certificate(&self.view()?, scope, certificate)
    }

    async fn group(&self, scope: &IdScope, id: &GroupId) -> Result<Option<Group>, StoreError> {
        group(&self.view()?, scope, id)
    }

    async fn put_group(&self, scope: &IdScope, group: Group, when: Precondition) -> Result<PutOutcome, StoreError> {
        let put = PutGroup::new(scope, group, when);
        self.write(Lane::Operator, put).await
    }

    async fn delete_group(
        &self,
        scope: &IdScope,
        id: &GroupId,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError> {
        let delete = DeleteGroup::new(scope, id, when);
        self.write(Lane::Operator, delete).await
    }
}

/// The individual enrollment of an id. If there is none, a neighbouring one is read all the same, so that the time
/// does not tell.
pub(super) fn individual(view: &View, scope: &IdScope, id: &RegistrationId) -> Result<Option<Individual>, StoreError> {
    let table = view.table(INDIVIDUALS)?;
    let (first, own, end) = (key(scope, ""), key(scope, id.key()), codec::end_of(scope));
    let mut before = table.range(first.as_slice()..=own.as_slice()).map_err(unreadable)?;
    let found = match before.next_back() {
        Some(row) => Some(row),
        None => table.range(own.as_slice()..end.as_slice()).map_err(unreadable)?.next(),
    };
    let Some((_, row)) = found.transpose().map_err(unreadable)? else { return Ok(None) };
    let individual: Individual = codec::decode("individual enrollment", row.value())?;
    Ok((individual.registration_id == *id).then_some(individual))
}

pub(super) fn group(view: &View, scope: &IdScope, id: &GroupId) -> Result<Option<Group>, StoreError> {
    tables::get(&view.table(GROUPS)?, "enrollment group", &key(scope, id.as_str()))
}

/// A page of individual enrollments.
pub(super) fn individuals(view: &View, scope: &IdScope, page: &Page) -> Result<Listing<Individual>, StoreError> {
    let walk = Walk { things: INDIVIDUALS, what: "individual enrollment", view: None, prefix: "" };
    listing::page(view, &walk, scope, page, |_| true)
}

/// The enrollment that pins a certificate.
pub(super) fn of_certificate(
    view: &View,
    scope: &IdScope,
    certificate: Digest,
) -> Result<Option<EnrollmentRef>, StoreError> {
    let table = view.table(CERTIFICATES)?;
    let key = key(scope, certificate.to_string());
    tables::get(&table, "use of a certificate", &key)
}

/// Creates or replaces an individual enrollment.
pub(super) struct PutIndividual {
    scope: IdScope,
    entry: Individual,
    when: Precondition,
}

impl PutIndividual {
    pub(super) fn new(scope: &IdScope, entry: Individual, when: Precondition) -> Self {
        Self { scope: scope.clone(), entry, when }
    }
}

impl Write for PutIndividual {
    type Answer = PutOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<PutOutcome, StoreError> {
        let key = key(&self.scope, self.entry.registration_id.key());
        let stands: Option<Individual> = tables.individuals.get(&key)?;
        let outcome = match self.when.judge(stands.as_ref().map(|i| i.terms.etag.as_str())) {
            Ok(outcome) => outcome,
            Err(refused) => return Ok(refused),
        };
        let before = stands.as_ref().map(|stands| Claims::of_individual(&self.scope, stands));
        let next = Claims::of_individual(&self.scope, &self.entry);
        if let Some(refused) = next.refused(&tables.of(&self.scope), before.as_ref())? {
            return Ok(PutOutcome::Conflict(refused));
        }
        claims::replace(tables, &self.scope, before.as_ref(), &next)?;
        tables.individuals.put(&key, &self.entry)?;
        Ok(outcome)
    }
}

/// Replaces individual enrollments, each on its own condition.
pub(super) struct ReplaceIndividuals {
    pub(super) scope: IdScope,
    pub(super) entries: Vec<(Individual, Precondition)>,
}

impl Write for ReplaceIndividuals {
    type Answer = Vec<PutOutcome>;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<Vec<PutOutcome>, StoreError> {
        let mut outcomes = Vec::with_capacity(self.entries.len());
        for (entry, when) in &self.entries {
            let key = key(&self.scope, entry.registration_id.key());
            let stands: Option<Individual> = tables.individuals.get(&key)?;
            let judged = match &stands {
                Some(stands) => when.judge(Some(&stands.terms.etag)),
                None => Err(PutOutcome::Missing),
            };
            if judged.is_ok() {
                tables.individuals.put(&key, entry)?;
            }
            outcomes.push(judged.unwrap_or_else(|refused| refused));
        }
        Ok(outcomes)
    }
}

/// Removes an individual enrollment.
pub(super) struct DeleteIndividual {
    scope: IdScope,
    id: RegistrationId,
    when: Precondition,
}

impl DeleteIndividual {
    pub(super) fn new(scope: &IdScope, id: &RegistrationId, when: Precondition) -> Self {
        Self { scope: scope.clone(), id: id.clone(), when }
    }
}

impl Write for DeleteIndividual {
    type Answer = DeleteOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<DeleteOutcome, StoreError> {
        let key = key(&self.scope, self.id.key());
        let stands: Option<Individual> = tables.individuals.get(&key)?;
        let tag = stands.as_ref().map(|i| i.terms.etag.as_str());
        if let Err(refused) = self.when.judge_removal(tag) {
            return Ok(refused);
        }
        if let Some(stands) = &stands {
            claims::give_back(tables, &self.scope, &Claims::of_individual(&self.scope, stands))?;
            tables.individuals.remove(&key)?;
        }
        Ok(DeleteOutcome::Deleted)
    }
}
