//! Manufacturing records, and their import.
//!
//! An import is mostly new rows, many of them, so that each is handled as little as can be: encoded before it queues,
//! looked up and inserted in the order of the keys (neighbours share pages), and decoded only when there is already
//! a record to compare with. A batch is judged as a whole before anything is written, so that a dry run and an
//! all-or-nothing refusal are the same judgement without the writing.

use async_trait::async_trait;
use std::borrow::Cow;
use std::sync::Arc;

use landfall_domain::clock::Timestamp;
use landfall_domain::names::{IdScope, ManufacturerId, RegistrationId};
use landfall_domain::registry::{Claim, EvidenceMembers, ManufacturingRecord, RecordState};

use super::codec::{self, key};
use super::engine::Write;
use super::listing::{self, Walk};
use super::tables::{self, RECORD_COUNTS, RECORD_VIEWS, RECORDS, Tables};
use super::{RedbStore, View, unreadable, views};
use crate::writer::Lane;
use crate::{Batches, ImportBatch, Listing, Page, RecordFilter, RowOutcome, RowResult, Staging, StoreError};

#[async_trait]
impl crate::RecordStore for RedbStore {
    async fn record(&self, scope: &IdScope, id: &RegistrationId) -> Result<Option<ManufacturingRecord>, StoreError> {
        get(&self.view()?, scope, id)
    }

    async fn records(
        &self,
        scope: &IdScope,
        page: Page,
        filter: RecordFilter,
    ) -> Result<Listing<ManufacturingRecord>, StoreError> {
        let scope = scope.clone();
        self.look(move |view| list(view, &scope, &page, &filter)).await
    }

    async fn import_batch(&self, batch: ImportBatch) -> Result<Vec<RowResult>, StoreError> {
        self.write(Lane::Bulk, Import::new(batch)?).await
    }

    async fn import_whole(&self, batches: Arc<dyn Batches>) -> Result<Vec<Vec<RowResult>>, StoreError> {
        let space = Arc::clone(&self.space);
        let room = Arc::new(move || space.check(Lane::Bulk));
        self.write(Lane::Bulk, ImportWhole::new(batches, room)).await
    }

    fn staging(&self) -> Result<Staging, StoreError> {
        self.space.check(Lane::Bulk)?;
        let file = self.space.unnamed_file()?;
        let space = Arc::clone(&self.space);
        Ok(Staging { file, room: Arc::new(move || space.check(Lane::Bulk)) })
    }

    async fn set_record_state(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        state: RecordState,
        now: Timestamp,
    ) -> Result<Option<ManufacturingRecord>, StoreError> {
        let set = SetState::new(scope, id, state, now);
        self.write(Lane::Operator, set).await
    }

    async fn manufacturers(&self, scope: &IdScope, most: usize) -> Result<Vec<ManufacturerId>, StoreError> {
        manufacturers(&self.view()?, scope, most)
    }

    async fn record_count(&self, scope: &IdScope, manufacturer: &ManufacturerId) -> Result<u64, StoreError> {
        count(&self.view()?, scope, manufacturer)
    }
}

/// The record of a device.
pub(super) fn get(
    view: &View,
    scope: &IdScope,
    id: &RegistrationId,
) -> Result<Option<ManufacturingRecord>, StoreError> {
    tables::get(&view.table(RECORDS)?, WHAT, &key(scope, id.key()))
}

/// How many records a manufacturer has.
pub(super) fn count(view: &View, scope: &IdScope, manufacturer: &ManufacturerId) -> Result<u64, StoreError> {
    let table = view.table(RECORD_COUNTS)?;
    let key = key(scope, manufacturer.as_str());
    Ok(tables::get(&table, COUNT, &key)?.unwrap_or(0))
}

