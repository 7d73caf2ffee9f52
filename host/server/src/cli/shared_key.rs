//! The options for symmetric keys, and how keys are printed.

use std::path::{Path, PathBuf};

use clap::Args;
use landfall_attestation::symmetric_key::SymmetricKey;
use landfall_domain::clock::Ambient;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::CliError;
use super::output::text;
use super::ways::{Edits, KEYS};

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
    /// The API's member for these options, if they were given.
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

/// Changes of symmetric keys.
#[derive(Debug, Args)]
pub(super) struct SharedKeyChangeArgs {
    /// Devices prove themselves by tokens that a symmetric key has signed, from now on. Keys that are not given are made and
    /// told once.
    #[arg(long)]
    symmetric_key: bool,
    /// A file with another primary key; the secondary one stays.
    #[arg(long, value_name = "FILE", conflicts_with = "new_primary_key")]
    primary_key: Option<PathBuf>,
    /// Make another primary key, which is told once; the secondary one stays.
    #[arg(long)]
    new_primary_key: bool,
    /// A file with another secondary key; the primary one stays.
    #[arg(long, value_name = "FILE", conflicts_with = "new_secondary_key")]
    secondary_key: Option<PathBuf>,
    /// Make another secondary key, which is told once; the primary one stays.
    #[arg(long)]
    new_secondary_key: bool,
}

impl SharedKeyChangeArgs {
    /// Adds the changes of the keys.
    pub(super) fn edit(&self, edits: &mut Edits) -> Result<(), CliError> {
        edits.begin_bare(&KEYS, self.symmetric_key);
        for (member, file, is_made) in [
            ("primaryKey", &self.primary_key, self.new_primary_key),
            ("secondaryKey", &self.secondary_key, self.new_secondary_key),
        ] {
            let key = match file {
                Some(file) => Some(read(file)?),
                None => is_made.then(|| SymmetricKey::generate(Ambient::system().random())),
            };
            edits.set(&KEYS, member, key.map(|key| key.to_base64().expose().into()));
        }
        Ok(())
    }
}

/// Reads the key in a file.
pub(super) fn read(path: &Path) -> Result<SymmetricKey, CliError> {
    let failed = |source| CliError::Read { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(failed)?;
    SymmetricKey::parse(&text).map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))
}

/// The keys that this one answer contains: those that were generated or set.
pub(super) fn key_lines(answer: &Value) -> String {
    let keys = [("primary key  ", "primaryKey"), ("secondary key", "secondaryKey")];
    let line = |(called, member): (&str, &str)| {
        let key = answer.pointer(&format!("/symmetricKey/{member}"))?;
        Some(format!("\n{called}  {}", text(Some(key))))
    };
    let lines: Vec<String> = keys.into_iter().filter_map(line).collect();
    match lines.len() {
        0 => String::new(),
        1 => format!("\n{}\n\nKeep it: it is not told again.", lines.concat()),
        _ => format!("\n{}\n\nKeep them: they are not told again.", lines.concat()),
    }
}
