//! Import of manufacturing records: a stream of JSON Lines or CSV becomes records in the store.
//!
//! ```text
//! HTTP body ─pieces─▶ parser (a blocking thread) ─batches─▶ store, two batches at once
//! ```
//!
//! *Memory stays flat* however long the file: every queue between the steps is short, a row has at most so many
//! bytes, and the report names at most so many refused rows. *Every refused row is told* with its line and its
//! reason, and counted when it cannot be named any more. *Importing again changes nothing*: the store compares what
//! a row says with what stands there.
//!
//! *A device stands in a file once.* A second row of it is refused when both fall into one batch. Further apart, it is an
//! import of its own like any later one: it changes the record if it says something else.
//!
//! **All or nothing** means: if one row is refused, none is written; and if the power fails, all rows are there or none. A
//! file that fits one batch is judged and written in one transaction. A longer one is kept on disk while all of it is
//! judged without being written. If every row was good it is judged again and written, in one transaction of its own;
//! somebody else may have changed meanwhile what it was judged against (another import of the same devices, a record
//! that is retired), and then too nothing is written. Nobody else writes during that transaction, so it has a bound of
//! its own ([`ManagementLimits::import_whole_rows`]).

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

/// What to import, and how.
#[derive(Clone, Debug)]
pub struct Import {
    /// The tenant.
    pub scope: IdScope,
    /// Whose records they are.
    pub manufacturer: ManufacturerId,
    /// How many records this manufacturer may have in all.
    pub quota: Option<u64>,
    /// How registration ids must begin, in one of these ways; in any way when there are none.
    pub prefixes: Vec<String>,
    /// How the rows are written.
    pub format: Format,
    /// Whether one refused row refuses all.
    pub all_or_nothing: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Whether evidence that a row leaves out goes from the record; otherwise it stays.
    pub drop_evidence: bool,
    /// When it came.
    pub now: Timestamp,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    JsonLines,
    /// RFC 4180 with a line of column names.
    Csv,
}

/// A piece of the file, or why there will be no more.
pub type Piece = Result<Bytes, String>;

/// Why an import failed, and how far it had come.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ImportError {
    /// The store failed; rows of the report are written, if the report says so.
    #[error("the import stopped: {error}")]
    Store {
        error: StoreError,
        /// What was judged until then, and written unless nothing may be.
        report: Box<ImportReport>,
    },
    /// The file cannot be kept on disk.
    #[error("the import cannot be kept on disk until it has been checked: {0}")]
    Staging(#[from] std::io::Error),
    /// The file is larger than may be kept on disk.
    #[error(
        "the import is larger than {max_bytes} bytes, which is as much as is taken all or nothing; cut it in parts"
    )]
    TooLarge {
        /// The limit, in bytes.
        max_bytes: u64,
    },
    /// The parser's thread ended.
    #[error("the import was interrupted")]
    Interrupted,
}

/// Imports what comes in pieces.
///
/// # Errors
///
/// [`ImportError`]. What is wrong with rows is in the report, not here.
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
    // One that is judged may be longer than one that is written; it is told that it is too long before anything is.
    let limits = &ManagementLimits { import_rows: limits.import_rows.min(limits.import_whole_rows), ..limits.clone() };
    let staging = Staging { file: staged.try_clone()?, room };
    let source = Source::Staged(Pieces::new(pieces), staging, limits.import_staged_bytes);
    let (mut batches, parser) = parse(import, limits, source);
    let first = batches.recv().await.unwrap_or_default();
    let Some(second) = batches.recv().await else {
        ended(parser).await?;
        return writes.one(first).await;
    };
    // Judge everything before anything is written.
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
    // Which lines those are is read once more: it happens only when somebody else was faster.
    let named = tokio::task::spawn_blocking(move || staged.lines()).await.map_err(|_| ImportError::Interrupted)??;
    for (batch, outcomes) in named.iter().zip(outcomes) {
        for ((line, id), result) in batch.iter().zip(outcomes) {
            report.note(*line, id, result);
        }
    }
    report.rows = judged.rows;
    Ok(report.done(false))
}

/// Starts the parser; its batches come as fast as they are taken.
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

/// Where batches come from.
trait Batches {
    async fn next(&mut self) -> Option<Batch>;
}

impl Batches for mpsc::Receiver<Batch> {
    async fn next(&mut self) -> Option<Batch> {
        self.recv().await
    }
}

/// Batches that were taken already, and those to come.
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

/// Brings batches to the store and keeps the report.
struct Writes<'a> {
    store: &'a Arc<dyn Store>,
    import: &'a Import,
    report: ImportReport,
}

/// What the store will answer.
type Sent = JoinHandle<Result<Vec<RowResult>, StoreError>>;

/// A batch that the store has: its rows' lines and devices.
type SentBatch = (Vec<(u64, RegistrationId)>, Sent);

impl Writes<'_> {
    /// A file that is one batch: one transaction, whatever comes of it.
    async fn one(mut self, batch: Batch) -> Result<ImportReport, ImportError> {
        let dry_run = self.import.dry_run || !batch.problems.is_empty() || batch.stopped.is_some();
        self.report.note_parsed(&batch);
        let judged = batch.rows.clone();
        let (named, sent) = self.send(batch.rows, Mode { dry_run, all_or_nothing: !dry_run });
        let mut outcomes = self.outcomes(sent).await?;
        let is_not_taken = |result: &RowResult| result.outcome == RowOutcome::NotTaken;
        if outcomes.iter().any(is_not_taken) {
            // One was refused, and so none was written. What would have become of the others is asked for the report.
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
            // What a dry run would have added counts against the quota only when the run before it has answered.
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
        // All or nothing is nothing then, whatever was judged before.
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

/// Waits while other imports fill the queue: a file that is half in should not end for that.
async fn patiently(store: Arc<dyn Store>, batch: ImportBatch) -> Result<Vec<RowResult>, StoreError> {
    for _ in 0..BUSY_TRIES {
        match store.import_batch(batch.clone()).await {
            Err(StoreError::Busy) => tokio::time::sleep(BUSY_PAUSE).await,
            answer => return answer,
        }
    }
    store.import_batch(batch).await
}

/// Batches between the parser and the store.
const BATCHES_WAITING: usize = 2;

/// Batches that the store has at once: while one is committed, the next is made ready.
const BATCHES_AT_ONCE: usize = 2;

/// How often, and after which pause, a batch is brought again when too much waits.
const BUSY_TRIES: usize = 200;
const BUSY_PAUSE: Duration = Duration::from_millis(100);
