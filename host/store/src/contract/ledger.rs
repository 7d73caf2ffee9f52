//! The ledger: why each device was answered as it was, and the contents that its entries name.

use async_trait::async_trait;
use landfall_domain::decision::{Content, Entry};
use landfall_domain::names::{Digest, IdScope, TrackingId};

use crate::{DecisionFilter, DecisionPage, Lane, Listing, StoreError};

/// The ledger: why each device was answered as it was, and the contents that its entries name.
#[async_trait]
pub trait LedgerStore: Send + Sync + 'static {
    /// Adds an entry that led to no registration (a refusal, a postponement). The oldest of these entries are removed
    /// to make room for new ones, so that refused requests cannot fill the disk.
    ///
    /// Those of `contents` that the entry names are written with it, unless they are stored already.
    async fn record_entry(&self, entry: Entry, contents: Vec<Content>) -> Result<(), StoreError>;

    /// Lists the decisions and refusals of an id scope by their times, the newest first. A page may hold fewer entries
    /// than requested, even none, when few pass the filter. [`Listing::next`] says whether there are more, as the text
    /// of a [`DecisionPlace`](crate::DecisionPlace). Consecutive pages leave no gap, even if entries are added or
    /// removed meanwhile.
    async fn decisions(
        &self,
        scope: &IdScope,
        page: DecisionPage,
        filter: DecisionFilter,
    ) -> Result<Listing<Entry>, StoreError>;

    /// One ledger entry.
    async fn ledger_entry(&self, id: TrackingId) -> Result<Option<Entry>, StoreError>;

    /// Stores a content for good: the component of a shipped policy. Returns at once if the content exists. The
    /// contents that entries name are written with the entries instead.
    async fn keep_content(&self, lane: Lane, content: Vec<u8>) -> Result<Digest, StoreError>;

    /// A content by its digest.
    async fn content(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError>;
}
