//! Where everything that must not be lost is kept.
//!
//! One trait of coarse operations in the domain's words; each is one transaction, and nothing outside this crate
//! knows of tables or keys. redb is the default. A write's future ends when the transaction that holds it is on
//! disk, and an error means that nothing of it is there, except for [`StoreError::Outcome`], after which the process
//! must end: whether the write is there is known only once the database has been opened again.
//!
//! The crate knows [`landfall_domain`], and of [`landfall_attestation`] the readers of certificates and of revocation lists:
//! what is revoked is kept for an issuer's name and key, which a transaction reads from the certificates of its rows.
//!
//! The feature `suite` brings the behaviour suite: one test for each promise of the trait, for every implementation.
//!
//! ```no_run
//! use landfall_store::redb::{RedbStore, StoreSettings};
//! use landfall_store::Store as _;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let store = RedbStore::open("landfall.redb".as_ref(), StoreSettings { create: true, ..StoreSettings::default() })?;
//! let scope = "0ne00000001".parse()?;
//! store.create_scope(scope).await?;
//! # Ok(())
//! # }
//! ```

pub mod decisions;
pub mod health;
pub mod redb;
pub mod writer;

#[cfg(any(test, feature = "suite"))]
#[allow(missing_docs, reason = "each function is a promise, and its name says which")]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "these are tests, which other crates run as well"
)]
pub mod suite;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use landfall_attestation::bearer::KeptKeys;
use landfall_attestation::tpm::challenge::KeptChallenge;
use landfall_attestation::x509::revocation::{KeptRevocations, RevocationChange, RevocationRecord};
use landfall_domain::api_token::TokenRecord;
use landfall_domain::clock::Timestamp;
use landfall_domain::decision::{Content, Entry};
use landfall_domain::enrollment::{CertificateAuthority, EnrollmentRef, Group, Individual};
use landfall_domain::hub::{Hub, HubLoad};
use landfall_domain::names::{
    CaName, Digest, GroupId, HubName, IdScope, ManufacturerId, PluginName, RegistrationId, TrackingId,
};
use landfall_domain::plugin::rules::PluginRules;
use landfall_domain::plugin::signature::Signature;
use landfall_domain::plugin::{KeptComponent, PublishBounds, PublishedPlugin};
use landfall_domain::registration::{Registration, Version};
use landfall_domain::registry::{EvidenceMembers, ManufacturingRecord, RecordState};
use serde::{Deserialize, Serialize};

pub use self::decisions::{
    DecisionFilter, DecisionPage, DecisionPlace, DecisionPlaceError, DecisionResult, DecisionSummary, PolicyFilter,
};
pub use self::health::{Finding, Findings, Unused};
pub use self::writer::Lane;

