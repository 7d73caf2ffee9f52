//! Imports manufacturing records: a stream of JSON Lines or CSV becomes records in the store.
//!
//! ```text
//! HTTP body ─pieces─▶ parser (a blocking thread) ─batches─▶ store, two batches at once
//! ```
//!
//! *The use of memory does not depend on the length of the file*: every queue between the steps is short, the size of a
//! row is limited, and the report lists a limited number of refused rows. *Every refused row is reported* with its line
//! and the reason; beyond the limit it is counted. *Importing the same file again changes nothing*: the store compares
//! each row with the stored record.
//!
//! *A device may be in a file only once.* A second row of it is refused if both rows are in the same batch. Otherwise
//! the second row is like a later import: it changes the record if it says something else.
//!
//! **All or nothing** means: if one row is refused, no row is written; and after a power failure either all rows are
//! there or none. A file that fits one batch is checked and written in one transaction. A longer file is kept on disk
//! while all of it is checked without being written. If every row was good, it is checked again and written, in one
//! transaction of its own. If somebody has changed the store in between (another import of the same devices, a record
//! that is retired), a row may be refused then, and nothing is written. Nobody else writes during that transaction, so
//! its size has a limit of its own ([`ManagementLimits::import_whole_rows`]).

mod csv_rows;
mod csv_source;
mod json_lines;
mod kind;
mod parser;
mod pieces;
mod report;
mod row;
mod staged;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::{IdScope, ManufacturerId, RegistrationId};
use landfall_store::{ImportBatch, RowOutcome, RowResult, Staging, Store, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub use self::report::{EvidenceLeftOut, ImportProblem, ImportReport};
pub use self::row::RowLimits;
use crate::config::ManagementLimits;
use parser::{Batch, Parsed, Parser};
use pieces::{Pieces, Source};
use staged::Staged;

/// An import: what it may do, and how its rows are read.
#[derive(Clone, Debug)]
pub struct Import {
    /// The id scope of the records.
    pub scope: IdScope,
    /// The manufacturer of the records.
    pub manufacturer: ManufacturerId,
    /// The number of records that this manufacturer may have in all.
    pub quota: Option<u64>,
    /// The allowed prefixes of registration ids. Every id is allowed if the list is empty.
    pub prefixes: Vec<String>,
    /// The format of the rows.
    pub format: Format,
    /// Whether one refused row means that no row is written.
    pub all_or_nothing: bool,
    /// Only report what would be done.
    pub dry_run: bool,
    /// Whether evidence that a row leaves out is removed from the record. Otherwise it stays.
    pub drop_evidence: bool,
    /// When the import was requested.
    pub now: Timestamp,
}

/// The format of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object on each line.
    JsonLines,
    /// RFC 4180, with a first line of column names.
    Csv,
}

/// A piece of the file, or the reason why no more pieces come.
pub type Piece = Result<Bytes, String>;

/// Why an import failed, and how far it got.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ImportError {
    /// The store failed. The report says whether rows were written.
    #[error("the import stopped: {error}")]
    Store {
        error: StoreError,
        /// What was checked until then. It was written, unless the import may write nothing.
        report: Box<ImportReport>,
    },
    /// The file cannot be stored on disk.
    #[error("the import cannot be kept on disk until it has been checked: {0}")]
    Staging(#[from] std::io::Error),
    /// The file is larger than what may be stored on disk.
    #[error(
        "the import is larger than {max_bytes} bytes, which is as much as is taken all or nothing; cut it in parts"
    )]
    TooLarge {
        /// The limit, in bytes.
        max_bytes: u64,
    },
    /// The parser's thread ended early.
    #[error("the import was interrupted")]
    Interrupted,
}

/// Imports a file that comes in pieces.
///
/// # Errors
///
/// [`ImportError`]. Problems of single rows are in the report.
pub async fn import(
    store: &Arc<dyn Store>,
    limits: &ManagementLimits,
    import: Import,
    pieces: mpsc::Receiver<Piece>,
) -> Result<ImportReport, ImportError> {
    let writes = Writes { store, import: &import, report: ImportReport::new(limits.import_problems, &import) };
    if import.all_or_nothing {
        all_or_nothing(writes, limits, pieces).await
    } else {
        let (mut batches, parser) = parse(&import, limits, Source::Live(Pieces::new(pieces)));
        let mode = Mode { dry_run: import.dry_run, all_or_nothing: false };
        let report = writes.all(&mut batches, mode).await?;
        drop(batches);
        ended(parser).await?;
        Ok(report.done(!import.dry_run))
    }
}

