//! The store on redb: one file, and no other process to run.
//!
//! - *Reads* begin a read transaction each, read, and end it, on the caller's thread. No read transaction stays open
//!   across an await, because an open one keeps freed pages from being reused, and the file grows. A read of many rows
//!   runs on a blocking thread, and its number of rows is bounded.
//! - *Writes* are small structs whose `apply` checks and changes; [`writer`](crate::writer) runs them, many in one
//!   transaction.
//! - *Every commit* is durable, with two-phase commit and quick repair. Two-phase commit is needed because strangers
//!   choose the values and the page checksums of redb are not cryptographic. Quick repair opens a file that was not
//!   closed at once, instead of reading all of it.
//! - *The file* carries the version of its format. A file of a newer version is refused and never rewritten.

mod admissions;
mod authenticators;
mod authorities;
mod catalogue;
mod challenges;
mod check;
mod claims;
mod codec;
mod components;
mod copy;
mod decisions;
mod engine;
mod enrollments;
mod groups;
mod hubs;
mod identities;
mod issuer_keys;
mod ledger;
mod listing;
mod loads;
mod open;
mod plugins;
mod proofs;
mod records;
mod registrations;
mod revocations;
mod scoped;
mod space;
mod steps;
mod sweep;
mod tables;
mod tokens;
mod upkeep;
mod uses;
mod views;

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use landfall_domain::clock::{Clock, SystemClock, Timestamp};
use landfall_domain::fatal;
use landfall_domain::names::Digest;
pub use redb::StorageBackend;
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable};
use tokio::sync::oneshot;

use self::engine::{RedbEngine, RedbJob, Write};
use self::loads::Loads;
use self::space::Space;
use self::tables::{Definition, Kept};
use crate::StoreError;
pub use crate::health::{Finding, Findings, Unused};
use crate::writer::{Bounds, Lane, OnFatal, Queue, Writer};

/// Settings of a [`RedbStore`]. The defaults suit one machine.
#[derive(Clone)]
pub struct StoreSettings {
    /// How much disk space is kept free, in bytes: imports stop there, and devices at a quarter of it.
    pub reserve_bytes: u64,
    /// The size of the page cache in memory, in bytes.
    pub cache_bytes: usize,
    /// Whether opening reads every page and compares its checksum: for a file that was copied from elsewhere.
    pub verify_on_open: bool,
    /// Whether a missing file is created. Only the set-up of an installation sets this: otherwise a lost database
    /// would be replaced silently by an empty one, which knows no device and no operator.
    pub create: bool,
    /// Whether a file of an earlier format is migrated to the current one, or refused.
    pub bring_up: bool,
    /// Whether a file whose contents contradict each other is opened all the same: to examine or repair it.
    pub take_contradictions: bool,
    /// How many entries that led to no registration the ledger keeps.
    pub entries_kept: u64,
    /// The maximum number of enrollment groups of an id scope.
    pub groups_per_scope: u64,
    /// How many earlier decisions of each registration the ledger keeps.
    pub decisions_per_device: usize,
    /// How many writes of devices may be queued.
    pub device_queue: usize,
    /// How many writes of operators may be queued.
    pub operator_queue: usize,
    /// How many import batches may be queued.
    pub bulk_queue: usize,
    /// The maximum number of writes in one transaction.
    pub batch_writes: usize,
    /// The approximate maximum number of bytes in one transaction.
    pub batch_bytes: usize,
    /// Which components are built into the program: they are always available and need not be stored.
    pub built_in: fn(Digest) -> bool,
    /// The clock, for the age of the last check of the free space and for the time between batches.
    pub clock: Arc<dyn Clock>,
    /// Ends the process when the file accepts no more writes: a failed commit must not be retried.
    pub on_fatal: OnFatal,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            reserve_bytes: 0,
            cache_bytes: 128 * 1024 * 1024,
            verify_on_open: false,
            create: false,
            bring_up: true,
            take_contradictions: false,
            entries_kept: 100_000,
            groups_per_scope: 2_000,
            decisions_per_device: 32,
            device_queue: 4096,
            operator_queue: 256,
            bulk_queue: 64,
            batch_writes: 512,
            batch_bytes: 256 * 1024,
            built_in: |_| false,
            clock: Arc::new(SystemClock),
            on_fatal: Arc::new(end_process),
        }
    }
}

