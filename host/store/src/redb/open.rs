//! Opening the file: checks that it is a Landfall database, of a known format, and intact.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase, StorageBackend, TableHandle};

use super::engine::story;
use super::steps::{self, FORMAT, FORMAT_KEY};
use super::tables::{self, ALL, Kept, META, Tables};
use super::{StoreSettings, View, check};
use crate::StoreError;

/// Opens a file, or creates it if the settings allow it, readable by its owner only.
///
/// The creation of a database takes several steps, and a partial database cannot be opened. So it is created under a
/// temporary name, and gets its own name only when it is complete and on disk. A leftover of a failed creation is
/// removed.
pub(super) fn file(path: &Path, settings: &StoreSettings) -> Result<Database, StoreError> {
    let refused = |reason: String| StoreError::Open { path: path.display().to_string(), reason };
    if settings.create && !path.exists() {
        make(path, settings).map_err(refused)?;
    }
    begins_as_one(path).and_then(|()| open(path, settings)).map_err(refused)
}

/// Checks that a file exists that begins like a database; if not, returns what was found and what to do.
///
/// redb turns an empty file into a database, and the operating system creates a missing file as an empty one. A
/// database is never created in place, but renamed when it is complete. So an empty file is not one whose creation was
/// interrupted.
pub(super) fn begins_as_one(path: &Path) -> Result<(), String> {
    use std::io::Read as _;
    let look = || -> std::io::Result<(bool, Vec<u8>)> {
        let file = File::options().read(true).write(true).open(path)?;
        let mut begin = Vec::new();
        let empty = file.metadata()?.len() == 0;
        file.take(9).read_to_end(&mut begin)?;
        Ok((empty, begin))
    };
    match look() {
        Ok((true, _)) => Err(EMPTY.to_owned()),
        Ok((false, begin)) if begin != BEGIN => Err(FOREIGN.to_owned()),
        Ok((false, _)) => Ok(()),
        Err(error) => Err(unopened(&error)),
    }
}

/// Why a file could not be opened, and what to do.
pub(super) fn unopened(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => MISSING.to_owned(),
        ErrorKind::IsADirectory => "it is a folder; name the data folder that holds landfall.redb".to_owned(),
        ErrorKind::PermissionDenied => DENIED.to_owned(),
        ErrorKind::ReadOnlyFilesystem => "its file system is mounted read-only; mount it for writing".to_owned(),
        _ => error.to_string(),
    }
}

fn make(path: &Path, settings: &StoreSettings) -> Result<(), String> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = Path::new(&unfinished);
    let io = |e: std::io::Error| e.to_string();
    let file = owners_file(unfinished).map_err(io)?;
    // Another process may be creating it right now. The backend takes the lock only when a database is opened on it.
    lock(&file)?;
    file.set_len(0).map_err(io)?;
    let backend = FileBackend::new(file).map_err(|e| explain(&e))?;
    let database = whole(backend, settings)?;
    database.close().map_err(|e| explain(&e))?;
    // Unlike a rename, a link does not replace a database that another process created meanwhile.
    match std::fs::hard_link(unfinished, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => std::fs::rename(unfinished, path).map_err(io)?,
        _ => std::fs::remove_file(unfinished).map_err(io)?,
    }
    sync_folder(path).map_err(io)
}

fn open(path: &Path, settings: &StoreSettings) -> Result<Database, String> {
    let file = owners_file(path).map_err(|e| unopened(&e))?;
    let backend = FileBackend::new(file).map_err(|e| explain(&e))?;
    whole(backend, settings)
}

/// Opens an existing file without migrating it to the current format.
pub(super) fn as_it_is(path: &Path) -> Result<Database, String> {
    begins_as_one(path)?;
    let file = File::options().read(true).write(true).open(path).map_err(|e| unopened(&e))?;
    let backend = FileBackend::new(file).map_err(|e| explain(&e))?;
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let builder = Database::builder().set_cache_size(super::copy::CACHE_BYTES).create_with_backend(backend);
        let database = builder.map_err(|e| explain(&e))?;
        match format(&database)? {
            Some(_) => Ok(database),
            None => Err("it holds nothing".to_owned()),
        }
    }));
    opened.unwrap_or_else(|panic| Err(damaged(panic.as_ref())))
}

/// Whether another process has a file open.
pub(super) fn in_use(path: &Path) -> bool {
    let Ok(file) = File::options().read(true).write(true).open(path) else { return false };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Takes the lock that redb takes too when it opens a file, before anything is done with the file. The lock belongs to
/// this open file, so redb finds it taken by the same file.
fn lock(file: &File) -> Result<(), String> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(explain(&DatabaseError::DatabaseAlreadyOpen)),
        Err(TryLockError::Error(error)) => Err(error.to_string()),
    }
}

/// Opens a database on a storage backend.
pub(super) fn backend(backend: impl StorageBackend, settings: &StoreSettings) -> Result<Database, StoreError> {
    whole(backend, settings).map_err(|reason| StoreError::Open { path: "(not a file)".to_owned(), reason })
}

/// Opens a backend. redb can panic here if the disk did not write what it acknowledged.
fn whole(backend: impl StorageBackend, settings: &StoreSettings) -> Result<Database, String> {
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let database = Database::builder()
            .set_cache_size(settings.cache_bytes)
            .set_check_integrity_on_open(settings.verify_on_open)
            .create_with_backend(backend)
            .map_err(|e| explain(&e))?;
        prepare(&database, settings)?;
        if !settings.take_contradictions {
            whole_in_itself(&database)?;
        }
        Ok(database)
    }));
    opened.unwrap_or_else(|panic| Err(damaged(panic.as_ref())))
}

