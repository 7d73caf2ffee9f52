//! Keeps the cache within its size limit.
//!
//! Every pair of component and settings is an entry, and the number of settings is unlimited. When the entries exceed
//! the limit, those that were not used for longest are deleted until a tenth of the limit is free: deleting needs a
//! walk over all entries, so it must not happen at every write. A deleted entry is compiled again when it is needed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use landfall_domain::clock::Clock;

/// How much disk space the cache uses.
pub(super) struct Room {
    limit_bytes: u64,
    used_bytes: AtomicU64,
    clock: Arc<dyn Clock>,
}

struct Entry {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl Room {
    /// Measures the present entries.
    pub(super) fn measure(directory: &Path, limit_bytes: u64, clock: Arc<dyn Clock>) -> Self {
        let used = entries(directory).iter().map(|entry| entry.bytes).sum();
        Self { limit_bytes, used_bytes: AtomicU64::new(used), clock }
    }

    /// Records that an entry was used. If the file system refuses, only the order of deletion gets worse.
    pub(super) fn used(&self, file: &File) {
        let now = Duration::from_millis(self.clock.now().as_millis());
        let _ = file.set_modified(SystemTime::UNIX_EPOCH + now);
    }

    /// Makes room after `bytes` were written.
    pub(super) fn written(&self, directory: &Path, bytes: usize) -> io::Result<()> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if self.used_bytes.fetch_add(bytes, Ordering::SeqCst).saturating_add(bytes) <= self.limit_bytes {
            return Ok(());
        }
        let mut entries = entries(directory);
        entries.sort_by_key(|entry| entry.used);
        let mut used: u64 = entries.iter().map(|entry| entry.bytes).sum();
        // The newest entry is never deleted, however large it is: it was written to be used.
        for entry in entries.iter().take(entries.len().saturating_sub(1)) {
            if used <= self.limit_bytes - self.limit_bytes / 10 {
                break;
            }
            fs::remove_file(&entry.path)?;
            used = used.saturating_sub(entry.bytes);
        }
        self.used_bytes.store(used, Ordering::SeqCst);
        Ok(())
    }
}

/// All entries of all engines. Files that cannot be read are not counted; they do not belong to the cache.
fn entries(directory: &Path) -> Vec<Entry> {
    let engines = fs::read_dir(directory).into_iter().flatten().flatten();
    let files = engines.flat_map(|engine| fs::read_dir(engine.path()).into_iter().flatten().flatten());
    let entry = |file: fs::DirEntry| {
        let path = file.path();
        let metadata = file.metadata().ok().filter(|_| path.extension().is_some_and(|end| end == "cwasm"))?;
        Some(Entry { bytes: metadata.len(), used: metadata.modified().ok()?, path })
    };
    files.filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use landfall_domain::clock::SystemClock;

    use super::*;

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let home = tempfile::tempdir().unwrap();
        let engine = home.path().join("engine");
        fs::create_dir(&engine).unwrap();
        let write = |name: &str, age: u64| {
            let path = engine.join(format!("{name}.cwasm"));
            fs::write(&path, [0; 100]).unwrap();
            let used = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 - age);
            File::open(path).unwrap().set_modified(used).unwrap();
        };
        let there = |name: &str| engine.join(format!("{name}.cwasm")).exists();
        write("oldest", 9);
        write("used", 8);
        write("old", 7);
        let room = Room::measure(home.path(), 400, Arc::new(SystemClock));
        room.used(&File::open(engine.join("used.cwasm")).unwrap());
        write("new", 6);
        room.written(home.path(), 100).unwrap();
        assert!(there("oldest"), "the limit is not passed yet");

        write("newest", 0);
        room.written(home.path(), 100).unwrap();
        let left: Vec<_> = ["oldest", "old", "used", "new", "newest"].into_iter().filter(|name| there(name)).collect();
        assert_eq!(left, ["used", "new", "newest"]);
        assert_eq!(room.used_bytes.load(Ordering::SeqCst), 300);
    }
}
