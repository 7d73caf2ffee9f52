//! A file that is stored on disk until all of it has been checked. It gives the batches of one transaction.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use landfall_domain::names::RegistrationId;
use landfall_store::{Batches, ImportBatch, StoreError};
use tokio::sync::mpsc;

use super::parser::Batch;
use super::pieces::Source;
use super::{BATCHES_WAITING, Import, ImportError, parser};
use crate::config::ManagementLimits;

/// The stored file, and how it is parsed.
pub(super) struct Staged {
    file: Arc<File>,
    import: Import,
    limits: ManagementLimits,
}

impl Staged {
    pub(super) fn new(file: File, import: &Import, limits: &ManagementLimits) -> Self {
        Self { file: Arc::new(file), import: import.clone(), limits: limits.clone() }
    }

    /// The lines and devices of each batch. It blocks, so it must run on a thread that may.
    pub(super) fn lines(&self) -> Result<Vec<Vec<(u64, RegistrationId)>>, ImportError> {
        let of = |batch: Batch| batch.rows.into_iter().map(|row| (row.line, row.record.registration_id)).collect();
        self.parse().map(|batch| batch.map(of)).collect()
    }

    /// The batches of the file, from the beginning.
    fn parse(&self) -> impl Iterator<Item = Result<Batch, ImportError>> + use<> {
        let (sender, mut batches) = mpsc::channel(BATCHES_WAITING);
        let parser = parser(&self.import, &self.limits);
        let source = Source::File(FromTheBeginning { file: Arc::clone(&self.file), at: 0 });
        let mut thread = Some(std::thread::spawn(move || parser.run(source, &sender)));
        std::iter::from_fn(move || match batches.blocking_recv() {
            // Every row was accepted when the file was checked. If one is not now, the disk is faulty.
            Some(Batch { stopped: Some(reason), .. }) => Some(Err(ImportError::Staging(io::Error::other(reason)))),
            Some(Batch { problems, .. }) if !problems.is_empty() => {
                Some(Err(ImportError::Staging(io::Error::other("it reads otherwise than before"))))
            }
            Some(batch) => Some(Ok(batch)),
            None => match thread.take()?.join() {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(Err(error)),
                Err(_) => Some(Err(ImportError::Interrupted)),
            },
        })
    }
}

impl Batches for Staged {
    fn begin(&self) -> Result<Box<dyn Iterator<Item = Result<ImportBatch, StoreError>>>, StoreError> {
        let import = self.import.clone();
        let batches = self.parse().map(move |batch| {
            let batch = batch.map_err(|error| StoreError::Write(error.to_string()))?;
            Ok(ImportBatch {
                scope: import.scope.clone(),
                manufacturer: import.manufacturer.clone(),
                quota: import.quota,
                rows: batch.rows.into_iter().map(|row| row.record).collect(),
                all_or_nothing: true,
                dry_run: false,
                drop_evidence: import.drop_evidence,
            })
        });
        Ok(Box::new(batches))
    }
}

/// Reads a shared file from its beginning, with a position of its own.
pub(super) struct FromTheBeginning {
    file: Arc<File>,
    at: u64,
}

impl Read for FromTheBeginning {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(out, self.at)?;
        self.at = self.at.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}
