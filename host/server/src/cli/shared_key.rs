//! The words of the command line about symmetric keys, and how keys are told.

use std::path::{Path, PathBuf};

use clap::Args;
use landfall_attestation::symmetric_key::SymmetricKey;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::CliError;
use super::output::text;

/// Symmetric keys, for an enrollment or a group.
#[derive(Debug, Args)]
pub(super) struct SharedKeyArgs {
    /// Devices prove themselves by tokens that a symmetric key has signed. Keys that are not given are kept, or made and
    /// told once.
    #[arg(long)]
    symmetric_key: bool,
    /// A file with the one key: base64 of 16 to 64 bytes.
    #[arg(long, value_name = "FILE", requires = "symmetric_key")]
    primary_key: Option<PathBuf>,
    /// A file with the other key.
    #[arg(long, value_name = "FILE", requires = "symmetric_key")]
    secondary_key: Option<PathBuf>,
}

impl SharedKeyArgs {
    /// What the API takes, when these words were said.
    pub(super) fn body(&self) -> Result<Option<Value>, CliError> {
        if !self.symmetric_key {
            return Ok(None);
        }
        let mut keys = Map::new();
        for (name, file) in [("primaryKey", &self.primary_key), ("secondaryKey", &self.secondary_key)] {
            if let Some(file) = file {
                keys.insert(name.to_owned(), read(file)?.to_base64().expose().into());
            }
        }
        Ok(Some(json!(keys)))
    }
}

/// The key in a file.
pub(super) fn read(path: &Path) -> Result<SymmetricKey, CliError> {
    let failed = |source| CliError::Read { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(failed)?;
    SymmetricKey::parse(&text).map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))
}

/// The keys that an answer tells, this once.
pub(super) fn told(answer: &Value) -> String {
    let key = |name: &str| answer.pointer(&format!("/symmetricKey/{name}"));
    match (key("primaryKey"), key("secondaryKey")) {
        (Some(primary), Some(secondary)) => {
            let (primary, secondary) = (text(Some(primary)), text(Some(secondary)));
            format!("\n\nprimary key    {primary}\nsecondary key  {secondary}\n\nKeep them: they are not told again.")
        }
        _ => String::new(),
    }
}
