//! `landfall backup`: copies everything that a server needs to run elsewhere.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use clap::Args;
use landfall_domain::clock::Ambient;
use landfall_store::redb::RedbStore;
use serde_json::{Value, json};

use super::{CliError, Common};
use crate::folder::DataFolder;
use crate::sealing_key;

/// What `backup` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall backup --to /backups/landfall-monday
  landfall serve --data /backups/landfall-monday         to restore: serve it, or a copy of it

It can be run while the server runs; the database is then as it was at one moment. The backup holds the keys of the
installation: keep it as you keep them.")]
pub(super) struct BackupArgs {
    /// A new folder, or an empty one.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
}

pub(super) async fn run(common: &Common, args: BackupArgs) -> Result<(), CliError> {
    let (folder, to) = (common.folder(), args.to);
    common.config()?;
    let there =
        std::path::absolute(&to).ok().and_then(|to| to.ancestors().find_map(|part| fs::canonicalize(part).ok()));
    if there.zip(fs::canonicalize(folder.root()).ok()).is_some_and(|(to, root)| to.starts_with(root)) {
        return Err(CliError::Failed(format!("{} is in the data folder; name one elsewhere", to.display())));
    }
    let new = !to.exists();
    empty(&to)?;
    let target = DataFolder::at(&to);
    let (rows, files) = match fill(common, &folder, &target, new).await {
        Ok(filled) => filled,
        Err(error) => {
            let left = clear(&to, new);
            return Err(if left.is_empty() { error } else { CliError::Failed(format!("{error}\n{left}")) });
        }
    };
    let key = match std::env::var_os(sealing_key::VARIABLE) {
        Some(_) => format!(" The sealing key is not in it: it comes from {}.", sealing_key::VARIABLE),
        None => String::new(),
    };
    let text = format!(
        "{} holds the database ({rows} rows) and {} files beside it. Restore it by serving it: landfall serve --data \
         {0}.{key}",
        to.display(),
        files
    );
    common.output().done(text, &json!({ "to": to.display().to_string(), "rows": rows, "files": files }))
}

/// Copies everything into an empty folder. Answers the number of rows and of files.
async fn fill(common: &Common, folder: &DataFolder, target: &DataFolder, new: bool) -> Result<(u64, usize), CliError> {
    let to = target.root();
    let about = |path: PathBuf| fs::metadata(&path).map_err(|source| CliError::Read { path, source });
    let give = |path: &Path, other: &fs::Metadata| {
        DataFolder::give(path, other).map_err(|source| CliError::Write { path: path.to_owned(), source })
    };
    if new {
        give(to, &about(folder.root().to_owned())?)?;
    }
    let files = settled(folder)?;
    let rows = database(common, folder, target).await?;
    give(&target.database(), &about(folder.database())?)?;
    for file in &files {
        if let Some(within) = file.name.parent().filter(|within| !within.as_os_str().is_empty()) {
            let path = to.join(within);
            DataFolder::make(&path).map_err(|source| CliError::Write { path: path.clone(), source })?;
            for part in within.ancestors().filter(|part| !part.as_os_str().is_empty()) {
                give(&to.join(part), &about(folder.root().join(part))?)?;
            }
        }
        file.write(to)?;
        give(&to.join(&file.name), &about(folder.root().join(&file.name))?)?;
    }
    sync(to)?;
    Ok((rows, files.len()))
}

/// Removes what a failed backup has written into an empty folder, and the folder itself if it was new. Answers a text
/// about what could not be removed.
fn clear(to: &Path, new: bool) -> String {
    let mut left = Vec::new();
    for entry in fs::read_dir(to).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        if let Err(error) = removed {
            left.push(format!("{} is left behind and has to be deleted: {error}", path.display()));
        }
    }
    if new
        && left.is_empty()
        && let Err(error) = fs::remove_dir(to)
    {
        left.push(format!("{} is left behind: {error}", to.display()));
    }
    left.join("\n")
}

