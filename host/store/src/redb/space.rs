//! Checks for free disk space before it is used up.
//!
//! A commit that fails for lack of space leaves it unknown whether it is on disk, and the process has to end.
//! Restarted on the same disk, it would end again. So writes stop while there still is space. Bulk work stops first,
//! at the reserve; writes of devices stop at a quarter of it, so that an import that fills a disk leaves room for
//! devices; and writes of operators stop at a sixteenth. Stored data can still be read, and writes resume when there
//! is space again.
//!
//! The file system is queried for each batch of an import, and for devices ten times a second at most. If another
//! process fills a quarter of the reserve between two queries, Landfall still ends.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use landfall_domain::clock::Clock;

use crate::StoreError;
use crate::writer::Lane;

/// The free space of the disk that holds the database.
pub(super) struct Space {
    folder: PathBuf,
    reserve: u64,
    seen: Mutex<Option<(Instant, u64)>>,
    clock: Arc<dyn Clock>,
}

impl Space {
    /// Keeps `reserve` bytes free in the folder of a database; 0 for no limit.
    pub(super) fn around(database: &Path, reserve: u64, clock: Arc<dyn Clock>) -> Self {
        let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty());
        Self { folder: folder.unwrap_or(Path::new(".")).to_owned(), reserve, seen: Mutex::default(), clock }
    }

    /// Whether there is enough space for a write of this lane.
    pub(super) fn check(&self, lane: Lane) -> Result<(), StoreError> {
        let (needed, fresh) = match lane {
            Lane::Bulk => (self.reserve, Duration::ZERO),
            Lane::Device => (self.reserve / 4, FRESH),
            // An operator must still be able to remove data or to block a device when all other writes have stopped.
            Lane::Operator => (self.reserve / 16, FRESH),
        };
        let free = if needed == 0 { u64::MAX } else { self.free(fresh) };
        if free >= needed {
            return Ok(());
        }
        Err(StoreError::NoSpace {
            folder: self.folder.display().to_string(),
            free_mib: free >> 20,
            needed_mib: needed.div_ceil(1 << 20),
        })
    }

    /// A file without a name beside the database; it is removed when the process that has it open ends.
    pub(super) fn unnamed_file(&self) -> Result<File, StoreError> {
        let failed = |e: std::io::Error| StoreError::Write(format!("{}: {e}", self.folder.display()));
        tempfile::tempfile_in(&self.folder).map_err(failed)
    }

    /// The bytes that this user may still write. If the file system does not tell, there is no limit.
    fn free(&self, fresh: Duration) -> u64 {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.instant();
        match *seen {
            Some((at, free)) if now.saturating_duration_since(at) < fresh => free,
            _ => {
                let told = rustix::fs::statvfs(&self.folder);
                let free = told.map_or(u64::MAX, |told| told.f_bavail.saturating_mul(told.f_frsize));
                *seen = Some((now, free));
                free
            }
        }
    }
}

/// How long a query result is used for devices.
const FRESH: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use landfall_domain::clock::SystemClock;

    use super::*;

    #[test]
    fn bulk_work_stops_before_devices_do() {
        let folder = tempfile::tempdir().unwrap();
        let told = rustix::fs::statvfs(folder.path()).unwrap();
        let free = told.f_bavail * told.f_frsize;
        // A reserve of twice the free space: too little for bulk work, enough for devices.
        let space = Space::around(&folder.path().join("landfall.redb"), free * 2, Arc::new(SystemClock));
        assert!(matches!(space.check(Lane::Bulk), Err(StoreError::NoSpace { .. })));
        assert_eq!(space.check(Lane::Device), Ok(()));
        let space = Space::around(&folder.path().join("landfall.redb"), free * 8, Arc::new(SystemClock));
        assert!(matches!(space.check(Lane::Device), Err(StoreError::NoSpace { .. })));
        let space = Space::around(Path::new("landfall.redb"), 0, Arc::new(SystemClock));
        assert_eq!(space.check(Lane::Bulk), Ok(()));
    }
}
