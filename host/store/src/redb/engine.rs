//! Transactions for the writer, on top of those of redb.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{CommitError, Database, WriteTransaction};
use tokio::sync::oneshot;

use super::loads::Loads;
use super::tables::{Kept, Tables};
use crate::StoreError;
use crate::writer::{Engine, Failure, Job};

/// The access of the writer to the database.
pub(crate) struct RedbEngine {
    database: Arc<Database>,
    kept: Kept,
    loads: Arc<Loads>,
    sequence: Arc<AtomicU64>,
}

impl RedbEngine {
    pub(super) fn new(database: Arc<Database>, kept: Kept, loads: Arc<Loads>, sequence: Arc<AtomicU64>) -> Self {
        Self { database, kept, loads, sequence }
    }
}

impl Engine for RedbEngine {
    type Transaction<'a> = Tables<'a>;

    // What redb guarantees, and how it is used:
    // - Before the commit, writes go to pages that no committed transaction refers to. So an aborted transaction
    //   leaves nothing, even when the disk is full or fails. After an I/O error redb refuses everything until the file
    //   is opened again: then the abort fails too, or the next transaction cannot begin. Both are `Lost`.
    // - A panic within a transaction is caught here, before it unwinds the transaction itself, and the transaction is
    //   aborted.
    // - A commit that fails may or may not have happened (`Unknown`), unless redb reports that the transaction was
    //   poisoned beforehand: then it was aborted.
    fn transact(&mut self, body: &mut dyn FnMut(&mut Tables<'_>) -> Result<(), StoreError>) -> Result<(), Failure> {
        let lost = |e: &dyn std::fmt::Display| Failure::Lost(e.to_string());
        let mut transaction = self.database.begin_write().map_err(|e| lost(&e))?;
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
        let done = catch_unwind(AssertUnwindSafe(|| {
            let mut tables = Tables::open(&transaction, self.kept)?;
            body(&mut tables)?;
            if !tables.changed() {
                return Ok(None);
            }
            let sequence = tables.meta.count(SEQUENCE)?.saturating_add(1);
            tables.meta.put(SEQUENCE, &sequence)?;
            Ok(Some((tables.moved, sequence)))
        }));
        match done {
            Ok(Ok(Some((moved, sequence)))) => {
                commit(transaction)?;
                self.loads.changed(moved);
                self.sequence.store(sequence, Ordering::Relaxed);
                Ok(())
            }
            Ok(Ok(None)) => transaction.abort().map_err(|e| lost(&e)),
            Ok(Err(error)) => {
                transaction.abort().map_err(|e| lost(&e))?;
                Err(Failure::Undone(error))
            }
            Err(panic) => {
                transaction.abort().map_err(|e| lost(&e))?;
                let story = story(panic.as_ref());
                Err(Failure::Undone(StoreError::Write(format!("the writer panicked: {story}"))))
            }
        }
    }
}

fn commit(transaction: WriteTransaction) -> Result<(), Failure> {
    match catch_unwind(AssertUnwindSafe(|| transaction.commit())) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(CommitError::TransactionPoisoned)) => {
            Err(Failure::Undone(StoreError::Write("the transaction was spoilt".to_owned())))
        }
        Ok(Err(error)) => Err(Failure::Unknown(error.to_string())),
        Err(panic) => Err(Failure::Unknown(story(panic.as_ref()))),
    }
}

/// The message of a panic.
pub(super) fn story(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason given".to_owned())
}

/// A change, and the checks that it depends on.
pub(super) trait Write: Send + 'static {
    /// The result of the change.
    type Answer: Send + 'static;

    /// Checks and changes. Called again in a fresh transaction when the first one was rolled back.
    fn apply(&self, tables: &mut Tables<'_>) -> Result<Self::Answer, StoreError>;

    /// The approximate number of bytes that it writes.
    fn size(&self) -> usize {
        USUAL_SIZE
    }

    /// Whether the transaction may be committed, given this answer. Otherwise it is rolled back, and the caller still
    /// gets the answer.
    fn stands(&self, _: &Self::Answer) -> bool {
        true
    }
}

/// A queued change, and the caller that waits for it.
pub(super) struct RedbJob<W: Write> {
    write: W,
    answer: Option<W::Answer>,
    to: oneshot::Sender<Result<W::Answer, StoreError>>,
}

impl<W: Write> RedbJob<W> {
    pub(super) fn new(write: W, to: oneshot::Sender<Result<W::Answer, StoreError>>) -> Self {
        Self { write, answer: None, to }
    }
}

impl<W: Write> Job<RedbEngine> for RedbJob<W> {
    fn size(&self) -> usize {
        self.write.size()
    }

    fn apply(&mut self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        self.answer = None;
        let answer = self.write.apply(tables)?;
        let stands = self.write.stands(&answer);
        self.answer = Some(answer);
        if stands { Ok(()) } else { Err(StoreError::TakenBack) }
    }

    fn answer(self: Box<Self>) {
        // The caller may have gone; the write is committed all the same.
        if let Some(answer) = self.answer {
            let _ = self.to.send(Ok(answer));
        }
    }

    fn refuse(self: Box<Self>, error: StoreError) {
        let answer = match (error, self.answer) {
            (StoreError::TakenBack, Some(answer)) => Ok(answer),
            (error, _) => Err(error),
        };
        let _ = self.to.send(answer);
    }
}

/// The key of the number of transactions that have changed the file.
pub(super) const SEQUENCE: &[u8] = b"sequence";
/// The key of the time when the file was copied, until the copy is served.
pub(super) const COPIED: &[u8] = b"copied at";
/// The approximate size of a registration with its rows and counts.
const USUAL_SIZE: usize = 1024;