/// Copies the database in a consistent state. The running server makes the copy, or this process if no server runs.
async fn database(common: &Common, folder: &DataFolder, target: &DataFolder) -> Result<u64, CliError> {
    let failed = |error: landfall_store::StoreError| CliError::Failed(error.to_string());
    if !RedbStore::in_use(&folder.database()) {
        return RedbStore::copy_file(&folder.database(), &target.database(), Ambient::system().now()).map_err(failed);
    }
    let mut session = common.session()?;
    let answer = session.api.post("/store/copy", &json!({})).await?;
    let name = answer.get("file").and_then(Value::as_str).unwrap_or_default();
    let Some(made) = Path::new(name).file_name().map(|name| folder.root().join(name)) else {
        return Err(CliError::Failed("the server did not say where its copy is".to_owned()));
    };
    let moved = fs::rename(&made, target.database()).or_else(|_| {
        // The backup is on another disk.
        let mut from = fs::File::open(&made)?;
        let mut options = fs::OpenOptions::new();
        let mut into = options.write(true).create_new(true).mode(0o600).open(target.database())?;
        std::io::copy(&mut from, &mut into)?;
        into.sync_all()
    });
    let moved = moved.map_err(|source| CliError::Write { path: target.database(), source });
    // The copy is removed in either case: nothing else would remove it before the next backup.
    match (moved, DataFolder::discard(&made)) {
        (Ok(()), Ok(())) => {}
        (Err(error), Ok(())) => return Err(error),
        (Ok(()), Err(left)) => return Err(CliError::Failed(left)),
        (Err(error), Err(left)) => return Err(CliError::Failed(format!("{error}\n{left}"))),
    }
    Ok(answer.get("rows").and_then(Value::as_u64).unwrap_or_default())
}

/// A file of the data folder.
#[derive(PartialEq, Eq)]
struct Kept {
    name: PathBuf,
    mode: u32,
    bytes: Vec<u8>,
}

impl Kept {
    fn write(&self, to: &Path) -> Result<(), CliError> {
        use std::io::Write as _;
        let path = to.join(&self.name);
        let written = || {
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(self.mode & 0o777).open(&path)?;
            file.write_all(&self.bytes)?;
            file.sync_all()
        };
        written().map_err(|source| CliError::Write { path: path.clone(), source })
    }
}

/// All files except the database and those that are made again. They are read until two readings agree: if a
/// certificate is being renewed meanwhile, it must not be copied together with its old key.
fn settled(folder: &DataFolder) -> Result<Vec<Kept>, CliError> {
    let mut before = read(folder)?;
    for _ in 0..READINGS {
        let after = read(folder)?;
        if before == after {
            return Ok(after);
        }
        before = after;
    }
    Err(CliError::Failed(format!("the files in {} do not stay as they are; try again", folder.root().display())))
}

fn read(folder: &DataFolder) -> Result<Vec<Kept>, CliError> {
    let (mut kept, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(within) = folders.pop() {
        let path = folder.root().join(&within);
        let unreadable = |source| CliError::Read { path: path.clone(), source };
        for entry in fs::read_dir(&path).map_err(unreadable)? {
            let name = within.join(entry.map_err(unreadable)?.file_name());
            let path = folder.root().join(&name);
            let unreadable = |source| CliError::Read { path: path.clone(), source };
            if made_again(&name) {
                continue;
            }
            let about = fs::metadata(&path).map_err(unreadable)?;
            if about.is_dir() {
                folders.push(name);
            } else if about.is_file() {
                let bytes = fs::read(&path).map_err(unreadable)?;
                kept.push(Kept { name, mode: about.permissions().mode(), bytes });
            }
        }
    }
    kept.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(kept)
}

/// Whether a file is not copied here. The database is copied by itself; compiled policies and the seen state are made
/// again.
fn made_again(name: &Path) -> bool {
    let text = name.to_string_lossy();
    name == Path::new("cache")
        || name == Path::new("landfall.seen")
        || text.starts_with("landfall.redb")
        || text.ends_with(".unfinished")
}

/// Checks that the target is empty: a backup never overwrites anything.
fn empty(to: &Path) -> Result<(), CliError> {
    DataFolder::make(to).map_err(|source| CliError::Write { path: to.to_owned(), source })?;
    let mut there = fs::read_dir(to).map_err(|source| CliError::Read { path: to.to_owned(), source })?;
    match there.next() {
        None => Ok(()),
        Some(_) => Err(CliError::Failed(format!("{} is not empty; name a new folder", to.display()))),
    }
}

/// Flushes a folder to disk: new names in it are durable only after that.
fn sync(folder: &Path) -> Result<(), CliError> {
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| CliError::Write { path: folder.to_owned(), source })
}

/// How often the files are read until two readings agree.
const READINGS: usize = 5;
