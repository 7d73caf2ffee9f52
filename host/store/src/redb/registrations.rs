//! Registrations, and the counts that are derived from them.
//!
//! The counts of hubs and groups are rows that change in the same transaction as the registrations that they count. So
//! they are right after every crash and never have to be counted again.

use async_trait::async_trait;
use landfall_domain::decision::Content;
use landfall_domain::names::{Digest, IdScope, RegistrationId, TrackingId};
use landfall_domain::registration::{Registration, Version};
use landfall_domain::registry::ManufacturingRecord;

use super::codec::{self, group_keys, key};
use super::engine::Write;
use super::listing::{self, Walk};
use super::tables::{self, BOUND_KEYS, GROUP_COUNTS, REGISTRATION_VIEWS, REGISTRATIONS, Rows, Tables};
use super::{RedbStore, View, challenges, decisions, identities, ledger, views};
use crate::rules::contents::{self, Named};
use crate::rules::registrations::{self as rules, Judged, Wish};
use crate::writer::Lane;
use crate::{
    AdmissionBasis, CommitOutcome, DeleteOutcome, Listing, Page, Precondition, RegistrationCommit, RegistrationFilter,
    StoreError,
};

#[async_trait]
impl crate::RegistrationStore for RedbStore {
    async fn registration(&self, scope: &IdScope, id: &RegistrationId) -> Result<Option<Registration>, StoreError> {
        get(&self.view()?, scope, id)
    }

    async fn device_of_key(&self, scope: &IdScope, key: Digest) -> Result<Option<RegistrationId>, StoreError> {
        of_key(&self.view()?, scope, key)
    }

    async fn registrations(
        &self,
        scope: &IdScope,
        page: Page,
        filter: RegistrationFilter,
    ) -> Result<Listing<Registration>, StoreError> {
        let scope = scope.clone();
        self.look(move |view| list(view, &scope, &page, &filter)).await
    }

    async fn commit_registration(&self, commit: RegistrationCommit) -> Result<CommitOutcome, StoreError> {
        let commit = Commit::new(commit)?;
        self.write(Lane::Device, commit).await
    }

    async fn delete_registration(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        when: Precondition,
    ) -> Result<Result<Registration, DeleteOutcome>, StoreError> {
        let delete = Delete::new(scope, id, when);
        self.write(Lane::Operator, delete).await
    }

    async fn release_registration(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError> {
        let release = Release::new(scope, id, when);
        self.write(Lane::Operator, release).await
    }

    async fn group_count(&self, scope: &IdScope, path: &[String]) -> Result<u64, StoreError> {
        group_count(&self.view()?, scope, path)
    }
}

/// The registration of an id.
pub(super) fn get(view: &View, scope: &IdScope, id: &RegistrationId) -> Result<Option<Registration>, StoreError> {
    tables::get(&view.table(REGISTRATIONS)?, WHAT, &key(scope, id.key()))
}

/// A page of registrations.
pub(super) fn list(
    view: &View,
    scope: &IdScope,
    page: &Page,
    filter: &RegistrationFilter,
) -> Result<Listing<Registration>, StoreError> {
    let RegistrationFilter { hub, group, assigned } = filter;
    // If both filters are set, read the view that usually has fewer devices.
    let of = match (assigned, group, hub) {
        (Some(false), ..) => Some(views::FAILED.to_owned()),
        (_, Some(group), _) => Some(views::of_group(group)),
        (_, None, Some(hub)) => Some(views::on_hub(hub)),
        _ => None,
    };
    let of = of.map(|view| (REGISTRATION_VIEWS, view));
    let walk = Walk { things: REGISTRATIONS, what: WHAT, view: of, prefix: "" };
    listing::page(view, &walk, scope, page, |registration| filter.shows(registration))
}

/// The number of devices placed at a path or below it.
pub(super) fn group_count(view: &View, scope: &IdScope, path: &[String]) -> Result<u64, StoreError> {
    let table = view.table(GROUP_COUNTS)?;
    let keys = group_keys(scope, path);
    let key = keys.last().map_or(&[] as &[u8], Vec::as_slice);
    Ok(tables::get(&table, "count of a group", key)?.unwrap_or(0))
}

/// Writes a registration with all its derived rows.
pub(super) struct Commit {
    scope: IdScope,
    registration: Registration,
    expected: Option<Version>,
    record: Option<ManufacturingRecord>,
    basis: AdmissionBasis,
    answered: Option<TrackingId>,
    decision: TrackingId,
    /// Encoded before the job is queued: an entry is large, and the writer thread is the bottleneck.
    entry: Vec<u8>,
    rows: Option<decisions::Rows>,
    named: Named,
    contents: Vec<Content>,
}

impl Commit {
    pub(super) fn new(commit: RegistrationCommit) -> Result<Self, StoreError> {
        Ok(Self {
            scope: commit.scope,
            registration: commit.registration,
            expected: commit.expected,
            record: commit.record,
            basis: commit.basis,
            answered: commit.answered,
            decision: commit.entry.tracking_id,
            named: Named::by_entry(&commit.entry),
            entry: codec::encode(&commit.entry)?,
            rows: decisions::Rows::of(&commit.entry)?,
            contents: commit.contents,
        })
    }
}

impl Write for Commit {
    type Answer = CommitOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<CommitOutcome, StoreError> {
        let (scope, key) = (&self.scope, key(&self.scope, self.registration.registration_id.key()));
        let wish = Wish {
            registration: &self.registration,
            expected: self.expected,
            record: self.record.as_ref(),
            basis: &self.basis,
            answered: self.answered,
            named: &self.named,
        };
        let Judged { current, mut next } = match rules::commit(&tables.of(scope), &wish)? {
            Ok(judged) => judged,
            Err(refused) => return Ok(refused),
        };
        follow(tables, scope, current.as_ref(), Some(&next))?;
        if let Some(challenge) = self.answered {
            challenges::spend(tables, challenge)?;
        }
        contents::take(tables, &self.named, &self.contents)?;
        ledger::drop_decision(tables, self.decision)?;
        let (earlier, gone) = rules::earlier(current, next.decision, tables.kept.decisions_per_device);
        next.earlier = earlier;
        gone.into_iter().try_for_each(|old| ledger::drop_decision(tables, old))?;
        tables.registrations.put(&key, &next)?;
        tables.decisions.put_encoded(self.decision.as_bytes(), &self.entry)?;
        decisions::explain(tables, self.decision, self.rows.as_ref())?;
        Ok(CommitOutcome::Committed(Box::new(next)))
    }

