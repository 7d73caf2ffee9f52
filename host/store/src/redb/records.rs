//! Manufacturing records and their import.
//!
//! Most rows of an import are new, and there are many, so each costs as little as possible: it is encoded before it is
//! queued, looked up and inserted in the order of the keys (neighbours share pages), and decoded only when there is a
//! stored record to compare with.

use async_trait::async_trait;
use std::sync::Arc;

use landfall_domain::clock::Timestamp;
use landfall_domain::names::{IdScope, ManufacturerId, RegistrationId};
use landfall_domain::registry::{ManufacturingRecord, RecordState};

use super::codec::{self, key};
use super::engine::Write;
use super::listing::{self, Walk};
use super::tables::{self, RECORD_COUNTS, RECORD_VIEWS, RECORDS, Tables};
use super::{RedbStore, View, unreadable, views};
use crate::rules::import::{self, Judged};
use crate::writer::Lane;
use crate::{
    Batches, ImportBatch, Listing, Page, Precondition, PutOutcome, RecordFilter, RowOutcome, RowResult, Staging,
    StoreError, entity_tag,
};

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
        when: Precondition,
    ) -> Result<Result<ManufacturingRecord, PutOutcome>, StoreError> {
        let set = SetState { scope: scope.clone(), key: key(scope, id.key()), state, now, when };
        self.write(Lane::Operator, set).await
    }

    async fn manufacturers(&self, scope: &IdScope, most: usize) -> Result<Vec<ManufacturerId>, StoreError> {
        manufacturers(&self.view()?, scope, most)
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

/// The first manufacturers that have records.
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
    listing::page(view, &walk, scope, page, |record| filter.shows(record))
}

/// A batch, ready to be judged.
pub(super) struct Import {
    batch: ImportBatch,
    /// The rows in the order in which they are judged.
    rows: Vec<Row>,
    bytes: usize,
}

struct Row {
    key: Vec<u8>,
    /// The index of the row in the batch.
    place: usize,
    /// The encoded record, which is written if it is new.
    encoded: Vec<u8>,
}

impl Import {
    pub(super) fn new(batch: ImportBatch) -> Result<Self, StoreError> {
        let mut rows = Vec::with_capacity(batch.rows.len());
        let mut bytes = 0_usize;
        for place in import::order(&batch) {
            let Some(record) = batch.rows.get(place) else { continue };
            let row =
                Row { key: key(&batch.scope, record.registration_id.key()), place, encoded: codec::encode(record)? };
            bytes = bytes.saturating_add(row.key.len() + row.encoded.len());
            rows.push(row);
        }
        Ok(Self { batch, rows, bytes })
    }
}

impl Write for Import {
    type Answer = Vec<RowResult>;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<Vec<RowResult>, StoreError> {
        let count_key = key(&self.batch.scope, self.batch.manufacturer.as_str());
        let count = tables.record_counts.count(&count_key)?;
        let order = self.rows.iter().map(|row| (row.place, row.key.as_slice()));
        let judged = import::judge(&self.batch, order, count, |key, _| tables.records.get(key))?;
        if !self.batch.dry_run {
            let added = self.write(tables, &judged)?;
            if added > 0 {
                tables.record_counts.set_count(&count_key, count.saturating_add(added))?;
            }
        }
        Ok(import::results(judged))
    }

    fn size(&self) -> usize {
        self.bytes
    }
}

/// All batches of an import, in one transaction.
pub(super) struct ImportWhole {
    batches: Arc<dyn Batches>,
    /// Checks that there is disk space for one more batch.
    room: Room,
}

/// Called before more is written; an error means that there is no disk space.
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
            // A full disk would fail the commit and end the server; this error only rolls the import back.
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

    /// It shares its transaction with no other job, because it may be rolled back.
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

impl Import {
    /// Writes the rows that were judged good; returns how many records are new.
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
                // An update or a claim changes neither manufacturer nor state, so the views of the record stay.
                (RowOutcome::Updated | RowOutcome::OtherManufacturer, Some(record)) => {
                    tables.records.put(&row.key, record)?
                }
                _ => {}
            }
        }
        Ok(added)
    }
}

/// Changes the state of a record.
pub(super) struct SetState {
    scope: IdScope,
    key: Vec<u8>,
    state: RecordState,
    now: Timestamp,
    when: Precondition,
}

impl Write for SetState {
    type Answer = Result<ManufacturingRecord, PutOutcome>;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<Self::Answer, StoreError> {
        let Some(stands) = tables.records.get::<ManufacturingRecord>(&self.key)? else {
            return Ok(Err(PutOutcome::Missing));
        };
        if let Err(refused) = self.when.judge(Some(&entity_tag(&stands))) {
            return Ok(Err(refused));
        }
        let Some(changed) = import::in_state(&stands, self.state, self.now) else { return Ok(Ok(stands)) };
        tables.records.put(&self.key, &changed)?;
        let rows = |record| views::of_record(&self.scope, record);
        views::follow(&mut tables.record_views, &rows(&stands), &rows(&changed))?;
        Ok(Ok(changed))
    }
}

const WHAT: &str = "manufacturing record";
const COUNT: &str = "count of a manufacturer";
