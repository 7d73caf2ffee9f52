//! Registrations, and the one transaction that writes them.

use async_trait::async_trait;
use landfall_domain::decision::{Content, Entry};
use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::names::{Digest, GroupId, HubName, IdScope, RegistrationId, TrackingId};
use landfall_domain::registration::{Registration, Version};
use landfall_domain::registry::ManufacturingRecord;

use crate::{DeleteOutcome, Listing, Page, Precondition, StoreError};

/// Registrations, and the one transaction that writes them.
#[async_trait]
pub trait RegistrationStore: Send + Sync + 'static {
    /// The registration of an id.
    async fn registration(&self, scope: &IdScope, id: &RegistrationId) -> Result<Option<Registration>, StoreError>;

    /// The device to which a key belongs: it registered with the key and was not released from it.
    async fn device_of_key(&self, scope: &IdScope, key: Digest) -> Result<Option<RegistrationId>, StoreError>;

    /// Registrations in the order of their ids. A page may hold fewer than requested, even none, when few pass the
    /// filter: [`Listing::next`] says whether there are more.
    async fn registrations(
        &self,
        scope: &IdScope,
        page: Page,
        filter: RegistrationFilter,
    ) -> Result<Listing<Registration>, StoreError>;

    /// Writes a registration, the count of its hub, the counts of its groups and its ledger entry, if all conditions
    /// of the [`RegistrationCommit`] hold. Of the earlier decisions of the device, the latest are kept and the others
    /// are removed: a device that registers in a loop must not fill the disk.
    async fn commit_registration(&self, commit: RegistrationCommit) -> Result<CommitOutcome, StoreError>;

    /// Removes a registration, frees its place in its hub and groups, and returns it, or why it stays. Its entity tag
    /// is [`Registration::etag`].
    async fn delete_registration(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        when: Precondition,
    ) -> Result<Result<Registration, DeleteOutcome>, StoreError>;

    /// Removes the binding of a registration to its key, so that a device with another key can claim the id. The
    /// generation increases, so that a pending decision for the old key is overtaken.
    async fn release_registration(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError>;

    /// The number of devices placed at a group path or below it; for the empty path, all devices that have a hub.
    async fn group_count(&self, scope: &IdScope, path: &[String]) -> Result<u64, StoreError>;
}

/// A registration to write, and its conditions.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RegistrationCommit {
    pub scope: IdScope,
    /// The registration to write. The hub of an assigned registration must be linked, active and have room; a hub that
    /// the device is on already need only be linked. The store fills in the values that follow from the previous state
    /// (the generation, the first hub, the id as it was first written).
    pub registration: Registration,
    /// The version that the decision was made from; absent when there was no registration.
    pub expected: Option<Version>,
    /// The manufacturing record that admitted the device, if there was one. The record that is stored at the commit
    /// must admit the device too.
    pub record: Option<ManufacturingRecord>,
    /// What else the admission rested on. All of it must be unchanged at the commit.
    pub basis: AdmissionBasis,
    /// The challenge whose answer started this registration. It must be stored and unspent; the commit spends it, so
    /// that it starts no other registration.
    pub answered: Option<TrackingId>,
    /// The ledger entry that explains the registration.
    pub entry: Entry,
    /// The contents that the entry names by digest; written with it unless they are stored already.
    pub contents: Vec<Content>,
}

/// What an admission rested on besides the manufacturing record, as it was read. An operator may disable, delete,
/// revoke or change any of it while a policy runs; then the commit is refused and the device must be admitted again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdmissionBasis {
    /// How the enrollment was found, and the counter of [`ScopeRecords::admissions`](crate::ScopeRecords::admissions) for that way when it was read.
    /// Absent where only the enrollment itself counts.
    pub found: Option<(Way, u64)>,
    /// The group that admitted it, and its entity tag; absent when none did.
    pub group: Option<(GroupId, String)>,
    /// The entity tag of the individual enrollment of the id; absent when there was none.
    pub individual: Option<String>,
    /// The certificate that the device presented, and the enrollment that held it.
    pub certificate: Option<(Digest, Option<EnrollmentRef>)>,
}

/// A way to find the enrollment of a device, with a change counter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By certificates: depends on the authorities, intermediates and TPM makers of groups, on authorities, and on
    /// revocations.
    Certificates,
    /// By a token: depends on the token rules of groups.
    Tokens,
    /// By an account: depends on the directory rules of groups.
    Directories,
}

/// Change counters of the data by which enrollments are found, one for each [`Way`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Admissions {
    pub certificates: u64,
    pub tokens: u64,
    pub directories: u64,
}

impl Admissions {
    /// The counter of one way.
    pub fn of(&self, way: Way) -> u64 {
        match way {
            Way::Certificates => self.certificates,
            Way::Tokens => self.tokens,
            Way::Directories => self.directories,
        }
    }
}

/// The outcome of a commit.
#[derive(Clone, Debug, PartialEq)]
pub enum CommitOutcome {
    /// The registration is on disk, as given here.
    Committed(Box<Registration>),
    /// The hub is not linked, not active or full; nothing was written.
    NoRoom,
    /// Another request wrote this registration after it was read; the stored one is given here. Nothing was written.
    Overtaken(Option<Box<Registration>>),
    /// The manufacturing record changed in a way that matters for admission: it was quarantined, for example. Nothing
    /// was written.
    RecordChanged,
    /// The key belongs to this other device. Nothing was written.
    KeyOfAnother(RegistrationId),
    /// What admitted the device has changed; the [`ScopeRecords::revision`](crate::ScopeRecords::revision) of the id scope is now this. Nothing was
    /// written.
    AdmissionChanged(u64),
    /// A revision that took part in the decision was removed meanwhile. Nothing was written.
    RevisionGone,
    /// This other device has the id in the hub. Nothing was written.
    IdentityTaken(RegistrationId),
    /// The answer to the challenge already started another registration. Nothing was written.
    ChallengeSpent,
    /// The challenge is over and not kept any more. Nothing was written.
    ChallengeGone,
}

/// Which registrations to list.
#[derive(Clone, Debug, Default)]
pub struct RegistrationFilter {
    /// Only registrations on this hub.
    pub hub: Option<HubName>,
    /// Only registrations admitted by this group.
    pub group: Option<GroupId>,
    /// Only registrations that have a hub (`true`), or only those that were refused (`false`).
    pub assigned: Option<bool>,
}
