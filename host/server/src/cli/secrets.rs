//! `landfall secrets`: the key that seals secrets in the database.

use std::io::ErrorKind;
use std::sync::Arc;

use clap::Subcommand;
use landfall_domain::clock::Ambient;
use landfall_domain::secret::sealing::SealingKey;
use landfall_store::Store;
use landfall_store::redb::RedbStore;
use serde_json::json;
use zeroize::Zeroizing;

use super::{CliError, Common};
use crate::folder::DataFolder;
use crate::reseal::reseal;
use crate::sealing_key::{self, SealingKeyError};

/// What can be done with it.
#[derive(Debug, Subcommand)]
pub(super) enum SecretsCommand {
    /// Make a new sealing key and seal every secret with it. The server must not run.
    ///
    /// Copies of the database from before stay readable with the old key, which is kept beside the new one as
    /// sealing.key.before; delete it when they are gone.
    Rotate,
}

pub(super) async fn run(common: &Common, command: &SecretsCommand) -> Result<(), CliError> {
    let SecretsCommand::Rotate = command;
    let (folder, config, ambient) = (common.folder(), common.config()?, Ambient::system());
    if std::env::var_os(sealing_key::VARIABLE).is_some() {
        return Err(CliError::Usage(format!(
            "the key comes from {} here: unset it to rotate the file's, or set it anew after sealing with a file",
            sealing_key::VARIABLE
        )));
    }
    let failed = |error: &dyn std::fmt::Display| CliError::Failed(error.to_string());
    let gone = || SealingKeyError::Gone { path: folder.sealing_key() };
    let old = sealing_key::load(&folder).and_then(|key| key.ok_or_else(gone)).map_err(|error| failed(&error))?;
    let (path, next, before) = (folder.sealing_key(), folder.next_sealing_key(), folder.former_sealing_key());
    // An existing next key comes from an interrupted rotation: secrets may already be sealed with it.
    let made = match std::fs::read(&next) {
        Ok(made) => Zeroizing::new(made),
        Err(error) if error.kind() == ErrorKind::NotFound => Zeroizing::new(ambient.random::<32>().to_vec()),
        Err(source) => return Err(CliError::Read { path: next, source }),
    };
    let new = SealingKey::new(&made).map_err(|error| failed(&error))?;
    let store = RedbStore::open(&folder.database(), config.offline_store_settings()).map_err(|error| failed(&error))?;
    let store: Arc<dyn Store> = Arc::new(store);

    // The new key is on disk before anything is sealed with it. After an interruption both keys are still there, and
    // every secret says which of them it needs. Each file gets the owner of the present key, so that the service can
    // read it, whoever runs this.
    let current = folder.sealing_key();
    let write = |path: &std::path::Path, bytes: &[u8]| {
        let failed = |source| CliError::Write { path: path.to_owned(), source };
        DataFolder::replace_like(path, &current, bytes, true).map_err(failed)
    };
    write(&next, &made)?;
    let resealed = reseal(&store, &old, &new, &ambient).await.map_err(|error| failed(&error))?;
    let kept =
        std::fs::read(&path).map(Zeroizing::new).map_err(|source| CliError::Read { path: path.clone(), source })?;
    write(&before, &kept)?;
    std::fs::rename(&next, &path).map_err(|source| CliError::Write { path, source })?;
    store.close().await.map_err(|error| failed(&error))?;
    let text = format!("{resealed} enrollments are sealed with a new key; the old one is {}.", before.display());
    common.output().done(text, &json!({ "resealed": resealed }))
}
