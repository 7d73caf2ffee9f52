//! Compiled components on disk.
//!
//! Compiling takes a tenth of a second for a Rust policy and twenty seconds for an interpreter; reading the result
//! back takes a millisecond. What is read back is *machine code that this process will run*, so the cache is a trust
//! boundary:
//!
//! - the name of an entry is everything that it was made from: the engine's fingerprint, the component's SHA-256, and
//!   the settings' SHA-256 where they are baked. So an entry cannot be out of date;
//! - an entry carries an HMAC-SHA-256 over its name and its code, under a key that only this host's user can read. An
//!   entry that was edited, cut off, or moved under another name is a miss;
//! - an entry is written under a temporary name, flushed, and renamed, so that it is either complete or absent;
//! - a failure to read is a miss and never an error, because the component can be compiled again;
//! - all entries together stay within a limit; those that were not used for longest are deleted.
//!
//! The key is beside the cache directory and not in it, so that deleting or restoring the cache does not affect the
//! key.

mod key;
mod native;
mod room;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::hmac;
use landfall_domain::clock::Clock;
use landfall_domain::names::Digest;
use wasmtime::component::Component;

pub use self::key::KeyError;
use super::engine::PolicyEngine;
use room::Room;

/// The compiled components of one host.
pub(super) struct Cache {
    directory: PathBuf,
    secret: hmac::Key,
    room: Room,
}

/// What compiled code is made from. Nothing else influences its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    engine: Digest,
    component: Digest,
    settings: Option<Digest>,
}

/// The cache cannot be used at all.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CacheError {
    /// The directory cannot be created.
    #[error("cannot make the directory {path} for compiled policies: {source}")]
    Directory { path: String, source: io::Error },
    /// The key cannot be read or created.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Code that carries this host's tag or comes from its compiler. Only such code is turned into a component by
/// [`native`].
struct Authentic<'a>(&'a [u8]);

impl Key {
    pub(super) fn component(engine: &PolicyEngine, component: Digest) -> Self {
        Self { engine: engine.fingerprint(), component, settings: None }
    }

    pub(super) fn baked(engine: &PolicyEngine, component: Digest, settings: Digest) -> Self {
        Self { engine: engine.fingerprint(), component, settings: Some(settings) }
    }

    fn file_name(&self) -> String {
        match self.settings {
            Some(settings) => format!("{}-{settings}.cwasm", self.component),
            None => format!("{}.cwasm", self.component),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.engine, self.file_name())
    }
}

impl Cache {
    /// Opens the cache in `directory`, which is created if it is missing. The cache keeps at most `limit_bytes`.
    pub(super) fn open(directory: &Path, limit_bytes: u64, clock: Arc<dyn Clock>) -> Result<Self, CacheError> {
        private_directory(directory)
            .map_err(|source| CacheError::Directory { path: directory.display().to_string(), source })?;
        Ok(Self {
            directory: directory.to_owned(),
            secret: key::open(directory)?,
            room: Room::measure(directory, limit_bytes, clock),
        })
    }

    /// The compiled component, if there is an entry that this host wrote.
    pub(super) fn get(&self, engine: &PolicyEngine, key: &Key) -> Option<Component> {
        let path = self.path(key);
        let (file, entry) = match read(&path) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a compiled policy cannot be read; compiling again");
                return None;
            }
        };
        let Some(code) = self.authentic(key, &entry) else {
            tracing::warn!(path = %path.display(), "a compiled policy is not what this host wrote; compiling again");
            return None;
        };
        match native::load(engine, code) {
            Ok(component) => {
                self.room.used(&file);
                Some(component)
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(path = %path.display(), error, "a compiled policy does not load; compiling again");
                None
            }
        }
    }

    /// Makes a component from code that the compiler has just returned, and that nobody else could change.
    pub(super) fn fresh(engine: &PolicyEngine, code: &[u8]) -> wasmtime::Result<Component> {
        native::load(engine, Authentic(code))
    }

    /// Writes compiled code to the cache.
    pub(super) fn put(&self, key: &Key, code: &[u8]) -> io::Result<()> {
        let path = self.path(key);
        let directory = path.parent().unwrap_or(&self.directory);
        private_directory(directory)?;
        write_whole(&path, &[MAGIC, self.tag(key, code).as_ref(), code], 0o400)?;
        File::open(directory)?.sync_all()?;
        self.room.written(&self.directory, code.len())
    }

    fn authentic<'a>(&self, key: &Key, entry: &'a [u8]) -> Option<Authentic<'a>> {
        let (tag, code) = entry.strip_prefix(MAGIC)?.split_at_checked(TAG_BYTES)?;
        let expected = self.tag(key, code);
        aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_ref(), tag).ok()?;
        Some(Authentic(code))
    }

    fn tag(&self, key: &Key, code: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.secret);
        // Names of one kind have one length, and the kinds differ in length. So two different pairs never give the
        // same text.
        context.update(key.to_string().as_bytes());
        context.update(b"\n");
        context.update(code);
        context.sign()
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.directory.join(key.engine.to_string()).join(key.file_name())
    }
}