async fn all_or_nothing(
    writes: Writes<'_>,
    limits: &ManagementLimits,
    pieces: mpsc::Receiver<Piece>,
) -> Result<ImportReport, ImportError> {
    let import = writes.import;
    let Staging { file: staged, room } = writes.store.staging().map_err(|error| writes.failed(error))?;
    // A checked file may have `import_rows` rows, but a file that is written whole only `import_whole_rows`. With the
    // lower limit, a file that is too long is refused before anything is written.
    let limits = &ManagementLimits { import_rows: limits.import_rows.min(limits.import_whole_rows), ..limits.clone() };
    let staging = Staging { file: staged.try_clone()?, room };
    let source = Source::Staged(Pieces::new(pieces), staging, limits.import_staged_bytes);
    let (mut batches, parser) = parse(import, limits, source);
    let first = batches.recv().await.unwrap_or_default();
    let Some(second) = batches.recv().await else {
        ended(parser).await?;
        return writes.one(first).await;
    };
    // Everything is checked before anything is written.
    let fresh = || Writes { store: writes.store, import, report: writes.report.clone() };
    let mut judging = Ahead { ahead: [first, second].into(), rest: &mut batches };
    let mode = Mode { dry_run: true, all_or_nothing: false };
    let judged = fresh().all(&mut judging, mode).await?;
    drop(batches);
    ended(parser).await?;
    if judged.refused > 0 || judged.stopped.is_some() || import.dry_run {
        return Ok(judged.done(false));
    }
    let staged = Arc::new(Staged::new(staged, import, limits));
    let outcomes = writes.store.import_whole(staged.clone()).await.map_err(|error| writes.failed(error))?;
    let good = outcomes.iter().flatten().all(|outcome| outcome.is_good());
    let mut report = fresh().report;
    if good {
        report.count(outcomes.iter().flatten());
        report.rows = judged.rows;
        return Ok(report.done(true));
    }
    // The file is read once more to find the line numbers. This happens only if somebody else made a change in between.
    let named = tokio::task::spawn_blocking(move || staged.lines()).await.map_err(|_| ImportError::Interrupted)??;
    for (batch, outcomes) in named.iter().zip(outcomes) {
        for ((line, id), result) in batch.iter().zip(outcomes) {
            report.note(*line, id, result);
        }
    }
    report.rows = judged.rows;
    Ok(report.done(false))
}

/// Starts the parser. It makes batches as fast as they are taken.
fn parse(
    import: &Import,
    limits: &ManagementLimits,
    source: Source,
) -> (mpsc::Receiver<Batch>, JoinHandle<Result<(), ImportError>>) {
    let (sender, batches) = mpsc::channel(BATCHES_WAITING);
    let parser = parser(import, limits);
    (batches, tokio::task::spawn_blocking(move || parser.run(source, &sender)))
}

fn parser(import: &Import, limits: &ManagementLimits) -> Parser {
    Parser {
        limits: RowLimits::of(limits),
        max_rows: limits.import_rows,
        batch_rows: limits.import_batch_rows,
        manufacturer: import.manufacturer.clone(),
        prefixes: import.prefixes.clone(),
        format: import.format,
        now: import.now,
    }
}

async fn ended(parser: JoinHandle<Result<(), ImportError>>) -> Result<(), ImportError> {
    parser.await.map_err(|_| ImportError::Interrupted)?
}

/// A source of batches.
trait Batches {
    async fn next(&mut self) -> Option<Batch>;
}

impl Batches for mpsc::Receiver<Batch> {
    async fn next(&mut self) -> Option<Batch> {
        self.recv().await
    }
}

/// Batches that were received already, and then the remaining ones.
struct Ahead<'a> {
    ahead: VecDeque<Batch>,
    rest: &'a mut mpsc::Receiver<Batch>,
}

impl Batches for Ahead<'_> {
    async fn next(&mut self) -> Option<Batch> {
        match self.ahead.pop_front() {
            Some(batch) => Some(batch),
            None => self.rest.recv().await,
        }
    }
}

#[derive(Clone, Copy)]
struct Mode {
    dry_run: bool,
    all_or_nothing: bool,
}

/// Sends batches to the store and keeps the report.
struct Writes<'a> {
    store: &'a Arc<dyn Store>,
    import: &'a Import,
    report: ImportReport,
}

/// The answer of the store, when it comes.
type Sent = JoinHandle<Result<Vec<RowResult>, StoreError>>;

/// A batch that was sent to the store: the lines and devices of its rows.
type SentBatch = (Vec<(u64, RegistrationId)>, Sent);