/// The store on redb.
pub struct RedbStore {
    database: ArcSwapOption<Database>,
    queue: Arc<Queue<RedbEngine>>,
    loads: Arc<Loads>,
    space: Arc<Space>,
    sequence: Arc<AtomicU64>,
    /// The writer thread, until it is joined; `None` when the caller runs the writer.
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// The writer of a store that was opened without a thread for it.
pub struct Turns(Writer<RedbEngine>);

impl Turns {
    /// Writes all waiting jobs in one transaction; returns whether there were any. The callers are answered before
    /// this returns.
    pub fn take(&mut self) -> bool {
        self.0.turn()
    }
}

impl RedbStore {
    /// Opens the file, or creates it if [`StoreSettings::create`] is set.
    ///
    /// # Errors
    ///
    /// [`StoreError::Open`] if the file is missing and must not be created, if another process has it open, if its
    /// format is newer, if it is damaged, or if the file system returns an error.
    pub fn open(path: &Path, settings: StoreSettings) -> Result<Self, StoreError> {
        let database = open::file(path, &settings)?;
        let on_fatal = Arc::clone(&settings.on_fatal);
        let (store, Turns(writer)) = Self::assemble(database, path, settings)?;
        let run = move || {
            // If the writer panics, no later write would ever be made, and no caller would be told.
            if catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {
                on_fatal(&StoreError::Write("the writer's thread ended by a panic".to_owned()));
            }
        };
        let thread =
            std::thread::Builder::new().name("store-writer".to_owned()).spawn(run).map_err(|e| StoreError::Open {
                path: path.display().to_string(),
                reason: format!("its writer's thread cannot start: {e}"),
            })?;
        *store.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(store)
    }

    /// Opens a database on a storage backend instead of a file. The caller runs the writer, so that a test decides
    /// which writes share a transaction, and when they are made.
    ///
    /// # Errors
    ///
    /// As [`RedbStore::open`].
    pub fn open_with_backend(
        backend: impl StorageBackend,
        settings: StoreSettings,
    ) -> Result<(Self, Turns), StoreError> {
        let database = open::backend(backend, &settings)?;
        Self::assemble(database, Path::new(""), settings)
    }

    /// Computes every count and claim anew from its sources, and names the first differences. Reads the whole file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or a row cannot be decoded.
    pub async fn check(&self) -> Result<Vec<Finding>, StoreError> {
        Ok(self.look(check::check).await?.first)
    }

    /// The rows of the file that nothing refers to. Reads all decisions.
    ///
    /// # Errors
    ///
    /// As [`RedbStore::check`].
    pub async fn unused(&self) -> Result<Unused, StoreError> {
        self.look(sweep::unused).await
    }

    /// Computes all derived rows anew: counts, and what enrollments and keys hold.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub async fn repair(&self) -> Result<(), StoreError> {
        self.write(Lane::Operator, MakeAgain).await
    }

