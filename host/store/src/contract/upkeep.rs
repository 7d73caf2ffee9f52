//! Maintenance of the store itself: free space, checks, copies and closing.

use std::path::Path;

use async_trait::async_trait;
use landfall_domain::clock::Timestamp;

use crate::{Findings, StoreError, Unused};

/// Maintenance of the store itself: free space, checks, copies and closing.
#[async_trait]
pub trait Upkeep: Send + Sync + 'static {
    /// Checks whether there is enough free disk space for the writes of devices.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSpace`].
    fn has_room(&self) -> Result<(), StoreError>;

    /// The number of transactions that have changed the store. It never decreases, unless a backup is restored.
    fn sequence(&self) -> u64;

    /// Finds contradictions, and rows that nothing refers to. It reads the whole store.
    async fn check(&self) -> Result<(Findings, Unused), StoreError>;

    /// Copies the whole store, as of the last transaction, into a new file; returns the number of rows.
    async fn copy_to(&self, to: &Path, now: Timestamp) -> Result<u64, StoreError>;

    /// Finishes the queued writes, refuses later ones, and closes the files.
    async fn close(&self) -> Result<(), StoreError>;
}
