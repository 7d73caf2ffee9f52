//! Reads or makes the sealing key.

use std::io::ErrorKind;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_domain::clock::Ambient;
use landfall_domain::secret::sealing::{SealingKey, WrongLength};
use zeroize::Zeroizing;

use crate::folder::DataFolder;

/// Why there is no sealing key.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum SealingKeyError {
    /// The file cannot be read, or cannot be made.
    #[error("{path} cannot be used: {source}; bring it back, or set {VARIABLE}")]
    File { path: PathBuf, source: std::io::Error },
    /// The file is missing, and there are secrets that need it.
    #[error(
        "{path} is not there, and secrets in the database are sealed with it; bring it back from where you keep a copy, or set \
         {VARIABLE}"
    )]
    Gone { path: PathBuf },
    /// The file does not hold a key.
    #[error("{path} must have exactly 32 bytes; bring the right file back")]
    Length { path: PathBuf },
    /// The variable in the environment does not hold a key.
    #[error("{VARIABLE} in the environment must be the base64 of 32 bytes")]
    Environment,
}

/// The sealing key of a data folder: from the environment, or else from its file. `None` if it is in neither.
///
/// # Errors
///
/// [`SealingKeyError`].
pub fn load(folder: &DataFolder) -> Result<Option<SealingKey>, SealingKeyError> {
    if let Some(text) = std::env::var_os(VARIABLE) {
        let text = Zeroizing::new(text.into_string().map_err(|_| SealingKeyError::Environment)?);
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new).map_err(|_| SealingKeyError::Environment)?;
        return SealingKey::new(&bytes).map(Some).map_err(|WrongLength| SealingKeyError::Environment);
    }
    let path = folder.sealing_key();
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SealingKeyError::File { path, source }),
    };
    SealingKey::new(&bytes).map(Some).map_err(|WrongLength| SealingKeyError::Length { path })
}

/// Makes a key for a folder that is older than sealing keys. There must be no sealed secrets in it yet.
///
/// # Errors
///
/// [`SealingKeyError`].
pub fn make(folder: &DataFolder, ambient: &Ambient) -> Result<SealingKey, SealingKeyError> {
    let (path, bytes) = (folder.sealing_key(), Zeroizing::new(ambient.random::<32>()));
    DataFolder::write_new(&path, &*bytes, true)
        .map_err(|source| SealingKeyError::File { path: path.clone(), source })?;
    tracing::info!(path = %path.display(), "made a key that seals secrets in the database: keep a copy of it elsewhere");
    SealingKey::new(&*bytes).map_err(|WrongLength| SealingKeyError::Length { path })
}

/// The environment variable with the key in base64.
pub const VARIABLE: &str = "LANDFALL_SEALING_KEY";
