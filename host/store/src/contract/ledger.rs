//! Why each device was answered as it was, and the bytes that these entries name.

use async_trait::async_trait;
use landfall_domain::decision::{Content, Entry};
use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::names::{Digest, IdScope, RegistrationId, TrackingId};

use crate::{Lane, Listing, Page, StoreError};

/// Why each device was answered as it was, and the bytes that these entries name.
#[async_trait]
pub trait LedgerStore: Send + Sync + 'static {
    /// Adds an entry that led to no registration (a refusal, a postponement). The oldest of these make room for new
    /// ones, so that nobody can fill the disk by being refused.
    ///
    /// Of `contents`, those that it names are written with it where they are not there yet.
    async fn record_entry(&self, entry: Entry, contents: Vec<Content>) -> Result<(), StoreError>;

    /// Entries of an id scope that led to no registration, or to one that is gone: the newest first.
    async fn entries(&self, scope: &IdScope, page: Page, filter: EntryFilter) -> Result<Listing<Entry>, StoreError>;

    /// One ledger entry.
    async fn ledger_entry(&self, id: TrackingId) -> Result<Option<Entry>, StoreError>;

    /// Keeps bytes that are there for good: the components of shipped policies. Answers at once for bytes that are there. What
    /// entries name comes with them.
    async fn keep_content(&self, lane: Lane, content: Vec<u8>) -> Result<Digest, StoreError>;

    /// Bytes by their digest.
    async fn content(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError>;
}

/// Which entries of the ledger to list, of those that led to no registration.
#[derive(Clone, Debug, Default)]
pub struct EntryFilter {
    /// Only those of this device, whoever said that it was it.
    pub device: Option<RegistrationId>,
    /// Only those for which this enrollment counted.
    pub enrollment: Option<EnrollmentRef>,
}
