//! The store itself: whether it is whole, and a copy of it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use serde::Serialize;
use tokio::sync::Semaphore;

use super::body::{self, Answer};
use super::problem::Problem;
use crate::service::Service;
use crate::store::{Finding, Unused};

pub(super) async fn check(State(service): State<Arc<Service>>, Extension(works): Extension<Arc<Works>>) -> Answer {
    let _alone = works.begin()?;
    let (findings, unused) = service.store.check().await?;
    body::ok(&CheckView { findings, unused })
}

/// The copy stays beside the database until somebody takes it, or until the server is started again. It is no secret that
/// the caller could not have anyway, and it goes to no place that a caller could name.
pub(super) async fn copy(State(service): State<Arc<Service>>, Extension(works): Extension<Arc<Works>>) -> Answer {
    let _alone = works.begin()?;
    let id: String = service.ambient.random::<6>().iter().map(|byte| format!("{byte:02x}")).collect();
    let path = service.folder.copy(&id);
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let now = service.ambient.now();
    match service.store.copy_to(&path, now).await {
        Ok(rows) => body::ok(&CopyView { file, rows, at: now.to_string() }),
        Err(error) => {
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::debug!(%error, "there was no half-made copy to remove");
            }
            Err(error.into())
        }
    }
}

/// What was found in the store.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct CheckView {
    /// What contradicts something else. Nothing should.
    findings: Vec<Finding>,
    /// What nothing names: it takes room and does no harm.
    unused: Unused,
}

/// A copy of the database.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct CopyView {
    /// Its name in the server's data folder.
    file: String,
    /// How many rows it has.
    rows: u64,
    /// As of when it is.
    at: String,
}

/// Lets one such work go on at a time.
pub(super) struct Works(Semaphore);

impl Works {
    pub(super) fn new() -> Self {
        Self(Semaphore::new(1))
    }

    fn begin(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Problem> {
        let busy = |_| Problem::new(429, "the store is being checked or copied; try again when that has ended");
        self.0.try_acquire().map_err(busy)
    }
}
