//! Writing and removing enrollment groups. They are few, and are read with the catalogue.

use landfall_domain::enrollment::Group;
use landfall_domain::names::{GroupId, IdScope};

use super::catalogue::{bump, revised};
use super::codec::key;
use super::engine::Write;
use super::tables::Tables;
use super::{admissions, claims, revocations};
use crate::rules::claims::Claims;
use crate::rules::{admissions::ways_of_change, groups};
use crate::{DeleteOutcome, Precondition, PutOutcome, StoreError};

/// Creates or replaces a group.
pub(super) struct PutGroup {
    scope: IdScope,
    group: Group,
    when: Precondition,
}

impl PutGroup {
    pub(super) fn new(scope: &IdScope, group: Group, when: Precondition) -> Self {
        Self { scope: scope.clone(), group, when }
    }
}

impl Write for PutGroup {
    type Answer = PutOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<PutOutcome, StoreError> {
        let Self { scope, group, when } = self;
        let key = key(scope, group.id.as_str());
        let stands: Option<Group> = tables.groups.get(&key)?;
        let outcome = match when.judge(stands.as_ref().map(|g| g.terms.etag.as_str())) {
            Ok(outcome) => outcome,
            Err(refused) => return Ok(refused),
        };
        if let Some(refused) = groups::refused(&tables.of(scope), scope, (stands.as_ref(), group), tables.kept.groups)?
        {
            return Ok(PutOutcome::Conflict(refused));
        }
        let before = stands.as_ref().map(|stands| Claims::of_group(scope, stands));
        claims::replace(tables, scope, before.as_ref(), &Claims::of_group(scope, group))?;
        tables.groups.put(&key, group)?;
        follow(tables, scope, stands.as_ref(), Some(group))?;
        revised(tables, scope, outcome)
    }
}

/// Removes a group.
pub(super) struct DeleteGroup {
    scope: IdScope,
    id: GroupId,
    when: Precondition,
}

impl DeleteGroup {
    pub(super) fn new(scope: &IdScope, id: &GroupId, when: Precondition) -> Self {
        Self { scope: scope.clone(), id: id.clone(), when }
    }
}

impl Write for DeleteGroup {
    type Answer = DeleteOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<DeleteOutcome, StoreError> {
        let key = key(&self.scope, self.id.as_str());
        let stands: Option<Group> = tables.groups.get(&key)?;
        if let Err(refused) = self.when.judge_removal(stands.as_ref().map(|g| g.terms.etag.as_str())) {
            return Ok(refused);
        }
        if let Some(stands) = &stands {
            claims::give_back(tables, &self.scope, &Claims::of_group(&self.scope, stands))?;
            tables.groups.remove(&key)?;
            follow(tables, &self.scope, Some(stands), None)?;
            bump(tables, &self.scope)?;
        }
        Ok(DeleteOutcome::Deleted)
    }
}

/// Updates the rows that are derived from groups after a change of one.
fn follow(
    tables: &mut Tables<'_>,
    scope: &IdScope,
    before: Option<&Group>,
    after: Option<&Group>,
) -> Result<(), StoreError> {
    for der in groups::let_go(before, after) {
        let at = before.map_or_else(Default::default, |before| before.terms.updated_at);
        revocations::remember(tables, scope, der, at)?;
    }
    ways_of_change(before, after).try_for_each(|way| admissions::bump(tables, scope, way))
}
