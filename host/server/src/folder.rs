//! The data folder: all files of one installation of Landfall.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};

/// A data folder and the names of its files.
#[derive(Clone, Debug)]
pub struct DataFolder {
    root: PathBuf,
}

impl DataFolder {
    /// The data folder at a path. Nothing is read or made.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The path of the folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path of the configuration.
    pub fn config(&self) -> PathBuf {
        self.root.join("landfall.toml")
    }

    /// The path of the database.
    pub fn database(&self) -> PathBuf {
        self.root.join("landfall.redb")
    }

    /// The newest state that was seen of the database and the clock. It is there to notice when one of them goes back.
    pub fn seen(&self) -> PathBuf {
        self.root.join("landfall.seen")
    }

    /// A copy of the database that the server makes for a backup. The backup moves it away.
    pub fn copy(&self, id: &str) -> PathBuf {
        self.root.join(format!("{COPY}{id}"))
    }

    /// Removes copies that no backup has taken. No copy may be under way.
    pub fn forget_copies(&self) {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(COPY)) {
            if let Err(error) = fs::remove_file(entry.path()) {
                tracing::warn!(file = %entry.path().display(), %error, "a copy of the database cannot be removed");
            }
        }
    }

    /// Compiled policies. The folder can be deleted at any time, and fills again.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache").join("policies")
    }

    /// The certificate of the CA that issued the server's certificate. Clients trust it.
    pub fn ca_certificate(&self) -> PathBuf {
        self.root.join("tls").join("ca.pem")
    }

    /// The next server certificate. It replaces the present one as soon as its key is there.
    pub fn next_server_certificate(&self) -> PathBuf {
        self.root.join("tls/server.next.pem")
    }

    /// The key of that CA. It is missing if the operator uses certificates of another CA.
    pub fn ca_key(&self) -> PathBuf {
        self.root.join("tls").join("ca.key")
    }

    /// The server's certificate.
    pub fn server_certificate(&self) -> PathBuf {
        self.root.join("tls").join("server.pem")
    }

    /// The server's key.
    pub fn server_key(&self) -> PathBuf {
        self.root.join("tls").join("server.key")
    }

    /// The key that makes operation ids, so that ids from before a restart are recognised.
    pub fn operations_key(&self) -> PathBuf {
        self.root.join("operations.key")
    }

    /// The key that seals secrets in the database.
    pub fn sealing_key(&self) -> PathBuf {
        self.root.join("sealing.key")
    }

    /// The next sealing key, while secrets are being sealed with it.
    pub fn next_sealing_key(&self) -> PathBuf {
        self.root.join("sealing.key.next")
    }

    /// The sealing key before the last rotation, for older copies of the database.
    pub fn former_sealing_key(&self) -> PathBuf {
        self.root.join("sealing.key.before")
    }

    /// The first operator's token, with which the command line authenticates.
    pub fn operator_token(&self) -> PathBuf {
        self.root.join("operator.token")
    }

    /// Makes a folder that only its owner may enter.
    pub fn make(path: &Path) -> std::io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    /// Replaces a file: writes the whole content under another name first, and then renames it. Owner and mode stay
    /// those of the old file, so that a service can still read its files after a command that root ran.
    pub fn replace(path: &Path, content: &[u8], secret: bool) -> std::io::Result<()> {
        Self::replace_like(path, path, content, secret)
    }

    /// Writes a file that will later replace another one: it gets the owner and mode of `other`.
    pub fn replace_like(path: &Path, other: &Path, content: &[u8], secret: bool) -> std::io::Result<()> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = Path::new(&unfinished);
        match fs::remove_file(unfinished) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Self::write_new(unfinished, content, secret)?;
        match fs::metadata(other) {
            Ok(other) => take_over(unfinished, &other)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        fs::rename(unfinished, path)
    }

    /// Removes an unfinished file. The error names the file, because nothing else will remove it.
    pub fn discard(path: &Path) -> Result<(), String> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("{} is left behind and has to be deleted: {error}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Gives a file or folder the owner of another, so that a service can use what root has made for it. Changes
    /// nothing if the caller may not change owners.
    pub fn give(path: &Path, other: &fs::Metadata) -> std::io::Result<()> {
        match give_to_owner_of(path, other) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
            done => done,
        }
    }

    /// Writes a new file, and never overwrites an existing one. Only the owner may read a secret file.
    pub fn write_new(path: &Path, content: &[u8], secret: bool) -> std::io::Result<()> {
        let mode = if secret { 0o600 } else { 0o644 };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    }
}

/// Gives a file the owner and the mode of another. The owner comes first, because a change of owner can clear bits of
/// the mode.
fn take_over(path: &Path, other: &fs::Metadata) -> std::io::Result<()> {
    give_to_owner_of(path, other)?;
    fs::set_permissions(path, other.permissions())
}

fn give_to_owner_of(path: &Path, other: &fs::Metadata) -> std::io::Result<()> {
    let own = fs::metadata(path)?;
    if (own.uid(), own.gid()) == (other.uid(), other.gid()) {
        return Ok(());
    }
    chown(path, Some(other.uid()), Some(other.gid()))
}

/// The beginning of the names of the database's copies.
const COPY: &str = "landfall.redb.copy-";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_that_is_replaced_keeps_its_owner_and_its_mode() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("server.key");
        DataFolder::replace(&path, b"one", true).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        // Only root may change a file's owner. Other users check that their own ownership stays.
        let given = chown(&path, Some(65_534), Some(65_534)).is_ok();
        DataFolder::replace(&path, b"two", true).unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!((fs::read(&path).unwrap(), after.mode() & 0o777), (b"two".to_vec(), 0o640));
        if given {
            assert_eq!((after.uid(), after.gid()), (65_534, 65_534));
        }
        // A file that will replace another one later already has its owner and mode.
        let next = place.path().join("server.key.next");
        DataFolder::replace_like(&next, &path, b"three", true).unwrap();
        let (next, after) = (fs::metadata(&next).unwrap(), fs::metadata(&path).unwrap());
        assert_eq!((next.uid(), next.gid(), next.mode()), (after.uid(), after.gid(), after.mode()));
    }
}
