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
mod codec;
mod components;
mod copy;
mod decisions;
mod engine;
mod enrollments;
mod identities;
mod issuer_keys;
mod ledger;
mod listing;
mod loads;
mod open;
mod records;
mod registrations;
mod revocations;
mod space;
mod steps;
mod sweep;
mod tables;
mod tokens;
mod uses;
mod views;

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use landfall_attestation::bearer::KeptKeys;
use landfall_attestation::tpm::challenge::KeptChallenge;
use landfall_attestation::x509::revocation::RevocationChange;
use landfall_domain::api_token::TokenRecord;
use landfall_domain::clock::{Clock, SystemClock, Timestamp};
use landfall_domain::decision::{Content, Entry};
use landfall_domain::enrollment::{CertificateAuthority, EnrollmentRef, Group, Individual};
use landfall_domain::fatal;
use landfall_domain::hub::Hub;
use landfall_domain::names::{
    CaName, Digest, GroupId, HubName, IdScope, ManufacturerId, PluginName, RegistrationId, TrackingId,
};
use landfall_domain::plugin::rules::PluginRules;
use landfall_domain::plugin::signature::Signature;
use landfall_domain::plugin::{KeptComponent, PublishBounds, PublishedPlugin};
use landfall_domain::registration::Registration;
use landfall_domain::registry::{ManufacturingRecord, RecordState};
pub use redb::StorageBackend;
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable};
use tokio::sync::oneshot;

use self::engine::{RedbEngine, RedbJob, Write};
use self::loads::Loads;
use self::space::Space;
use self::tables::{Definition, Kept};
pub use crate::health::{Finding, Findings, Unused};
use crate::writer::{Bounds, Lane, OnFatal, Queue, Writer};
use crate::{
    AuthorityUpload, Batches, CatalogueRecords, CommitOutcome, DecisionFilter, DecisionPage, DeleteOutcome,
    ImportBatch, Listing, Page, Precondition, PutOutcome, RecordFilter, RegistrationCommit, RegistrationFilter,
    RowResult, Staging, Store, StoreError,
};

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

#[async_trait]
impl Store for RedbStore {
    async fn registration(&self, scope: &IdScope, id: &RegistrationId) -> Result<Option<Registration>, StoreError> {
        registrations::get(&self.view()?, scope, id)
    }

    async fn device_of_key(&self, scope: &IdScope, key: Digest) -> Result<Option<RegistrationId>, StoreError> {
        registrations::of_key(&self.view()?, scope, key)
    }

    async fn registrations(
        &self,
        scope: &IdScope,
        page: Page,
        filter: RegistrationFilter,
    ) -> Result<Listing<Registration>, StoreError> {
        let scope = scope.clone();
        self.look(move |view| registrations::list(view, &scope, &page, &filter)).await
    }

    async fn commit_registration(&self, commit: RegistrationCommit) -> Result<CommitOutcome, StoreError> {
        let commit = registrations::Commit::new(commit)?;
        self.write(Lane::Device, commit).await
    }

    async fn delete_registration(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        when: Precondition,
    ) -> Result<Result<Registration, DeleteOutcome>, StoreError> {
        let delete = registrations::Delete::new(scope, id, when);
        self.write(Lane::Operator, delete).await
    }