fn damaged(panic: &(dyn std::any::Any + Send)) -> String {
    format!("the file is damaged ({}); restore it from a backup (docs/operating/backup.md)", story(panic))
}

/// Checks the format, and adds what the file lacks, in one transaction: everything in a new file, and in a file of an
/// earlier version what was added since. A file of an earlier format that contradicts itself is left unchanged, so
/// that the version that wrote it can still open it.
fn prepare(database: &Database, settings: &StoreSettings) -> Result<(), String> {
    let format = match format(database)? {
        Some(newer) if newer > FORMAT => {
            return Err(format!(
                "the file has format {newer}, and this version of landfall ({}) knows formats up to {FORMAT}; start the \
                 newer version that wrote it, or restore a backup from before the upgrade",
                env!("CARGO_PKG_VERSION")
            ));
        }
        Some(older) if older < FORMAT && !settings.bring_up => {
            return Err(format!(
                "the file has format {older}, and this version of landfall ({}) works on format {FORMAT}; it is brought up \
                 when it is served, and landfall backup keeps it as it is before that",
                env!("CARGO_PKG_VERSION")
            ));
        }
        Some(0) => return Err("the file has the unknown format 0".to_owned()),
        Some(known) => known,
        None => FORMAT,
    };
    let there = table_names(database)?;
    let missing: Vec<_> = ALL.iter().map(TableHandle::name).filter(|name| !there.iter().any(|t| t == name)).collect();
    if format == FORMAT && missing.is_empty() {
        return Ok(());
    }
    let mut transaction = database.begin_write().map_err(|e| e.to_string())?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    let kept = Kept { built_in: settings.built_in, ..Kept::default() };
    Tables::open(&transaction, kept)
        .and_then(|mut tables| steps::bring_up(&mut tables, format, &missing))
        .and_then(|()| tables::remove_retired(&transaction))
        .map_err(|e| e.to_string())?;
    if format < FORMAT
        && !settings.take_contradictions
        && let Some(story) = check::contradiction(&transaction).map_err(|e| e.to_string())?
    {
        transaction.abort().map_err(|e| e.to_string())?;
        return Err(format!(
            "it is of an earlier format and contradicts itself: {story}; it may be a copy that was made while a server \
             wrote. It was left as it is, so that the version that wrote it can still open it. Restore one that landfall \
             backup made"
        ));
    }
    transaction.commit().map_err(|e| e.to_string())
}

/// Refuses a file that contradicts itself: devices would lose their places or the bindings of their keys.
fn whole_in_itself(database: &Database) -> Result<(), String> {
    let view = View(database.begin_read().map_err(|e| e.to_string())?);
    match check::contradiction(&view).map_err(|e| e.to_string())? {
        None => Ok(()),
        Some(story) => Err(format!(
            "it contradicts itself: {story}; it may be a copy that was made while a server wrote. Restore one that \
             landfall backup made; or see what is wrong (landfall store check) and have the counts made again from what \
             is there (landfall store check --repair)"
        )),
    }
}

fn table_names(database: &Database) -> Result<Vec<String>, String> {
    let view = database.begin_read().map_err(|e| e.to_string())?;
    let names = view.list_tables().map_err(|e| e.to_string())?;
    Ok(names.map(|table| table.name().to_owned()).collect())
}

/// The format of the file; `None` if it is new.
fn format(database: &Database) -> Result<Option<u32>, String> {
    let names = table_names(database)?;
    if names.is_empty() {
        return Ok(None);
    }
    let foreign = "the file is a redb database of another program; name another data folder";
    if !names.iter().any(|name| name == META.name()) {
        return Err(foreign.to_owned());
    }
    let view = database.begin_read().map_err(|e| e.to_string())?;
    let meta = view.open_table(META).map_err(|e| e.to_string())?;
    let format = tables::get(&meta, "file property", FORMAT_KEY).map_err(|e| e.to_string())?;
    format.map(Some).ok_or_else(|| foreign.to_owned())
}

fn explain(error: &DatabaseError) -> String {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            "another landfall process uses it; stop that one first, or name another data folder".to_owned()
        }
        DatabaseError::UpgradeRequired(version) => {
            format!("its redb file format {version} is older than any that landfall wrote; name another data folder")
        }
        other => format!("{other}; if this stays so, restore the file from a backup"),
    }
}

pub(super) fn owners_file(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The message for a database that does not exist.
const MISSING: &str = "it is not there; restore it from a backup (docs/operating/backup.md), or make a new installation in \
                       an empty data folder: landfall init";
/// The message for an empty file.
const EMPTY: &str = "it is empty, and what was in it is lost: the disk was full or failed, or a copy was cut short. Restore it \
                     from a backup (docs/operating/backup.md); if this server has never served a device, make a new \
                     installation in an empty data folder: landfall init";
/// The message for a file that is not a database.
const FOREIGN: &str = "it is no database: its first bytes are another kind of file's, or were written over. Restore it from a \
                       backup (docs/operating/backup.md), or name the right data folder (--data)";
/// The message for a file that this user may not use.
const DENIED: &str = "permission denied: run this as the user that the data folder belongs to, or give that user the file back \
                      (chown), as after a restore by root";
/// The first bytes of a redb file.
const BEGIN: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";

/// Syncs the folder of a new file: the name of the file is on disk only after that.
#[cfg(unix)]
pub(super) fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
pub(super) fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}
