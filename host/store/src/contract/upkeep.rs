//! The store itself: its room, its state, its copies and its end.

use std::path::Path;

use async_trait::async_trait;
use landfall_domain::clock::Timestamp;

use crate::{Findings, StoreError, Unused};

/// The store itself: its room, its state, its copies and its end.
#[async_trait]
pub trait Upkeep: Send + Sync + 'static {
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

    /// Finishes what is queued, refuses what comes after, and closes the files.
    async fn close(&self) -> Result<(), StoreError>;
}
