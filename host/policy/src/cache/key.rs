//! The key that authenticates compiled code as this host's own.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::{hmac, rand};

/// Why the cache's key cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("cannot read or make {path}, the key of the cache of compiled policies: {source}")]
    Io { path: String, source: io::Error },
    /// Another user could have read or changed the file.
    #[error(
        "{path} must belong to the user that runs this host and be readable by nobody else (mode 0600); delete it if \
         it may have been copied, a new one is made"
    )]
    Exposed { path: String },
    /// The file does not contain a key.
    #[error("{path} is not a key of {KEY_BYTES} bytes; delete it, a new one is made")]
    Damaged { path: String },
}

/// Reads the key beside `directory`, or creates it.
pub(super) fn open(directory: &Path) -> Result<hmac::Key, KeyError> {
    let path = beside(directory);
    let name = || path.display().to_string();
    let failed = |source| KeyError::Io { path: name(), source };
    if !path.try_exists().map_err(failed)? {
        make(&path).map_err(failed)?;
    }
    let file = super::open_file(&path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.mode() & 0o077 != 0 || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(KeyError::Exposed { path: name() });
    }
    let mut bytes = Vec::with_capacity(KEY_BYTES);
    file.take(1024).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() != KEY_BYTES {
        return Err(KeyError::Damaged { path: name() });
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn beside(directory: &Path) -> PathBuf {
    let mut name = directory.file_name().unwrap_or_default().to_owned();
    name.push(".key");
    directory.with_file_name(name)
}

/// Creates a key file that is either complete or absent. If two processes do it at once, one wins, and both read the
/// winner's key.
fn make(path: &Path) -> io::Result<()> {
    let mut key = [0; KEY_BYTES];
    rand::fill(&mut key).map_err(|_| io::Error::other("the system has no randomness"))?;
    // A path without a folder has the parent ``, which system calls do not accept.
    let directory = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new().prefix(".new-").tempfile_in(directory)?;
    io::Write::write_all(&mut temporary, &key)?;
    temporary.as_file().sync_all()?;
    match temporary.persist_noclobber(path) {
        Ok(_) => fs::File::open(directory)?.sync_all(),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

/// The length of the key in bytes: that of the hash.
const KEY_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_is_made_once_and_is_private() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("compiled");
        open(&directory).unwrap();
        let path = home.path().join("compiled.key");
        let first = fs::read(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        open(&directory).unwrap();
        assert_eq!(fs::read(&path).unwrap(), first);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("compiled");
        open(&directory).unwrap();
        let path = home.path().join("compiled.key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(open(&directory), Err(KeyError::Exposed { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        assert!(matches!(open(&directory), Err(KeyError::Damaged { .. })));
    }
}