    fn size(&self) -> usize {
        self.entry.len().saturating_add(USUAL_SIZE)
    }
}

/// Removes a registration.
pub(super) struct Delete {
    scope: IdScope,
    id: RegistrationId,
    when: Precondition,
}

impl Delete {
    pub(super) fn new(scope: &IdScope, id: &RegistrationId, when: Precondition) -> Self {
        Self { scope: scope.clone(), id: id.clone(), when }
    }
}

impl Write for Delete {
    type Answer = Result<Registration, DeleteOutcome>;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<Self::Answer, StoreError> {
        let key = key(&self.scope, self.id.key());
        let current: Option<Registration> = tables.registrations.get(&key)?;
        if let Err(refused) = self.when.judge_removal(current.as_ref().map(Registration::etag).as_deref()) {
            return Ok(Err(refused));
        }
        let Some(current) = current else { return Ok(Err(DeleteOutcome::Missing)) };
        follow(tables, &self.scope, Some(&current), None)?;
        tables.registrations.remove(&key)?;
        // The oldest first, so that it is the first to be evicted.
        for decision in current.earlier.iter().rev().chain([&current.decision]) {
            ledger::retire_decision(tables, &self.scope, &current.registration_id, *decision)?;
        }
        Ok(Ok(current))
    }
}

/// Unbinds a registration from its key. The generation increases, so that a pending decision for the old key does not
/// bind it again.
pub(super) struct Release {
    scope: IdScope,
    id: RegistrationId,
    when: Precondition,
}

impl Release {
    pub(super) fn new(scope: &IdScope, id: &RegistrationId, when: Precondition) -> Self {
        Self { scope: scope.clone(), id: id.clone(), when }
    }
}

impl Write for Release {
    type Answer = DeleteOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<DeleteOutcome, StoreError> {
        let key = key(&self.scope, self.id.key());
        let current: Option<Registration> = tables.registrations.get(&key)?;
        if let Err(refused) = self.when.judge_removal(current.as_ref().map(Registration::etag).as_deref()) {
            return Ok(refused);
        }
        let Some(bound) = current else { return Ok(DeleteOutcome::Missing) };
        let released = rules::released(bound.clone());
        follow(tables, &self.scope, Some(&bound), Some(&released))?;
        tables.registrations.put(&key, &released)?;
        Ok(DeleteOutcome::Deleted)
    }
}

/// Updates all rows that are derived from registrations after a change of one.
fn follow(
    tables: &mut Tables<'_>,
    scope: &IdScope,
    before: Option<&Registration>,
    after: Option<&Registration>,
) -> Result<(), StoreError> {
    recount(tables, scope, before, after)?;
    bind(tables, scope, before, after)?;
    identities::claim(tables, scope, before, after)?;
    let rows = |r: Option<&Registration>| r.map_or_else(Vec::new, |r| views::of_registration(scope, r));
    views::follow(&mut tables.registration_views, &rows(before), &rows(after))
}

/// Binds a key to a registration id, from its first registration until its release.
fn bind(
    tables: &mut Tables<'_>,
    scope: &IdScope,
    before: Option<&Registration>,
    after: Option<&Registration>,
) -> Result<(), StoreError> {
    let row = |r: Option<&Registration>| r.and_then(|r| r.key_identity).map(|shown| key(scope, shown.to_string()));
    let (old, new) = (row(before), row(after));
    if old == new {
        return Ok(());
    }
    if let (Some(old), Some(before)) = (old, before) {
        // In a file from before this rule, two devices may share a key; only one owns it.
        let owner: Option<RegistrationId> = tables.bound_keys.get(&old)?;
        if owner.is_some_and(|owner| owner == before.registration_id) {
            tables.bound_keys.remove(&old)?;
        }
    }
    if let (Some(new), Some(after)) = (new, after) {
        tables.bound_keys.put(&new, &after.registration_id)?;
    }
    Ok(())
}

/// The device to which a key belongs.
pub(super) fn of_key(view: &View, scope: &IdScope, shown: Digest) -> Result<Option<RegistrationId>, StoreError> {
    tables::get(&view.table(BOUND_KEYS)?, "binding of a key", &key(scope, shown.to_string()))
}

/// Builds the bindings anew, for a file from before they existed. Of two devices with one key, the first gets it.
pub(super) fn bind_all(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let Tables { registrations, bound_keys, .. } = tables;
    bound_keys.clear()?;
    registrations.each(|row, registration: Registration| {
        let Some(shown) = registration.key_identity else { return Ok(()) };
        let (scope, _) = codec::parts(WHAT, row)?;
        let row = key(&scope, shown.to_string());
        if bound_keys.has(&row)? { Ok(()) } else { bound_keys.put(&row, &registration.registration_id) }
    })
}

/// Moves the counts from the earlier place of a registration to its new one.
fn recount(
    tables: &mut Tables<'_>,
    scope: &IdScope,
    before: Option<&Registration>,
    after: Option<&Registration>,
) -> Result<(), StoreError> {
    let all = tables.meta.count(REGISTERED)?;
    match (before, after) {
        (None, Some(_)) => tables.meta.put(REGISTERED, &all.saturating_add(1))?,
        (Some(_), None) => tables.meta.put(REGISTERED, &all.saturating_sub(1))?,
        _ => {}
    }
    let hub = |r: Option<&Registration>| r.and_then(Registration::hub).cloned();
    let (left, joined) = (hub(before), hub(after));
    if left != joined {
        for (hub, change) in left.into_iter().map(|hub| (hub, -1)).chain(joined.map(|hub| (hub, 1))) {
            let row = key(scope, hub.as_str());
            let count = tables.hub_loads.count(&row)?.saturating_add_signed(change);
            tables.hub_loads.set_count(&row, count)?;
            tables.moved.push((scope.clone(), hub, count));
        }
    }
    let groups = |r: Option<&Registration>| -> Vec<Vec<u8>> {
        let assignment = r.and_then(Registration::assignment);
        assignment.map_or_else(Vec::new, |a| group_keys(scope, &a.group_path))
    };
    shift(&mut tables.group_counts, &groups(before), &groups(after))
}

/// Decrements each count of `before` and increments each of `after`; a count in both is left unchanged.
fn shift(counts: &mut Rows<'_>, before: &[Vec<u8>], after: &[Vec<u8>]) -> Result<(), StoreError> {
    for key in before.iter().filter(|key| !after.contains(key)) {
        let count = counts.count(key)?.saturating_sub(1);
        counts.set_count(key, count)?;
    }
    for key in after.iter().filter(|key| !before.contains(key)) {
        let count = counts.count(key)?.saturating_add(1);
        counts.set_count(key, count)?;
    }
    Ok(())
}

/// Counts the registrations again.
pub(super) fn count_all(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let all = tables.registrations.len()?;
    tables.meta.put(REGISTERED, &all)
}

const WHAT: &str = "registration";
/// The key of the number of registrations: it distinguishes a file that lost registrations from one that never had
/// them.
pub(super) const REGISTERED: &[u8] = b"registrations";
/// The approximate number of bytes that a commit writes besides its entry.
const USUAL_SIZE: usize = 1024;