/// Who has records, the first of them.
pub(super) fn manufacturers(view: &View, scope: &IdScope, most: usize) -> Result<Vec<ManufacturerId>, StoreError> {
    let table = view.table(RECORD_COUNTS)?;
    let (start, end) = (key(scope, ""), codec::end_of(scope));
    let mut found = Vec::new();
    for row in table.range(start.as_slice()..end.as_slice()).map_err(unreadable)? {
        let (key, count) = row.map_err(unreadable)?;
        if found.len() >= most {
            break;
        }
        if codec::decode::<u64>(COUNT, count.value())? > 0 {
            let name = codec::parts(COUNT, key.value())?.1;
            found.extend(name.parse::<ManufacturerId>());
        }
    }
    Ok(found)
}

/// A page of records.
pub(super) fn list(
    view: &View,
    scope: &IdScope,
    page: &Page,
    filter: &RecordFilter,
) -> Result<Listing<ManufacturingRecord>, StoreError> {
    let prefix = filter.prefix.as_deref().unwrap_or_default().to_ascii_lowercase();
    let manufacturer = filter.manufacturer.as_ref();
    let in_state = filter.state.and_then(|state| views::in_state(state, manufacturer));
    let of = in_state.or_else(|| manufacturer.map(views::of_manufacturer)).map(|view| (RECORD_VIEWS, view));
    let walk = Walk { things: RECORDS, what: WHAT, view: of, prefix: &prefix };
    listing::page(view, &walk, scope, page, |record: &ManufacturingRecord| {
        manufacturer.is_none_or(|m| *m == record.manufacturer) && filter.state.is_none_or(|state| state == record.state)
    })
}

/// A batch, ready to be judged.
pub(super) struct Import {
    batch: ImportBatch,
    /// Sorted by key; rows of one device in the order in which they came.
    rows: Vec<Row>,
    bytes: usize,
}

struct Row {
    key: Vec<u8>,
    /// Its place in the batch.
    place: usize,
    /// The record as it is written when it is new.
    encoded: Vec<u8>,
}

impl Import {
    pub(super) fn new(batch: ImportBatch) -> Result<Self, StoreError> {
        let mut rows = Vec::with_capacity(batch.rows.len());
        let mut bytes = 0_usize;
        for (place, record) in batch.rows.iter().enumerate() {
            let row =
                Row { key: key(&batch.scope, record.registration_id.key()), place, encoded: codec::encode(record)? };
            bytes = bytes.saturating_add(row.key.len() + row.encoded.len());
            rows.push(row);
        }
        rows.sort_unstable_by(|a, b| (&a.key, a.place).cmp(&(&b.key, b.place)));
        Ok(Self { batch, rows, bytes })
    }
}

impl Write for Import {
    type Answer = Vec<RowResult>;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<Vec<RowResult>, StoreError> {
        let count_key = key(&self.batch.scope, self.batch.manufacturer.as_str());
        let count = tables.record_counts.count(&count_key)?;
        let mut judged = self.judge(tables)?;
        self.hold_to_quota(&mut judged, count);
        if self.batch.all_or_nothing && judged.iter().any(|j| !j.outcome.is_good()) {
            for row in judged.iter_mut().filter(|j| j.outcome.is_good()) {
                row.outcome = RowOutcome::NotTaken;
            }
        } else if !self.batch.dry_run {
            let added = self.write(tables, &judged)?;
            if added > 0 {
                tables.record_counts.set_count(&count_key, count.saturating_add(added))?;
            }
        }
        // Back into the order in which the rows came.
        judged.sort_unstable_by_key(|j| j.place);
        let of_own = |outcome| matches!(outcome, RowOutcome::Updated | RowOutcome::Unchanged);
        let result = |j: Judged| match j.outcome {
            outcome if of_own(outcome) => RowResult { outcome, left_out: j.left_out },
            outcome => outcome.into(),
        };
        Ok(judged.into_iter().map(result).collect())
    }

    fn size(&self) -> usize {
        self.bytes
    }
}

/// All batches of an import, in one transaction.
pub(super) struct ImportWhole {
    batches: Arc<dyn Batches>,
    /// Whether there is room on the disk for one more batch.
    room: Room,
}

