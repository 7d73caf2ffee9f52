//! Why each device was answered as it was, and the bytes that these entries name.

use async_trait::async_trait;
use landfall_domain::decision::{Content, Entry};
use landfall_domain::names::{Digest, IdScope, TrackingId};

use crate::{DecisionFilter, DecisionPage, Lane, Listing, StoreError};

/// Why each device was answered as it was, and the bytes that these entries name.
#[async_trait]
pub trait LedgerStore: Send + Sync + 'static {
    /// Adds an entry that led to no registration (a refusal, a postponement). The oldest of these make room for new
    /// ones, so that nobody can fill the disk by being refused.
    ///
    /// Of `contents`, those that it names are written with it where they are not there yet.
    async fn record_entry(&self, entry: Entry, contents: Vec<Content>) -> Result<(), StoreError>;

    /// Decisions and refusals of an id scope, by the times that they say, the newest first. A page may hold fewer than asked for,
    /// even none, when the filter passes few: [`Listing::next`] says whether there is more, as the text of a
    /// [`DecisionPlace`](crate::DecisionPlace). Pages follow each other without gaps, whatever comes or goes meanwhile.
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

    /// Bytes by their digest.
    async fn content(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError>;
}
