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

    /// Records in the order of their ids. A page may hold fewer than requested when few pass the filter.
    async fn records(
        &self,
        scope: &IdScope,
        page: Page,
        filter: RecordFilter,
    ) -> Result<Listing<ManufacturingRecord>, StoreError>;

    /// Imports a batch in one transaction; returns one result for each row, in order.
    async fn import_batch(&self, batch: ImportBatch) -> Result<Vec<RowResult>, StoreError>;

    /// Imports several batches in one exclusive transaction: all rows of all batches, or none if one is refused.
    /// Returns one result for each row of each batch that was judged. Judging stops after the first batch with a
    /// refused row.
    async fn import_whole(&self, batches: Arc<dyn Batches>) -> Result<Vec<Vec<RowResult>>, StoreError>;

    /// A temporary file on the disk of the store, for data that is to be written later.
    fn staging(&self) -> Result<Staging, StoreError>;

    /// Changes the state of a record; returns the record after the change, or why it did not change. Retired is final:
    /// a retired record does not change. The entity tag is [`entity_tag`](crate::entity_tag).
    async fn set_record_state(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        state: RecordState,
        now: Timestamp,
        when: Precondition,
    ) -> Result<Result<ManufacturingRecord, PutOutcome>, StoreError>;

    /// The manufacturers that have records, in the order of their names, at most `most`.
    async fn manufacturers(&self, scope: &IdScope, most: usize) -> Result<Vec<ManufacturerId>, StoreError>;
}

/// Which manufacturing records to list.
#[derive(Clone, Debug, Default)]
pub struct RecordFilter {
    /// Only records of this manufacturer.
    pub manufacturer: Option<ManufacturerId>,
    /// Only records in this state.
    pub state: Option<RecordState>,
    /// Only records whose registration id begins with this (lower case).
    pub prefix: Option<String>,
}

/// Rows to import: one to a few thousand, which delay the writes of devices by some milliseconds. A longer import
/// consists of many batches, several of them in flight at once.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ImportBatch {
    pub scope: IdScope,
    /// The manufacturer of the records; rows for devices of another manufacturer are refused.
    pub manufacturer: ManufacturerId,
    /// The maximum number of records of this manufacturer.
    pub quota: Option<u64>,
    /// The rows. Their times and states apply to new records only.
    pub rows: Vec<ManufacturingRecord>,
    /// Whether one refused row refuses the whole batch. Then nothing is written, and rows that were good get
    /// [`RowOutcome::NotTaken`].
    pub all_or_nothing: bool,
    /// Whether to only report what the import would do.
    pub dry_run: bool,
    /// Whether evidence that a row leaves out is removed from the record; otherwise it stays.
    pub drop_evidence: bool,
}

/// The result of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowResult {
    /// The outcome.
    pub outcome: RowOutcome,
    /// The evidence that the record had and that the row leaves out.
    pub left_out: EvidenceMembers,
}

impl RowResult {
    /// Whether the row was accepted, even if nothing had to change.
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

/// The outcome of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowOutcome {
    /// A new record.
    Added,
    /// The record was changed.
    Updated,
    /// The record is the same as the row.
    Unchanged,
    /// The device belongs to another manufacturer. Its record now notes the claim
    /// ([`Claim`](landfall_domain::registry::Claim)).
    OtherManufacturer,
    /// The device is retired; its record does not change.
    Retired,
    /// The quota of the manufacturer is used up.
    OverQuota,
    /// The row was good, but another row of an all-or-nothing batch was not.
    NotTaken,
}

impl RowOutcome {
    /// Whether the row was accepted, even if nothing had to change.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Added | Self::Updated | Self::Unchanged)
    }
}

/// The batches of one import, which can be read more than once.
pub trait Batches: Send + Sync {
    /// Reads all batches from the beginning, in order. Called on a thread that may block.
    fn begin(&self) -> Result<Box<dyn Iterator<Item = Result<ImportBatch, StoreError>>>, StoreError>;
}

/// Temporary storage for bytes until they are written.
pub struct Staging {
    /// A file without a name, which is removed when it is closed.
    pub file: std::fs::File,
    /// Checks whether there is room for more.
    pub room: Arc<dyn Fn() -> Result<(), StoreError> + Send + Sync>,
}