/// A store. Reads see the last finished transaction and never wait for writes.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    // Registrations and the ledger.

    /// The registration of an id.
    async fn registration(&self, scope: &IdScope, id: &RegistrationId) -> Result<Option<Registration>, StoreError>;

    /// The device to which a key belongs: it registered with it, and was not released from it.
    async fn device_of_key(&self, scope: &IdScope, key: Digest) -> Result<Option<RegistrationId>, StoreError>;

    /// Registrations in the order of their ids. A page may hold fewer than asked for, even none, when the filter
    /// passes few: [`Listing::next`] says whether there is more.
    async fn registrations(
        &self,
        scope: &IdScope,
        page: Page,
        filter: RegistrationFilter,
    ) -> Result<Listing<Registration>, StoreError>;

    /// Writes a registration, its hub's count, its group's counts and its ledger entry, if all of
    /// [`RegistrationCommit`]'s conditions hold. Of the decisions that stood before it, the latest are kept and the
    /// others go: a device that registers in a loop must not fill the disk.
    async fn commit_registration(&self, commit: RegistrationCommit) -> Result<CommitOutcome, StoreError>;

    /// Removes a registration, gives its place in its hub and groups back, and answers it; or why it stays. Its entity
    /// tag is [`Registration::etag`].
    async fn delete_registration(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        when: Precondition,
    ) -> Result<Result<Registration, DeleteOutcome>, StoreError>;

    /// Lets the id be claimed by another key: its binding is what is removed. Its generation goes up, so that a decision
    /// under way for the old key is overtaken.
    async fn release_registration(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError>;

    /// Devices placed at a group path or below it; all that have a hub for the empty path.
    async fn group_count(&self, scope: &IdScope, path: &[String]) -> Result<u64, StoreError>;

    /// Keeps a challenge, and lets some go that are over by this time.
    async fn keep_challenge(&self, challenge: KeptChallenge, now: Timestamp) -> Result<(), StoreError>;

    /// All challenges, the oldest first.
    async fn challenges(&self) -> Result<Vec<KeptChallenge>, StoreError>;

    /// Remembers a Kerberos authenticator until it cannot come again, and lets some go that cannot by now. Whether it had not
    /// been here before.
    async fn spend_authenticator(
        &self,
        authenticator: Digest,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Keeps what an issuer of tokens has published in place of what it had, and lets all go that were read before `oldest`.
    async fn keep_issuer_keys(&self, keys: KeptKeys, oldest: Timestamp) -> Result<(), StoreError>;

    /// What all issuers have published.
    async fn issuer_keys(&self) -> Result<Vec<KeptKeys>, StoreError>;

    /// Adds an entry that led to no registration (a refusal, a postponement). The oldest of these make room for new
    /// ones, so that nobody can fill the disk by being refused.
    ///
    /// Of `contents`, those that it names are written with it where they are not there yet.
    async fn record_entry(&self, entry: Entry, contents: Vec<Content>) -> Result<(), StoreError>;

    /// Decisions and refusals of an id scope, by the times that they say, the newest first. A page may hold fewer than asked for,
    /// even none, when the filter passes few: [`Listing::next`] says whether there is more, as the text of a
    /// [`DecisionPlace`]. Pages follow each other without gaps, whatever comes or goes meanwhile.
    async fn decisions(
        &self,
        scope: &IdScope,
        page: DecisionPage,
        filter: DecisionFilter,
    ) -> Result<Listing<Entry>, StoreError>;

    /// One ledger entry.
    async fn ledger_entry(&self, id: TrackingId) -> Result<Option<Entry>, StoreError>;

    /// Keeps bytes that are there for good: the components of shipped policies. Answers at once for bytes that are there. What
    /// entries name comes with them.
    async fn keep_content(&self, lane: Lane, content: Vec<u8>) -> Result<Digest, StoreError>;

    /// The signatures with which a component was published, all times together.
    async fn signatures(&self, component: Digest) -> Result<Vec<Signature>, StoreError>;

    /// Bytes by their digest.
    async fn content(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError>;

    // Manufacturing records.

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

    /// Changes a record's state; answers the record as it is now. Retired is final: such a record stays as it is.
    async fn set_record_state(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        state: RecordState,
        now: Timestamp,
    ) -> Result<Option<ManufacturingRecord>, StoreError>;

    /// Whose records there are, the first so many of them in the order of their names.
    async fn manufacturers(&self, scope: &IdScope, most: usize) -> Result<Vec<ManufacturerId>, StoreError>;

    /// How many records a manufacturer has.
    async fn record_count(&self, scope: &IdScope, manufacturer: &ManufacturerId) -> Result<u64, StoreError>;

    // Individual enrollments: many, so looked up one by one.

    /// The individual enrollment of an id. It takes as long to find that there is none, as far as others stand there: the time
    /// must not tell a stranger whether an id is known.
    async fn individual(&self, scope: &IdScope, id: &RegistrationId) -> Result<Option<Individual>, StoreError>;

    /// Individual enrollments in the order of their ids.
    async fn individuals(&self, scope: &IdScope, page: Page) -> Result<Listing<Individual>, StoreError>;

    /// Makes or replaces an individual enrollment. A certificate that another enrollment names is a conflict.
    async fn put_individual(
        &self,
        scope: &IdScope,
        entry: Individual,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError>;

    /// Replaces the individual enrollments among these that are as they were read, in one transaction; answers how many.
    /// They hold what they held before: it is for keys that are sealed anew.
    async fn replace_individuals(
        &self,
        scope: &IdScope,
        entries: Vec<(Individual, Individual)>,
    ) -> Result<usize, StoreError>;

    /// Removes one.
    async fn delete_individual(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError>;

    /// The enrollment that names a certificate.
    async fn enrollment_of_certificate(
        &self,
        scope: &IdScope,
        certificate: Digest,
    ) -> Result<Option<landfall_domain::enrollment::EnrollmentRef>, StoreError>;

    // The catalogue: few, so held in memory as a whole by whoever decides.

    /// Everything of all scopes but what is looked up one by one.
    async fn load_catalogue(&self) -> Result<CatalogueRecords, StoreError>;

    /// Makes an id scope; answers whether it is new.
    async fn create_scope(&self, scope: IdScope) -> Result<bool, StoreError>;

    /// A group as it is on disk; the catalogue in memory may be a moment behind.
    async fn group(&self, scope: &IdScope, id: &GroupId) -> Result<Option<Group>, StoreError>;

    /// Makes or replaces a group. A certificate that another enrollment names is a conflict, and so is an authority
    /// that another group names: one certificate leads to one enrollment.
    async fn put_group(&self, scope: &IdScope, group: Group, when: Precondition) -> Result<PutOutcome, StoreError>;

    /// Removes a group. Its devices' registrations stay.
    async fn delete_group(
        &self,
        scope: &IdScope,
        id: &GroupId,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError>;

    /// Uploads an authority's certificate. It begins unproven, unless it is another certificate of the authority that stands
    /// there, by name and key. One that would take the devices of a group away, or what was proven without saying so, is a
    /// conflict. The entity tag is [`authority_tag`].
    async fn upload_authority(
        &self,
        scope: &IdScope,
        upload: AuthorityUpload,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError>;

    /// Changes what is said of an issuer's certificates, by commands that are merged over whatever stands there by then: all of
    /// them or none. It is kept by the issuer's name and key, whatever becomes of authorities. `when` can name an
    /// authority whose [`authority_tag`] must be as it says. What does not fit is a conflict.
    async fn change_revocations(
        &self,
        scope: &IdScope,
        change: RevocationChange,
        when: Option<(CaName, Precondition)>,
    ) -> Result<PutOutcome, StoreError>;

    /// Makes or replaces an authority as it is. A certificate that is uploaded under another name is a conflict.
    async fn put_authority(
        &self,
        scope: &IdScope,
        authority: CertificateAuthority,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError>;

    /// Removes an authority, unless a group names it, or holds an intermediate that only this one vouches for. What is said of
    /// its certificates stays.
    async fn delete_authority(&self, scope: &IdScope, name: &CaName) -> Result<DeleteOutcome, StoreError>;

    /// Links a hub or changes it; its count stays, also while it is unlinked.
    async fn put_hub(&self, scope: &IdScope, hub: Hub, when: Precondition) -> Result<PutOutcome, StoreError>;

    /// Unlinks a hub. Registrations that name it stay, and no new one can.
    async fn delete_hub(
        &self,
        scope: &IdScope,
        name: &HubName,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError>;

    /// Keeps a revision's bytes and signatures and makes it the live one of its name. The store keeps `previous`, `past`
    /// and `rules` itself, so that two who publish at once lose nothing; bytes of another digest are a conflict, and so is
    /// what goes beyond the bounds, once the plugin's own oldest revisions have made room.
    async fn publish_plugin(
        &self,
        scope: &IdScope,
        plugin: PublishedPlugin,
        bytes: Vec<u8>,
        signatures: Vec<Signature>,
        bounds: PublishBounds,
    ) -> Result<PutOutcome, StoreError>;

    /// Changes what the operator says of a plugin: [`PutOutcome::Replaced`], or [`PutOutcome::Missing`].
    async fn set_plugin_rules(
        &self,
        scope: &IdScope,
        name: &PluginName,
        rules: PluginRules,
    ) -> Result<PutOutcome, StoreError>;

    /// Removes a plugin's name, unless an enrollment uses it; the bytes stay for as long as a decision names them.
    async fn delete_plugin(&self, scope: &IdScope, name: &PluginName) -> Result<DeleteOutcome, StoreError>;

    /// The components of an id scope's plugins that no plugin names any more, and that are kept for decisions and enrollments.
    async fn kept_components(&self, scope: &IdScope) -> Result<Vec<KeptComponent>, StoreError>;

    // The store itself.

    /// Whether there is room enough on the disk for what devices write.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSpace`].
    fn has_room(&self) -> Result<(), StoreError>;

    /// How many transactions have changed it. Never goes back, but for a store that was put back.
    fn sequence(&self) -> u64;

    /// What contradicts itself, and what nothing names. Reads all of it.
    async fn check(&self) -> Result<(Findings, Unused), StoreError>;

    /// Copies all of it, as the last transaction left it, into a new file; answers how many rows that are.
    async fn copy_to(&self, to: &Path, now: Timestamp) -> Result<u64, StoreError>;

    // Tokens.

    /// Keeps a new token.
    async fn put_token(&self, token: TokenRecord) -> Result<(), StoreError>;

    /// A token by the SHA-256 of its secret.
    async fn token(&self, secret_sha256: Digest) -> Result<Option<TokenRecord>, StoreError>;

    /// All tokens.
    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError>;

    /// Revokes every token of a public id, unless nobody were left then who can make another: the last operator's token
    /// that is good for all id scopes, by this time, is [`DeleteOutcome::InUse`].
    async fn delete_token(&self, id: &str, now: Timestamp) -> Result<DeleteOutcome, StoreError>;

    /// Finishes what is queued, refuses what comes after, and closes the files.
    async fn close(&self) -> Result<(), StoreError>;
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

/// A registration to write, and on what conditions.
#[derive(Clone, Debug)]
pub struct RegistrationCommit {
    /// Its tenant.
    pub scope: IdScope,
    /// What to write. The hub of an assigned one must be linked, active and have room; the hub that the device is on
    /// already need only be linked. What follows from the state before it (the generation, the first hub, the id as
    /// it was first written) is put in by the store.
    pub registration: Registration,
    /// The version that was read when the decision was made; absent when there was no registration.
    pub expected: Option<Version>,
    /// The manufacturing record on which the device was admitted, if there was one. What stands there now must admit
    /// it too.
    pub record: Option<ManufacturingRecord>,
    /// On what the device was admitted besides. All of it must stand as it did.
    pub basis: AdmissionBasis,
    /// The challenge whose answer began it; from then on no other registration begins with it.
    pub answered: Option<TrackingId>,
    /// What explains it.
    pub entry: Entry,
    /// What it names by digest; written with it where it is not there yet.
    pub contents: Vec<Content>,
}

/// What an admission rested on besides the manufacturing record, as it was read. What an operator disables, deletes,
/// revokes or changes while a policy thinks makes another of it, and the device is admitted anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdmissionBasis {
    /// The way in which the enrollment was found, and how often what is looked at for that had changed: of
    /// [`ScopeRecords::admissions`]. Absent where nothing but the enrollment itself counts.
    pub found: Option<(Way, u64)>,
    /// The group that admitted it, and its entity tag; absent when none did.
    pub group: Option<(GroupId, String)>,
    /// The entity tag of the individual enrollment of the id; absent when there was none.
    pub individual: Option<String>,
    /// The certificate that the device showed, and the enrollment that named it.
    pub certificate: Option<(Digest, Option<EnrollmentRef>)>,
}

/// A way in which the enrollment is found that counts for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By certificates: groups by their authorities, intermediates and makers of TPMs, authorities, and what is revoked.
    Certificates,
    /// By a token: groups with rules for tokens.
    Tokens,
    /// By an account: groups with rules for directories.
    Directories,
}

/// How often what is looked at has changed, for each [`Way`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admissions {
    /// [`Way::Certificates`].
    pub certificates: u64,
    /// [`Way::Tokens`].
    pub tokens: u64,
    /// [`Way::Directories`].
    pub directories: u64,
}

impl Admissions {
    /// The count of one of them.
    pub fn of(&self, way: Way) -> u64 {
        match way {
            Way::Certificates => self.certificates,
            Way::Tokens => self.tokens,
            Way::Directories => self.directories,
        }
    }
}

/// What came of a commit.
#[derive(Clone, Debug, PartialEq)]
pub enum CommitOutcome {
    /// It is on disk; this is what was written.
    Committed(Box<Registration>),
    /// The hub is not linked, not active or full; nothing was written.
    NoRoom,
    /// Another request wrote this registration since it was read; this is what stands there. Nothing was written.
    Overtaken(Option<Box<Registration>>),
    /// The manufacturing record is another now, in what admits a device: it was quarantined, say. Nothing was written.
    RecordChanged,
    /// The key belongs to this other device. Nothing was written.
    KeyOfAnother(RegistrationId),
    /// What admitted the device is not what it was; the id scope's [`ScopeRecords::revision`] is this now. Nothing was
    /// written.
    AdmissionChanged(u64),
    /// A revision that decided was removed meanwhile. Nothing was written.
    RevisionGone,
    /// This other device has the id in the hub. Nothing was written.
    IdentityTaken(RegistrationId),
}

/// Part of a listing: so many after a key.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The key after which it begins, in any case; the first page when absent.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// A page of things.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing<T> {
    /// The things.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last.
    pub next: Option<String>,
}

/// Which registrations to list.
#[derive(Clone, Debug, Default)]
pub struct RegistrationFilter {
    /// Only those on this hub.
    pub hub: Option<HubName>,
    /// Only those admitted by this group.
    pub group: Option<GroupId>,
    /// Only those that have a hub, or only those that were turned down.
    pub assigned: Option<bool>,
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
pub struct ImportBatch {
    /// The tenant.
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

/// On what condition something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Only if there is none yet.
    New,
    /// Only if there is one, and its entity tag is this one: that of its [`Terms`](landfall_domain::enrollment::Terms), or
    /// [`entity_tag`].
    Match(String),
    /// Only if there is one.
    Exists,
    /// Whatever is there.
    Any,
}

impl Precondition {
    /// Whether something may be written where a thing with this entity tag stands, or where none does.
    ///
    /// # Errors
    ///
    /// What came of the write that may not be.
    pub fn judge(&self, stands: Option<&str>) -> Result<PutOutcome, PutOutcome> {
        match (self, stands) {
            (Self::New | Self::Any, None) => Ok(PutOutcome::Created),
            (Self::New, Some(_)) => Err(PutOutcome::AlreadyThere),
            (Self::Match(_) | Self::Exists, None) => Err(PutOutcome::Missing),
            (Self::Match(tag), Some(stands)) if tag != stands => Err(PutOutcome::Changed),
            (Self::Match(_) | Self::Exists | Self::Any, Some(_)) => Ok(PutOutcome::Replaced),
        }
    }

    /// The condition on which something that was made over what stood there may be written: that this stands there
    /// still. Whatever is carried over from what stood (keys that were not said again, the date of its making) would
    /// otherwise undo what another change has made of it meanwhile.
    ///
    /// # Errors
    ///
    /// What came of the write that may not be.
    pub fn over(&self, stands: Option<&str>) -> Result<Self, PutOutcome> {
        self.judge(stands)?;
        Ok(stands.map_or(Self::New, |tag| Self::Match(tag.to_owned())))
    }

    /// The same for a removal: what came of it when the thing may not be removed.
    ///
    /// # Errors
    ///
    /// [`DeleteOutcome::Missing`] or [`DeleteOutcome::Changed`].
    pub fn judge_removal(&self, stands: Option<&str>) -> Result<(), DeleteOutcome> {
        match (self, stands) {
            (_, None) => Err(DeleteOutcome::Missing),
            (Self::New, Some(_)) => Err(DeleteOutcome::Changed),
            (Self::Match(tag), Some(stands)) if tag != stands => Err(DeleteOutcome::Changed),
            (Self::Match(_) | Self::Exists | Self::Any, Some(_)) => Ok(()),
        }
    }
}

/// The entity tag of a thing that carries none of its own (a hub, a certificate authority): changes with its content.
pub fn entity_tag<T: Serialize>(thing: &T) -> String {
    // What cannot be encoded cannot be stored either, so that the tag of nothing is never compared.
    let encoded = serde_json::to_vec(thing).unwrap_or_default();
    Digest::of(&encoded).to_string().chars().take(32).collect()
}

/// A certificate to upload as that of an authority.
#[derive(Clone, Debug)]
pub struct AuthorityUpload {
    /// The authority's name.
    pub name: CaName,
    /// Its certificate, DER.
    pub der: Vec<u8>,
    /// Whether it may take the place of another that is in use or proven.
    pub replace: bool,
    /// Now.
    pub now: Timestamp,
}

/// The entity tag of an authority with what is said of its certificates.
pub fn authority_tag(authority: &CertificateAuthority, said: Option<&RevocationRecord>) -> String {
    entity_tag(&(authority, said.map(|said| (&said.rules, &said.list))))
}

/// What came of a write under a precondition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// It was not there before.
    Created,
    /// It was.
    Replaced,
    /// It was to be new, and is there already.
    AlreadyThere,
    /// It was to be there, and is not.
    Missing,
    /// It is there with another entity tag.
    Changed,
    /// Another thing holds something that may be held once only; the text says which and what.
    Conflict(String),
}

/// What came of a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// It is gone.
    Deleted,
    /// It was not there.
    Missing,
    /// It is there with another entity tag.
    Changed,
    /// Something else still needs it; the text says what.
    InUse(String),
}

impl PutOutcome {
    /// Whether another change came between the reading and the writing.
    pub fn is_overtaken(&self) -> bool {
        matches!(self, Self::AlreadyThere | Self::Missing | Self::Changed)
    }
}

/// Everything that is held in memory.
#[derive(Clone, Debug, Default)]
pub struct CatalogueRecords {
    /// One for each id scope.
    pub scopes: Vec<ScopeRecords>,
}

/// The small things of one id scope.
#[derive(Clone, Debug)]
pub struct ScopeRecords {
    /// The id scope.
    pub scope: IdScope,
    /// Counts up with every change of what follows, but for how full the hubs are. Writing into a scope that was not
    /// made makes it.
    pub revision: u64,
    /// Count up with every change of what is looked at to find the enrollment of a device.
    pub admissions: Admissions,
    /// Linked hubs and how full they are, by name: numbers that go on following the store.
    pub hubs: Vec<(Hub, HubLoad)>,
    /// Enrollment groups, by id.
    pub groups: Vec<Group>,
    /// Certificate authorities, by name.
    pub authorities: Vec<CertificateAuthority>,
    /// What is said of issuers' certificates.
    pub revocations: Vec<KeptRevocations>,
    /// Published plugins, by name.
    pub plugins: Vec<PublishedPlugin>,
}

/// Why a store could not do as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened.
    #[error("cannot open the database {path}: {reason}")]
    Open {
        /// The file.
        path: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A read failed.
    #[error("the database cannot be read: {0}")]
    Read(String),
    /// A write failed before its commit; nothing of it is there.
    #[error("the database cannot be written: {0}; nothing was changed")]
    Write(String),
    /// What stands there is not what was written.
    #[error("the database holds a {what} that cannot be understood: {reason}; restore it from a backup")]
    Damaged {
        /// The kind of thing.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// There is too little room on the disk; nothing was changed.
    #[error(
        "only {free_mib} MiB are free in {folder}, and {needed_mib} MiB are kept free (limits.store.reserve_mib): make \
         room there; nothing was changed, and writing goes on by itself"
    )]
    NoSpace {
        /// Where.
        folder: String,
        /// What is free, in MiB.
        free_mib: u64,
        /// What must be, in MiB.
        needed_mib: u64,
    },
    /// Too much waits to be written.
    #[error("too much waits to be written; try again")]
    Busy,
    /// The write itself said that nothing of it may stay.
    #[error("the change was taken back; nothing was changed")]
    TakenBack,
    /// The store is closing.
    #[error("the service is stopping")]
    Closed,
    /// The transaction failed to commit; whether it is there is not known.
    #[error("a commit failed ({0}); the process must end")]
    Outcome(String),
}
