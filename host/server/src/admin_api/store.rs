//! Checks and backups of the store.

use std::path::Path;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use landfall_domain::text::hex;
use landfall_store::{Finding, Unused};
use serde::Serialize;
use tokio::sync::{Semaphore, oneshot};

use super::body::{self, Answer};
use super::problem::Problem;
use crate::folder::DataFolder;
use crate::service::Service;

pub(super) async fn check(State(service): State<Arc<Service>>, Extension(works): Extension<Arc<Works>>) -> Answer {
    let _alone = works.begin()?;
    let (findings, unused) = service.store().check().await?;
    body::ok(&CheckView { findings: findings.first, findings_not_listed: findings.not_listed, unused })
}

/// Makes a copy. The file stays beside the database until it is downloaded, until the next copy is made, or until the
/// server restarts. It contains nothing that the caller could not read anyway, and the caller cannot choose its path.
///
/// If the caller disconnects, the copy is finished all the same, because a thread cannot be stopped, and then removed.
pub(super) async fn copy(State(service): State<Arc<Service>>, Extension(works): Extension<Arc<Works>>) -> Answer {
    let (sender, made) = oneshot::channel();
    let copying = tokio::spawn(async move {
        let path = service.folder().copy(&named(&service));
        let answer = copied(&service, &works, &path).await;
        if let Err(Ok(_)) = sender.send(answer)
            && let Err(left) = DataFolder::discard(&path)
        {
            tracing::warn!(left, "a copy of the database that nobody waited for cannot be removed");
        }
    });
    match made.await {
        Ok(answer) => answer,
        Err(_) => {
            let why = copying.await.err().map(|error| error.to_string());
            tracing::error!(why, "the copying of the database ended early");
            Err(Problem::new(500, "the copying of the database ended early; the log says why"))
        }
    }
}

fn named(service: &Service) -> String {
    hex(&service.ambient().random::<6>())
}

async fn copied(service: &Service, works: &Works, path: &Path) -> Answer {
    let _alone = works.begin()?;
    // Leftovers of interrupted backups. No other copy is being made now.
    service.folder().forget_copies();
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let now = service.ambient().now();
    match service.store().copy_to(path, now).await {
        Ok(rows) => body::ok(&CopyView { file, rows, at: now.to_string() }),
        Err(error) => Err(match DataFolder::discard(path) {
            Ok(()) => error.into(),
            Err(left) => Problem::from(error).noting(&left),
        }),
    }
}

/// What was found in the store.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckView {
    /// What contradicts something else, the first thousand. Nothing should.
    findings: Vec<Finding>,
    /// How many more there are.
    findings_not_listed: u64,
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

/// Allows one check or copy at a time.
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
