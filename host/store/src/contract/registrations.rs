//! What became of devices, and the one transaction that says so.

use async_trait::async_trait;
use landfall_domain::decision::{Content, Entry};
use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::names::{Digest, GroupId, HubName, IdScope, RegistrationId, TrackingId};
use landfall_domain::registration::{Registration, Version};
use landfall_domain::registry::ManufacturingRecord;

use crate::{DeleteOutcome, Listing, Page, Precondition, StoreError};

/// What became of devices, and the one transaction that says so.
#[async_trait]
pub trait RegistrationStore: Send + Sync + 'static {
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
}

/// A registration to write, and on what conditions.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RegistrationCommit {
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
    /// The challenge whose answer began it. It must be kept and not be spent; it is from then on, so that no other registration
    /// begins with it.
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
#[expect(missing_docs, reason = "the names say it")]
pub struct Admissions {
    pub certificates: u64,
    pub tokens: u64,
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
    /// Another registration was begun with the answer to the challenge. Nothing was written.
    ChallengeSpent,
    /// The challenge is over and not kept any more. Nothing was written.
    ChallengeGone,
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
