//! Where the sealing key comes from.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::sealing::{SealingKey, WrongLength};
use crate::clock::Ambient;
use crate::folder::DataFolder;

/// Why there is no sealing key.
#[derive(Debug, thiserror::Error)]
pub enum SealingKeyError {
    /// The file cannot be read, or made.
    #[error("{path} cannot be used: {source}; bring it back, or set {VARIABLE}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("{path} must have exactly 32 bytes; bring the right file back")]
    Length {
        /// The file.
        path: PathBuf,
    },
    /// The environment holds something else.
    #[error("{VARIABLE} in the environment must be the base64 of 32 bytes")]
    Environment,
}

/// The key of a data folder: from the environment, or else from its file. A folder from before there was one gets one.
///
/// # Errors
///
/// [`SealingKeyError`].
pub fn load(folder: &DataFolder, ambient: &Ambient) -> Result<SealingKey, SealingKeyError> {
    if let Some(text) = std::env::var_os(VARIABLE) {
        let text = Zeroizing::new(text.into_string().map_err(|_| SealingKeyError::Environment)?);
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new).map_err(|_| SealingKeyError::Environment)?;
        return SealingKey::new(&bytes).map_err(|WrongLength| SealingKeyError::Environment);
    }
    let path = folder.sealing_key();
    let failed = |source| SealingKeyError::File { path: path.clone(), source };
    if !path.exists() {
        DataFolder::write_new(&path, &ambient.random::<32>(), true).map_err(failed)?;
        tracing::info!(path = %path.display(), "made a key that seals secrets in the database: keep a copy of it elsewhere");
    }
    let bytes = std::fs::read(&path).map(Zeroizing::new).map_err(failed)?;
    SealingKey::new(&bytes).map_err(|WrongLength| SealingKeyError::Length { path: path.clone() })
}

/// The variable of the environment that holds the key, base64.
pub const VARIABLE: &str = "LANDFALL_SEALING_KEY";