    /// Removes the rows that nothing refers to, and closes the file without free pages. Nobody else may use the store
    /// meanwhile. Returns what was removed.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub async fn compact(self) -> Result<Unused, StoreError> {
        let mut removed = Unused::default();
        let mut after = Vec::new();
        loop {
            let found = self.look(move |view| sweep::next_decisions(view, &after)).await?;
            let Some((sweep, last)) = found else { break };
            removed = removed.and(self.write(Lane::Operator, sweep).await?);
            after = last;
        }
        // With these entries gone, the contents that only they named are unused.
        for sweep in self.look(sweep::unused_contents).await? {
            removed = removed.and(self.write(Lane::Operator, sweep).await?);
        }
        self.end_writer().await;
        if let Some(Ok(mut database)) = self.database.swap(None).map(Arc::try_unwrap) {
            let compacted = tokio::task::spawn_blocking(move || {
                while database.compact().map_err(|e| e.to_string())? {}
                database.close().map_err(|e| e.to_string())
            });
            let done = compacted.await.map_err(|e| StoreError::Write(e.to_string()))?;
            done.map_err(|reason| StoreError::Write(format!("compacting failed: {reason}")))?;
        }
        Ok(removed)
    }

    /// Copies a database that no process has open, of whatever format, into a new file; returns the number of rows.
    ///
    /// # Errors
    ///
    /// When one of the files cannot be used.
    pub fn copy_file(from: &Path, to: &Path, now: Timestamp) -> Result<u64, StoreError> {
        copy::copy_file(from, to, now)
    }

    /// Whether another process has a database open.
    pub fn in_use(path: &Path) -> bool {
        open::in_use(path)
    }

    /// When the file was copied, until it is acknowledged that it is a copy.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub async fn copied_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let meta = self.view()?.table(tables::META)?;
        let at: Option<Timestamp> = tables::get(&meta, "file property", engine::COPIED)?;
        if at.is_some()
            && let Err(error) = self.write(Lane::Operator, ForgetCopy).await
        {
            tracing::debug!(%error, "that the database is a copy is told again at the next start");
        }
        Ok(at)
    }

    async fn end_writer(&self) {
        self.queue.finish();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let ended = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(ended, Ok(Ok(()))) {
                tracing::error!("the store's writer ended by a panic");
            }
        }
    }

    fn assemble(database: Database, place: &Path, settings: StoreSettings) -> Result<(Self, Turns), StoreError> {
        let database = Arc::new(database);
        let bounds = Bounds {
            device_queue: settings.device_queue,
            operator_queue: settings.operator_queue,
            bulk_queue: settings.bulk_queue,
            batch_jobs: settings.batch_writes,
            batch_bytes: settings.batch_bytes,
        };
        let queue = Arc::new(Queue::new(bounds, Arc::clone(&settings.clock)));
        let view = View(database.begin_read().map_err(unreadable)?);
        let loads = Arc::new(Loads::read(&view)?);
        let sequence: Option<u64> = tables::get(&view.table(tables::META)?, "file property", engine::SEQUENCE)?;
        let sequence = Arc::new(AtomicU64::new(sequence.unwrap_or(0)));
        drop(view);
        let kept = Kept {
            entries: settings.entries_kept,
            decisions_per_device: settings.decisions_per_device,
            groups: settings.groups_per_scope,
            built_in: settings.built_in,
        };
        let engine = RedbEngine::new(Arc::clone(&database), kept, Arc::clone(&loads), Arc::clone(&sequence));
        let store = Self {
            database: ArcSwapOption::new(Some(database)),
            queue: Arc::clone(&queue),
            loads,
            sequence,
            space: Arc::new(Space::around(place, settings.reserve_bytes, settings.clock)),
            thread: Mutex::new(None),
        };
        Ok((store, Turns(Writer::new(engine, queue, settings.on_fatal))))
    }

    /// A view of the last committed transaction.
    fn view(&self) -> Result<View, StoreError> {
        let database = self.database.load();
        let database = database.as_ref().ok_or(StoreError::Closed)?;
        database.begin_read().map(View).map_err(unreadable)
    }

    /// Runs a long read on a blocking thread.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&View) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let view = self.view()?;
        tokio::task::spawn_blocking(move || look(&view))
            .await
            .map_err(|e| StoreError::Read(format!("the reading ended early: {e}")))?
    }

    /// Queues a write, and waits until it is on disk.
    async fn write<W: Write>(&self, lane: Lane, write: W) -> Result<W::Answer, StoreError> {
        self.space.check(lane)?;
        let (sender, answer) = oneshot::channel();
        self.queue.push(lane, Box::new(RedbJob::new(write, sender)))?;
        // The writer drops a job without an answer only if it ends before it takes the job.
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for RedbStore {
    /// Queued writes are still made; nobody waits for them.
    fn drop(&mut self) {
        self.queue.finish();
    }
}

/// Computes all derived rows anew.
struct MakeAgain;

impl Write for MakeAgain {
    type Answer = ();

    fn apply(&self, tables: &mut tables::Tables<'_>) -> Result<(), StoreError> {
        steps::make_again(tables)
    }
}

/// Removes the mark that the file is a copy.
struct ForgetCopy;

impl Write for ForgetCopy {
    type Answer = ();

    fn apply(&self, tables: &mut tables::Tables<'_>) -> Result<(), StoreError> {
        tables.meta.remove(engine::COPIED)
    }
}

/// A read transaction.
struct View(redb::ReadTransaction);

impl View {
    fn table(&self, definition: Definition) -> Result<ReadOnlyTable<&'static [u8], &'static [u8]>, StoreError> {
        self.0.open_table(definition).map_err(unreadable)
    }
}

/// Where tables can be read: a read transaction, or a write transaction that has none of them open.
trait Readable {
    fn readable(&self, definition: Definition) -> Result<impl ReadableTable<&'static [u8], &'static [u8]>, StoreError>;
}

impl Readable for View {
    fn readable(&self, definition: Definition) -> Result<impl ReadableTable<&'static [u8], &'static [u8]>, StoreError> {
        self.table(definition)
    }
}

impl Readable for redb::WriteTransaction {
    fn readable(&self, definition: Definition) -> Result<impl ReadableTable<&'static [u8], &'static [u8]>, StoreError> {
        self.open_table(definition).map_err(unreadable)
    }
}

/// Ends the process: memory may differ from the disk, and only opening the file again shows the state of the disk. The
/// answers that were just given get a moment to be sent.
fn end_process(error: &StoreError) {
    tracing::error!(%error, "the database takes no more writes, and the process ends with 74: see that its disk has room and is sound, and start it again");
    std::thread::sleep(FAREWELL);
    fatal::end(fatal::IO_ERROR);
}

fn unreadable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Read(error.to_string())
}

/// Long enough to send the answers that are ready.
const FAREWELL: std::time::Duration = std::time::Duration::from_millis(100);