fn read(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let mut file = open_file(path)?;
    let mut entry = Vec::new();
    file.read_to_end(&mut entry)?;
    Ok((file, entry))
}

/// Opens a regular file only, without blocking: opening a pipe would wait for a writer.
fn open_file(path: &Path) -> io::Result<File> {
    let at_once = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(at_once).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file")) }
}

fn private_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file that is either complete or absent: under a temporary name, flushed, renamed.
fn write_whole(path: &Path, parts: &[&[u8]], mode: u32) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new()
        .prefix(".new-")
        .make_in(directory, |path| OpenOptions::new().write(true).create_new(true).mode(mode).open(path))?;
    let mut file = temporary.as_file();
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()?;
    // A process that has an older file of this name open keeps it: renaming replaces the name, not the file.
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The start of every entry: the format of what follows.
const MAGIC: &[u8] = b"landfall compiled policy 1\n";
const TAG_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use landfall_domain::clock::SystemClock;

    use super::*;

    /// The smallest possible component.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    struct Fixture {
        _home: tempfile::TempDir,
        cache: Cache,
        engine: PolicyEngine,
        key: Key,
        path: PathBuf,
    }

    fn open(home: &tempfile::TempDir) -> Cache {
        Cache::open(&home.path().join("compiled"), u64::MAX, Arc::new(SystemClock)).unwrap()
    }

    fn fixture() -> Fixture {
        let home = tempfile::tempdir().unwrap();
        let cache = open(&home);
        let engine = PolicyEngine::start(2, Arc::new(SystemClock)).unwrap();
        let key = Key::component(&engine, Digest::of(EMPTY));
        let code = Component::from_binary(engine.wasm(), EMPTY).unwrap().serialize().unwrap();
        cache.put(&key, &code).unwrap();
        let path = cache.path(&key);
        Fixture { _home: home, cache, engine, key, path }
    }

    #[test]
    fn what_was_put_is_there_for_the_next_process() {
        let Fixture { _home: home, cache, engine, key, path } = fixture();
        assert!(cache.get(&engine, &key).is_some());
        let again = open(&home);
        assert!(again.get(&engine, &key).is_some());
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o400);
    }

    #[test]
    fn a_pipe_in_the_place_of_an_entry_is_a_miss_that_nobody_waits_for() {
        let Fixture { _home, cache, engine, key, path } = fixture();
        fs::remove_file(&path).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(cache.get(&engine, &key).is_none());
    }

    #[test]
    fn an_edited_entry_is_a_miss_wherever_it_was_edited() {
        let Fixture { _home, cache, engine, key, path } = fixture();
        let good = fs::read(&path).unwrap();
        let step = (good.len() / 200).max(1);
        for at in (0..good.len()).step_by(step).chain([good.len() - 1]) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::remove_file(&path).unwrap();
            fs::write(&path, &bad).unwrap();
            assert!(cache.get(&engine, &key).is_none(), "a flipped bit in byte {at}");
        }
        fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert!(cache.get(&engine, &key).is_none(), "cut off");
        fs::write(&path, b"").unwrap();
        assert!(cache.get(&engine, &key).is_none(), "empty");
        cache.put(&key, &good[MAGIC.len() + TAG_BYTES..]).unwrap();
        assert!(cache.get(&engine, &key).is_some(), "written anew");
    }

    #[test]
    fn an_entry_under_another_name_is_a_miss() {
        let Fixture { _home, cache, engine, key, path } = fixture();
        let other = Key::baked(&engine, key.component, Digest::of(b"{}"));
        fs::copy(path, cache.path(&other)).unwrap();
        assert!(cache.get(&engine, &other).is_none());
    }

    #[test]
    fn an_entry_of_another_host_is_a_miss() {
        let mine = fixture();
        let theirs = fixture();
        fs::remove_file(&mine.path).unwrap();
        fs::copy(&theirs.path, &mine.path).unwrap();
        assert!(mine.cache.get(&mine.engine, &mine.key).is_none());
    }
}