/// Asked before more is written; an error says that there is no room.
pub(super) type Room = Arc<dyn Fn() -> Result<(), StoreError> + Send + Sync>;

impl ImportWhole {
    pub(super) fn new(batches: Arc<dyn Batches>, room: Room) -> Self {
        Self { batches, room }
    }
}

impl Write for ImportWhole {
    type Answer = Vec<Vec<RowResult>>;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<Self::Answer, StoreError> {
        let mut outcomes = Vec::new();
        for batch in self.batches.begin()? {
            // A full disk in the middle would lose the transaction and end the server; this only takes it back.
            (self.room)()?;
            let batch = ImportBatch { all_or_nothing: true, dry_run: false, ..batch? };
            let of = Import::new(batch)?.apply(tables)?;
            let good = all_good(&of);
            outcomes.push(of);
            if !good {
                break;
            }
        }
        Ok(outcomes)
    }

    /// It shares its transaction with nobody: it may be taken back.
    fn size(&self) -> usize {
        usize::MAX
    }

    fn stands(&self, outcomes: &Self::Answer) -> bool {
        outcomes.iter().all(|of| all_good(of))
    }
}

fn all_good(outcomes: &[RowResult]) -> bool {
    outcomes.iter().all(RowResult::is_good)
}

/// What is made of one row.
struct Judged {
    place: usize,
    outcome: RowOutcome,
    /// Evidence that stands and that the row leaves out.
    left_out: EvidenceMembers,
    /// What an update leaves there; a new row is written as it came.
    updated: Option<ManufacturingRecord>,
    /// Whether it is of the same device as the row before it.
    again: bool,
}