impl Writes<'_> {
    /// Imports an all-or-nothing file that is a single batch, in one transaction.
    async fn one(mut self, batch: Batch) -> Result<ImportReport, ImportError> {
        let dry_run = self.import.dry_run || !batch.problems.is_empty() || batch.stopped.is_some();
        self.report.note_parsed(&batch);
        let judged = batch.rows.clone();
        let (named, sent) = self.send(batch.rows, Mode { dry_run, all_or_nothing: !dry_run });
        let mut outcomes = self.outcomes(sent).await?;
        let is_not_taken = |result: &RowResult| result.outcome == RowOutcome::NotTaken;
        if outcomes.iter().any(is_not_taken) {
            // A row was refused, so none was written. A dry run finds the result of the other rows for the report.
            let (_, sent) = self.send(judged, Mode { dry_run: true, all_or_nothing: false });
            let judged = self.outcomes(sent).await?;
            let not_taken = outcomes.iter_mut().zip(judged).filter(|(result, _)| is_not_taken(result));
            not_taken.for_each(|(outcome, judged)| *outcome = judged);
        }
        for ((line, id), outcome) in named.into_iter().zip(outcomes) {
            self.report.note(line, &id, outcome);
        }
        let written = !dry_run && self.report.refused == 0;
        Ok(self.report.done(written))
    }

    async fn all(mut self, batches: &mut impl Batches, mode: Mode) -> Result<ImportReport, ImportError> {
        let mut under_way: VecDeque<SentBatch> = VecDeque::new();
        while let Some(batch) = batches.next().await {
            self.report.note_parsed(&batch);
            // In a dry run, the quota must count what an earlier batch would have added. So each batch waits for the
            // one before.
            let at_once = if mode.dry_run { 0 } else { BATCHES_AT_ONCE - 1 };
            while under_way.len() > at_once {
                let Some(oldest) = under_way.pop_front() else { break };
                self.settle(oldest).await?;
            }
            if !batch.rows.is_empty() {
                under_way.push_back(self.send(batch.rows, mode));
            }
        }
        for sent in under_way {
            self.settle(sent).await?;
        }
        Ok(self.report)
    }

    fn send(&self, rows: Vec<Parsed>, mode: Mode) -> SentBatch {
        let named = rows.iter().map(|row| (row.line, row.record.registration_id.clone())).collect();
        let already = if mode.dry_run { self.report.added } else { 0 };
        let batch = ImportBatch {
            scope: self.import.scope.clone(),
            manufacturer: self.import.manufacturer.clone(),
            quota: self.import.quota.map(|quota| quota.saturating_sub(already)),
            rows: rows.into_iter().map(|row| row.record).collect(),
            all_or_nothing: mode.all_or_nothing,
            dry_run: mode.dry_run,
            drop_evidence: self.import.drop_evidence,
        };
        (named, tokio::spawn(patiently(Arc::clone(self.store), batch)))
    }

    fn failed(&self, error: StoreError) -> ImportError {
        // If it is all or nothing, nothing was written, whatever was checked before.
        let written = !self.import.all_or_nothing;
        ImportError::Store { error, report: Box::new(self.report.clone().done(written)) }
    }

    async fn outcomes(&self, sent: Sent) -> Result<Vec<RowResult>, ImportError> {
        let outcomes = sent.await.map_err(|_| ImportError::Interrupted)?;
        outcomes.map_err(|error| self.failed(error))
    }

    async fn settle(&mut self, (named, sent): SentBatch) -> Result<(), ImportError> {
        let outcomes = self.outcomes(sent).await?;
        for ((line, id), result) in named.into_iter().zip(outcomes) {
            self.report.note(line, &id, result);
        }
        Ok(())
    }
}

/// Tries again while other imports fill the queue: a half-finished import should not fail for that.
async fn patiently(store: Arc<dyn Store>, batch: ImportBatch) -> Result<Vec<RowResult>, StoreError> {
    for _ in 0..BUSY_TRIES {
        match store.import_batch(batch.clone()).await {
            Err(StoreError::Busy) => tokio::time::sleep(BUSY_PAUSE).await,
            answer => return answer,
        }
    }
    store.import_batch(batch).await
}

/// The number of batches between the parser and the store.
const BATCHES_WAITING: usize = 2;

/// The number of batches in the store at once: while one is committed, the next is prepared.
const BATCHES_AT_ONCE: usize = 2;

/// How often a batch is sent again while the store's queue is full, and the pause between.
const BUSY_TRIES: usize = 200;
const BUSY_PAUSE: Duration = Duration::from_millis(100);