    async fn release_registration(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError> {
        let release = registrations::Release::new(scope, id, when);
        self.write(Lane::Operator, release).await
    }

    async fn group_count(&self, scope: &IdScope, path: &[String]) -> Result<u64, StoreError> {
        registrations::group_count(&self.view()?, scope, path)
    }

    async fn keep_challenge(&self, challenge: KeptChallenge, now: Timestamp) -> Result<(), StoreError> {
        self.write(Lane::Device, challenges::Keep { challenge, now }).await
    }

    async fn challenges(&self) -> Result<Vec<KeptChallenge>, StoreError> {
        self.look(challenges::all).await
    }

    async fn spend_authenticator(
        &self,
        authenticator: Digest,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(Lane::Device, authenticators::Spend { authenticator, until, now }).await
    }

    async fn keep_issuer_keys(&self, keys: KeptKeys, oldest: Timestamp) -> Result<(), StoreError> {
        self.write(Lane::Device, issuer_keys::Keep { keys, oldest }).await
    }

    async fn issuer_keys(&self) -> Result<Vec<KeptKeys>, StoreError> {
        self.look(issuer_keys::all).await
    }

    async fn record_entry(&self, entry: Entry, contents: Vec<Content>) -> Result<(), StoreError> {
        self.write(Lane::Device, ledger::KeepEntry::new(&entry, contents)?).await
    }

    async fn ledger_entry(&self, id: TrackingId) -> Result<Option<Entry>, StoreError> {
        ledger::get(&self.view()?, id)
    }

    async fn decisions(
        &self,
        scope: &IdScope,
        page: DecisionPage,
        filter: DecisionFilter,
    ) -> Result<Listing<Entry>, StoreError> {
        let scope = scope.clone();
        self.look(move |view| decisions::list(view, &scope, &page, &filter)).await
    }

    async fn keep_content(&self, lane: Lane, content: Vec<u8>) -> Result<Digest, StoreError> {
        let digest = Digest::of(&content);
        if !ledger::has_content(&self.view()?, digest)? {
            self.write(lane, ledger::KeepContent::new(digest, content)).await?;
        }
        Ok(digest)
    }

    async fn signatures(&self, component: Digest) -> Result<Vec<Signature>, StoreError> {
        ledger::signatures(&self.view()?, component)
    }

    async fn content(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        ledger::content(&self.view()?, digest)
    }

    async fn record(&self, scope: &IdScope, id: &RegistrationId) -> Result<Option<ManufacturingRecord>, StoreError> {
        records::get(&self.view()?, scope, id)
    }

    async fn records(
        &self,
        scope: &IdScope,
        page: Page,
        filter: RecordFilter,
    ) -> Result<Listing<ManufacturingRecord>, StoreError> {
        let scope = scope.clone();
        self.look(move |view| records::list(view, &scope, &page, &filter)).await
    }

    async fn import_batch(&self, batch: ImportBatch) -> Result<Vec<RowResult>, StoreError> {
        self.write(Lane::Bulk, records::Import::new(batch)?).await
    }

    async fn set_record_state(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        state: RecordState,
        now: Timestamp,
    ) -> Result<Option<ManufacturingRecord>, StoreError> {
        let set = records::SetState::new(scope, id, state, now);
        self.write(Lane::Operator, set).await
    }

    async fn manufacturers(&self, scope: &IdScope, most: usize) -> Result<Vec<ManufacturerId>, StoreError> {
        records::manufacturers(&self.view()?, scope, most)
    }

    async fn record_count(&self, scope: &IdScope, manufacturer: &ManufacturerId) -> Result<u64, StoreError> {
        records::count(&self.view()?, scope, manufacturer)
    }

    async fn individual(&self, scope: &IdScope, id: &RegistrationId) -> Result<Option<Individual>, StoreError> {
        enrollments::individual(&self.view()?, scope, id)
    }

    async fn individuals(&self, scope: &IdScope, page: Page) -> Result<Listing<Individual>, StoreError> {
        let scope = scope.clone();
        self.look(move |view| enrollments::individuals(view, &scope, &page)).await
    }

    async fn put_individual(
        &self,
        scope: &IdScope,
        entry: Individual,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError> {
        let put = enrollments::PutIndividual::new(scope, entry, when);
        self.write(Lane::Operator, put).await
    }

    async fn replace_individuals(
        &self,
        scope: &IdScope,
        entries: Vec<(Individual, Individual)>,
    ) -> Result<usize, StoreError> {
        self.write(Lane::Operator, enrollments::ReplaceIndividuals { scope: scope.clone(), entries }).await
    }

    async fn delete_individual(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError> {
        let delete = enrollments::DeleteIndividual::new(scope, id, when);
        self.write(Lane::Operator, delete).await
    }

    async fn enrollment_of_certificate(
        &self,
        scope: &IdScope,
        certificate: Digest,
    ) -> Result<Option<EnrollmentRef>, StoreError> {
        enrollments::of_certificate(&self.view()?, scope, certificate)
    }

    async fn load_catalogue(&self) -> Result<CatalogueRecords, StoreError> {
        let loads = Arc::clone(&self.loads);
        self.look(move |view| catalogue::load(view, &loads)).await
    }

    async fn create_scope(&self, scope: IdScope) -> Result<bool, StoreError> {
        self.write(Lane::Operator, catalogue::CreateScope::new(&scope)).await
    }

    async fn group(&self, scope: &IdScope, id: &GroupId) -> Result<Option<Group>, StoreError> {
        enrollments::group(&self.view()?, scope, id)
    }

    async fn put_group(&self, scope: &IdScope, group: Group, when: Precondition) -> Result<PutOutcome, StoreError> {
        let put = enrollments::PutGroup::new(scope, group, when);
        self.write(Lane::Operator, put).await
    }

    async fn delete_group(
        &self,
        scope: &IdScope,
        id: &GroupId,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError> {
        let delete = enrollments::DeleteGroup::new(scope, id, when);
        self.write(Lane::Operator, delete).await
    }

    async fn put_authority(
        &self,
        scope: &IdScope,
        authority: CertificateAuthority,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError> {
        let put = authorities::PutAuthority::new(scope, authority, when);
        self.write(Lane::Operator, put).await
    }

    async fn upload_authority(
        &self,
        scope: &IdScope,
        upload: AuthorityUpload,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError> {
        self.write(Lane::Operator, authorities::UploadAuthority::new(scope, upload, when)).await
    }

    async fn change_revocations(
        &self,
        scope: &IdScope,
        change: RevocationChange,
        when: Option<(CaName, Precondition)>,
    ) -> Result<PutOutcome, StoreError> {
        self.write(Lane::Operator, revocations::Change::new(scope, change, when)).await
    }

    async fn delete_authority(&self, scope: &IdScope, name: &CaName) -> Result<DeleteOutcome, StoreError> {
        let delete = authorities::DeleteAuthority::new(scope, name);
        self.write(Lane::Operator, delete).await
    }

    async fn put_hub(&self, scope: &IdScope, hub: Hub, when: Precondition) -> Result<PutOutcome, StoreError> {
        let put = catalogue::PutHub::new(scope, hub, when);
        self.write(Lane::Operator, put).await
    }

    async fn delete_hub(
        &self,
        scope: &IdScope,
        name: &HubName,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError> {
        let delete = catalogue::DeleteHub::new(scope, name, when);
        self.write(Lane::Operator, delete).await
    }

    async fn publish_plugin(
        &self,
        scope: &IdScope,
        plugin: PublishedPlugin,
        bytes: Vec<u8>,
        signatures: Vec<Signature>,
        bounds: PublishBounds,
    ) -> Result<PutOutcome, StoreError> {
        // A component is as large as an import: it leaves devices and operators their room.
        self.space.check(Lane::Bulk)?;
        let publish = catalogue::Publish::new(scope, plugin, bytes, signatures, bounds);
        self.write(Lane::Operator, publish).await
    }

    async fn set_plugin_rules(
        &self,
        scope: &IdScope,
        name: &PluginName,
        rules: PluginRules,
    ) -> Result<PutOutcome, StoreError> {
        let set = catalogue::SetRules::new(scope, name, rules);
        self.write(Lane::Operator, set).await
    }

    async fn delete_plugin(&self, scope: &IdScope, name: &PluginName) -> Result<DeleteOutcome, StoreError> {
        let delete = catalogue::DeletePlugin::new(scope, name);
        self.write(Lane::Operator, delete).await
    }

    async fn kept_components(&self, scope: &IdScope) -> Result<Vec<KeptComponent>, StoreError> {
        let scope = scope.clone();
        self.look(move |view| components::of_scope(view, &scope)).await
    }

    async fn put_token(&self, token: TokenRecord) -> Result<(), StoreError> {
        self.write(Lane::Operator, tokens::Put(token)).await
    }

    async fn token(&self, secret_sha256: Digest) -> Result<Option<TokenRecord>, StoreError> {
        tokens::get(&self.view()?, secret_sha256)
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        self.look(tokens::all).await
    }

    fn has_room(&self) -> Result<(), StoreError> {
        self.space.check(Lane::Device)
    }

    fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    async fn check(&self) -> Result<(Findings, Unused), StoreError> {
        self.look(|view| Ok((check::check(view)?, sweep::unused(view)?))).await
    }

    async fn copy_to(&self, to: &Path, now: Timestamp) -> Result<u64, StoreError> {
        let (to, space) = (to.to_owned(), Arc::clone(&self.space));
        self.look(move |view| copy::copy(&view.0, &to, now, || space.check(Lane::Bulk))).await
    }

    fn staging(&self) -> Result<Staging, StoreError> {
        self.space.check(Lane::Bulk)?;
        let file = self.space.unnamed_file()?;
        let space = Arc::clone(&self.space);
        Ok(Staging { file, room: Arc::new(move || space.check(Lane::Bulk)) })
    }

    async fn import_whole(&self, batches: Arc<dyn Batches>) -> Result<Vec<Vec<RowResult>>, StoreError> {
        let space = Arc::clone(&self.space);
        let room = Arc::new(move || space.check(Lane::Bulk));
        self.write(Lane::Bulk, records::ImportWhole::new(batches, room)).await
    }

    async fn delete_token(&self, id: &str, now: Timestamp) -> Result<DeleteOutcome, StoreError> {
        self.write(Lane::Operator, tokens::Delete { id: id.to_owned(), now }).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.end_writer().await;
        // The file closes with the last read that is still going on.
        match self.database.swap(None).map(Arc::try_unwrap) {
            Some(Ok(database)) => database.close().map_err(|e| StoreError::Write(format!("closing failed: {e}"))),
            Some(Err(_)) | None => Ok(()),
        }
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
