//! Manufacturing records and their import.

use std::sync::Arc;

use async_trait::async_trait;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::{IdScope, ManufacturerId, RegistrationId};
use landfall_domain::registry::{EvidenceMembers, ManufacturingRecord, RecordState};
use serde::{Deserialize, Serialize};

use crate::{Listing, Page, Precondition, PutOutcome, StoreError};

/// Manufacturing records and their import.
#[async_trait]
pub trait RecordStore: Send + Sync + 'static {
    /// The record of a device.
    async fn record(&self, scope: &IdScope, id: &RegistrationId) -> Result<Option<ManufacturingRecord>, StoreError>;

    /// Records in the order of their ids. A page may hold fewer than asked for when the filter passes few.
    async fn records(
        &self,
        scope: &IdScope,
        page: Page,
        filter: RecordFilter,
    ) -> Result<Listing<ManufacturingRecord>, StoreError>;

    /// Imports a batch in one transaction; answers one result for each row, in order.
    async fn import_batch(&self, batch: ImportBatch) -> Result<Vec<RowResult>, StoreError>;

    /// Imports batches in one transaction, in which nobody else writes: all rows of all of them, or none when one of them
    /// is refused. Answers one result for each row of each batch that was looked at; no batch is after one with a refused row.
    async fn import_whole(&self, batches: Arc<dyn Batches>) -> Result<Vec<Vec<RowResult>>, StoreError>;

    /// A place on the store's disk for what is kept until it is written.
    fn staging(&self) -> Result<Staging, StoreError>;

    /// Changes a record's state; answers the record as it is now, or why it stays as it was. Retired is final: such a record
    /// stays as it is. The entity tag is [`entity_tag`](crate::entity_tag).
    async fn set_record_state(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        state: RecordState,
        now: Timestamp,
        when: Precondition,
    ) -> Result<Result<ManufacturingRecord, PutOutcome>, StoreError>;

    /// Whose records there are, the first so many of them in the order of their names.
    async fn manufacturers(&self, scope: &IdScope, most: usize) -> Result<Vec<ManufacturerId>, StoreError>;
}

/// Which manufacturing records to list.
#[derive(Clone, Debug, Default)]
pub struct RecordFilter {
    /// Only this manufacturer's.
    pub manufacturer: Option<ManufacturerId>,
    /// Only those in this state.
    pub state: Option<RecordState>,
    /// Only those whose registration id begins so (lower case).
    pub prefix: Option<String>,
}

/// Rows to import: a thousand or some thousands, which hold up devices' writes for some milliseconds. A longer import
/// is many batches, several of them on their way at once.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ImportBatch {
    pub scope: IdScope,
    /// Whose records they are; rows of another manufacturer's devices are refused.
    pub manufacturer: ManufacturerId,
    /// How many records this manufacturer may have in all.
    pub quota: Option<u64>,
    /// The rows. Their times and states are those of new records.
    pub rows: Vec<ManufacturingRecord>,
    /// Whether one refused row refuses the whole batch (then nothing is written, and rows that were good answer
    /// [`RowOutcome::NotTaken`]).
    pub all_or_nothing: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Whether evidence that a row leaves out goes from the record; otherwise it stays.
    pub drop_evidence: bool,
}

/// What came of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowResult {
    /// Whether it was taken.
    pub outcome: RowOutcome,
    /// Evidence that its record had and the row leaves out.
    pub left_out: EvidenceMembers,
}

impl RowResult {
    /// Whether the row is taken, be it that nothing had to change.
    pub fn is_good(&self) -> bool {
        self.outcome.is_good()
    }
}

impl From<RowOutcome> for RowResult {
    fn from(outcome: RowOutcome) -> Self {
        Self { outcome, left_out: EvidenceMembers::default() }
    }
}

impl PartialEq<RowOutcome> for RowResult {
    fn eq(&self, outcome: &RowOutcome) -> bool {
        self.outcome == *outcome
    }
}

/// Whether one row was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowOutcome {
    /// A new record.
    Added,
    /// The record said something else before.
    Updated,
    /// The record said the same.
    Unchanged,
    /// Another manufacturer has this device. Its record says so from now on ([`Claim`](landfall_domain::registry::Claim)).
    OtherManufacturer,
    /// The device is retired; its record does not change any more.
    Retired,
    /// The manufacturer's quota is used up.
    OverQuota,
    /// The row was good, and another of an all-or-nothing batch was not.
    NotTaken,
}

impl RowOutcome {
    /// Whether the row is taken, be it that nothing had to change.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Added | Self::Updated | Self::Unchanged)
    }
}

/// Batches of one import, which can be had again from the beginning.
pub trait Batches: Send + Sync {
    /// All of them, in order. Called on a thread that may wait.
    fn begin(&self) -> Result<Box<dyn Iterator<Item = Result<ImportBatch, StoreError>>>, StoreError>;
}

/// A place for bytes until they are written.
pub struct Staging {
    /// A file that has no name, and is gone when it is closed.
    pub file: std::fs::File,
    /// Whether there is room for more.
    pub room: Arc<dyn Fn() -> Result<(), StoreError> + Send + Sync>,
}
