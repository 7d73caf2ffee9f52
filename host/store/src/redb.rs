//! The store on redb: one file, nothing else to run.
//!
//! - *Reads* begin a read transaction each, look, and end it, on the caller's thread; none stays open across an await
//!   (an open reader holds freed pages back, and the file grows). What looks through many rows runs on a blocking
//!   thread, and looks at a bounded number of them.
//! - *Writes* are small structs that say in `apply` what they check and change; [`writer`](crate::writer)
//!   runs them, many in one transaction.
//! - *Every commit* is durable, in two phases and with quick repair. Two phases because the values are chosen by
//!   strangers and redb's page checksums are no cryptography; quick repair because a file that was not closed then
//!   opens at once instead of being read as a whole.
//! - *The file* carries its format's version; one of a newer landfall is refused, never rewritten.

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

/// How a [`RedbStore`] behaves. The defaults suit one machine.
#[derive(Clone)]
pub struct StoreSettings {
    /// How much room is left on the disk, in bytes: imports stop there, and devices at a quarter of it.
    pub reserve_bytes: u64,
    /// How much of the file is held in memory, in bytes.
    pub cache_bytes: usize,
    /// Whether opening reads every page and compares its checksum: for a file that comes from elsewhere.
    pub verify_on_open: bool,
    /// Whether a file that is not there is made. Only what makes an installation says so: a database that is lost would
    /// otherwise be an empty one, which knows no device and no operator.
    pub create: bool,
    /// Whether a file of an earlier format is brought up to this version's, or refused.
    pub bring_up: bool,
    /// Whether a file is opened that says one thing in one place and another elsewhere: to look at it, or to mend it.
    pub take_contradictions: bool,
    /// How many entries that led to no registration the ledger keeps.
    pub entries_kept: u64,
    /// How many enrollment groups an id scope has.
    pub groups_per_scope: u64,
    /// How many decisions that stood before a registration's present one the ledger keeps.
    pub decisions_per_device: usize,
    /// How many writes of devices may wait.
    pub device_queue: usize,
    /// How many writes of operators may wait.
    pub operator_queue: usize,
    /// How many import batches may wait.
    pub bulk_queue: usize,
    /// How many writes go into one transaction.
    pub batch_writes: usize,
    /// About how many bytes go into one transaction.
    pub batch_bytes: usize,
    /// Which components come with the program: they are always at hand, and need not be kept.
    pub built_in: fn(Digest) -> bool,
    /// What the time is: how long ago the disk was looked at, and writes were put together.
    pub clock: Arc<dyn Clock>,
    /// What ends the process when the file takes no more: a commit that failed must not be tried again.
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
    /// The writer's thread, until it has been waited for; none when the caller takes the writer's turns.
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// The writer of a store that was opened without a thread for it.
pub struct Turns(Writer<RedbEngine>);

impl Turns {
    /// Writes, in one transaction, what waits now; answers whether there was anything. Whoever waits is answered
    /// before this returns.
    pub fn take(&mut self) -> bool {
        self.0.turn()
    }
}

impl RedbStore {
    /// Opens the file, or makes it if [`StoreSettings::create`] says so.
    ///
    /// # Errors
    ///
    /// [`StoreError::Open`] when it is not there and is not to be made, when another process has it open, when it is of a newer format, when it is damaged, or
    /// when the file system says no.
    pub fn open(path: &Path, settings: StoreSettings) -> Result<Self, StoreError> {
        let database = open::file(path, &settings)?;
        let on_fatal = Arc::clone(&settings.on_fatal);
        let (store, Turns(writer)) = Self::assemble(database, path, settings)?;
        let run = move || {
            // Without the writer nothing is ever written again, and nobody would be told.
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

    /// Opens a database that is kept elsewhere than in a file. The caller takes the writer's turns, so that a test
    /// decides what is written together, and when.
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

    /// Makes every count and claim again from what it is made of, and names the first things that differ. Reads the whole
    /// file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds what cannot be understood.
    pub async fn check(&self) -> Result<Vec<Finding>, StoreError> {
        Ok(self.look(check::check).await?.first)
    }

    /// How much of the file nothing names. Reads all decisions.
    ///
    /// # Errors
    ///
    /// As [`RedbStore::check`].
    pub async fn unused(&self) -> Result<Unused, StoreError> {
        self.look(sweep::unused).await
    }

    /// Makes all again that is made from other tables: counts, and what enrollments and keys hold.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub async fn repair(&self) -> Result<(), StoreError> {
        self.write(Lane::Operator, MakeAgain).await
    }

    /// Takes away what nothing names, and closes the file without free room in it. Only while nobody else uses the store.
    /// Answers how much was taken away.
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
        // Now that they are gone, nothing names what only they named.
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

    /// Copies a database that nobody has open into a new file, of whatever format it is; answers how many rows that are.
    ///
    /// # Errors
    ///
    /// When one of them cannot be used.
    pub fn copy_file(from: &Path, to: &Path, now: Timestamp) -> Result<u64, StoreError> {
        copy::copy_file(from, to, now)
    }

    /// Whether another process has a database open.
    pub fn in_use(path: &Path) -> bool {
        open::in_use(path)
    }

    /// When the file was copied, if nobody has been told yet that it is a copy.
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

    /// A look at the last finished transaction.
    fn view(&self) -> Result<View, StoreError> {
        let database = self.database.load();
        let database = database.as_ref().ok_or(StoreError::Closed)?;
        database.begin_read().map(View).map_err(unreadable)
    }

    /// A look that may take long, on a thread that may.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&View) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let view = self.view()?;
        tokio::task::spawn_blocking(move || look(&view))
            .await
            .map_err(|e| StoreError::Read(format!("the reading ended early: {e}")))?
    }

    /// Has a write done, and waits until it is on disk.
    async fn write<W: Write>(&self, lane: Lane, write: W) -> Result<W::Answer, StoreError> {
        self.space.check(lane)?;
        let (sender, answer) = oneshot::channel();
        self.queue.push(lane, Box::new(RedbJob::new(write, sender)))?;
        // The writer drops a job unanswered only when it ends before taking it.
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for RedbStore {
    /// What is queued is still written; nobody waits for it.
    fn drop(&mut self) {
        self.queue.finish();
    }
}

/// Makes again what is made from other tables.
struct MakeAgain;

impl Write for MakeAgain {
    type Answer = ();

    fn apply(&self, tables: &mut tables::Tables<'_>) -> Result<(), StoreError> {
        steps::make_again(tables)
    }
}

/// Forgets that the file is a copy.
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

/// Where tables can be read: in a look at the file, or in a transaction that is writing it and has none of them open.
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

/// Ends the process: what is in memory may differ from what is on disk, and only opening the file again tells. The
/// answers that have just been given get a moment to leave.
fn end_process(error: &StoreError) {
    tracing::error!(%error, "the database takes no more writes, and the process ends with 74: see that its disk has room and is sound, and start it again");
    std::thread::sleep(FAREWELL);
    fatal::end(fatal::IO_ERROR);
}

fn unreadable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Read(error.to_string())
}

/// Long enough for answers that are ready to reach the network.
const FAREWELL: std::time::Duration = std::time::Duration::from_millis(100);