impl Import {
    /// Judges every row but for the quota, in the order of the keys.
    fn judge(&self, tables: &Tables<'_>) -> Result<Vec<Judged>, StoreError> {
        let mut judged: Vec<Judged> = Vec::with_capacity(self.rows.len());
        let mut before: Option<(&[u8], Option<Cow<'_, ManufacturingRecord>>)> = None;
        for row in &self.rows {
            let Some(new) = self.batch.rows.get(row.place) else {
                continue;
            };
            let (again, stands) = match before.take() {
                Some((key, stands)) if key == row.key => (true, stands),
                _ => (false, tables.records.get(&row.key)?.map(Cow::Owned)),
            };
            let left_out = stands.as_deref().map(|old| new.evidence.leaves_out(&old.evidence)).unwrap_or_default();
            let merged = stands
                .as_deref()
                .filter(|_| !left_out.is_none() && !self.batch.drop_evidence)
                .map(|old| ManufacturingRecord { evidence: new.evidence.over(&old.evidence), ..new.clone() });
            let new = merged.map_or(Cow::Borrowed(new), Cow::Owned);
            let outcome = self.compare(stands.as_deref(), &new);
            let (updated, stands) = match (outcome, stands) {
                (RowOutcome::Added, _) => (None, Some(new)),
                (RowOutcome::Updated, Some(old)) => {
                    let old = old.into_owned();
                    let (state, imported_at, claim) = (old.state, old.imported_at, old.claim);
                    let updated = ManufacturingRecord { state, imported_at, claim, ..new.into_owned() };
                    (Some(updated.clone()), Some(Cow::Owned(updated)))
                }
                (RowOutcome::OtherManufacturer, Some(old)) if self.claims(&old) => {
                    let claim = Claim { manufacturer: self.batch.manufacturer.clone(), at: new.imported_at };
                    let claimed = ManufacturingRecord { claim: Some(claim), ..old.into_owned() };
                    (Some(claimed.clone()), Some(Cow::Owned(claimed)))
                }
                (_, stands) => (None, stands),
            };
            before = Some((&row.key, stands));
            judged.push(Judged { place: row.place, outcome, left_out, updated, again });
        }
        Ok(judged)
    }

    /// Whether that the batch's manufacturer names another's device is news.
    fn claims(&self, stands: &ManufacturingRecord) -> bool {
        let claimer = &self.batch.manufacturer;
        stands.manufacturer != *claimer && stands.claim.as_ref().is_none_or(|claim| claim.manufacturer != *claimer)
    }

    fn compare(&self, stands: Option<&ManufacturingRecord>, new: &ManufacturingRecord) -> RowOutcome {
        let Some(old) = stands else {
            return if new.manufacturer == self.batch.manufacturer {
                RowOutcome::Added
            } else {
                RowOutcome::OtherManufacturer
            };
        };
        // In this order: another's device is never told apart by its state, and a repeated import changes nothing.
        if old.manufacturer != self.batch.manufacturer || new.manufacturer != self.batch.manufacturer {
            RowOutcome::OtherManufacturer
        } else if old.says_the_same_as(new) {
            RowOutcome::Unchanged
        } else if old.state == RecordState::Retired {
            RowOutcome::Retired
        } else {
            RowOutcome::Updated
        }
    }

    /// Refuses what is beyond the quota: the last to come, not the last in the order of keys.
    fn hold_to_quota(&self, judged: &mut [Judged], count: u64) {
        let Some(quota) = self.batch.quota else {
            return;
        };
        let mut places: Vec<usize> =
            judged.iter().filter(|j| j.outcome == RowOutcome::Added).map(|j| j.place).collect();
        let room = usize::try_from(quota.saturating_sub(count)).unwrap_or(usize::MAX);
        if places.len() <= room {
            return;
        }
        places.sort_unstable();
        let Some(&first_refused) = places.get(room) else {
            return;
        };
        let mut device_refused = false;
        for row in judged {
            if row.outcome == RowOutcome::Added {
                device_refused = row.place >= first_refused;
            } else if !row.again {
                device_refused = false;
            }
            // Further rows of a device that was not added have nothing to update.
            if device_refused && row.outcome.is_good() {
                row.outcome = RowOutcome::OverQuota;
            }
        }
    }

    /// Writes what was judged good; answers how many records are new.
    fn write(&self, tables: &mut Tables<'_>, judged: &[Judged]) -> Result<u64, StoreError> {
        let mut added = 0;
        for (row, judged) in self.rows.iter().zip(judged) {
            match (judged.outcome, &judged.updated) {
                (RowOutcome::Added, _) => {
                    tables.records.put_encoded(&row.key, &row.encoded)?;
                    if let Some(record) = self.batch.rows.get(row.place) {
                        views::follow(&mut tables.record_views, &[], &views::of_record(&self.batch.scope, record))?;
                    }
                    added += 1;
                }
                // An update keeps manufacturer and state, and so does a claim: its views stay.
                (RowOutcome::Updated | RowOutcome::OtherManufacturer, Some(record)) => {
                    tables.records.put(&row.key, record)?
                }
                _ => {}
            }
        }
        Ok(added)
    }
}

/// Changes a record's state.
pub(super) struct SetState {
    scope: IdScope,
    key: Vec<u8>,
    state: RecordState,
    now: Timestamp,
}

impl SetState {
    pub(super) fn new(scope: &IdScope, id: &RegistrationId, state: RecordState, now: Timestamp) -> Self {
        Self { scope: scope.clone(), key: key(scope, id.key()), state, now }
    }
}

impl Write for SetState {
    type Answer = Option<ManufacturingRecord>;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<Self::Answer, StoreError> {
        let Some(mut record) = tables.records.get::<ManufacturingRecord>(&self.key)? else {
            return Ok(None);
        };
        if record.state != self.state && record.state != RecordState::Retired {
            let before = views::of_record(&self.scope, &record);
            record.state = self.state;
            record.updated_at = self.now;
            tables.records.put(&self.key, &record)?;
            views::follow(&mut tables.record_views, &before, &views::of_record(&self.scope, &record))?;
        }
        Ok(Some(record))
    }
}

const WHAT: &str = "manufacturing record";
const COUNT: &str = "count of a manufacturer";
