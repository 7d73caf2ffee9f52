//! Maintenance of the store itself.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use landfall_domain::clock::Timestamp;

use super::{RedbStore, check, copy, sweep};
use crate::writer::Lane;
use crate::{Findings, StoreError, Unused};

#[async_trait]
impl crate::Upkeep for RedbStore {
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

    async fn close(&self) -> Result<(), StoreError> {
        self.end_writer().await;
        // The file closes when the last running read ends.
        match self.database.swap(None).map(Arc::try_unwrap) {
            Some(Ok(database)) => database.close().map_err(|e| StoreError::Write(format!("closing failed: {e}"))),
            Some(Err(_)) | None => Ok(()),
        }
    }
}
