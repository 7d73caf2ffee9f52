//! `landfall init`: a data folder that is ready to serve.
//!
//! An existing file is never overwritten. The folder is made under a temporary name beside its place, and moved there
//! when it is complete. So an incomplete folder is never taken for a complete one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use landfall_attestation::x509::make::Authority;
use landfall_domain::api_token::{Role, TokenRecord};
use landfall_domain::clock::Ambient;
use landfall_domain::names::{Digest, IdScope, NameError};
use landfall_domain::plugin::{PublishBounds, PublishedPlugin};
use landfall_policy::shipped;
use landfall_store::redb::{RedbStore, StoreSettings};
use landfall_store::{Precondition, Store, StoreError};

use crate::config::check::is_host;
use crate::config::{Config, ConfigError, Server};
use crate::folder::DataFolder;
use crate::tls::TlsError;

/// A folder that was made.
#[expect(missing_docs, reason = "the names say it")]
pub struct Made {
    pub folder: DataFolder,
    /// Its id scope.
    pub scope: IdScope,
    /// The operator's token. It is in the folder as well.
    pub operator_token: String,
}

/// Why no folder was made. Existing files were not changed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum InitError {
    /// There is something at this path already.
    #[error(
        "{0} is there already and is not empty; choose another folder, or serve it with `landfall serve --data {0}`"
    )]
    Taken(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        source: std::io::Error,
    },
    /// The host name is not valid.
    #[error(
        "{0:?} is not a host name or an IP address that devices could call; give it without a port and without a dot at \
         its end"
    )]
    Hostname(String),
    /// The configuration that was made from the answers is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No certificate could be made.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A certificate cannot be made.
    #[error(transparent)]
    Make(#[from] landfall_attestation::x509::make::MakeError),
    /// The database could not be made.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A generated name is not valid; this is a bug.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Makes a folder for a server that devices know under `server.hostname`.
pub async fn init(root: &Path, server: &Server, ambient: &Ambient) -> Result<Made, InitError> {
    if !is_host(&server.hostname) {
        return Err(InitError::Hostname(server.hostname.clone()));
    }
    let taken = || InitError::Taken(root.to_owned());
    if root.exists() && root.read_dir().map_or(true, |mut entries| entries.next().is_some()) {
        return Err(taken());
    }
    let name = root.file_name().ok_or_else(taken)?.to_string_lossy().into_owned();
    let unfinished = root.with_file_name(format!(".{name}.unfinished-{}", std::process::id()));
    let made = fill(&DataFolder::at(&unfinished), server, ambient).await;
    let moved = match made {
        Ok(token) => std::fs::rename(&unfinished, root)
            .map(|()| token)
            .map_err(|source| InitError::Write { path: root.to_owned(), source }),
        Err(error) => Err(error),
    };
    if moved.is_err() {
        // Only what this call has made is in this folder.
        let _ = std::fs::remove_dir_all(&unfinished);
    }
    let operator_token = moved?;
    Ok(Made { folder: DataFolder::at(root), scope: server.scope.clone(), operator_token })
}

/// A random id scope, in the form of DPS's id scopes, for an operator who names none.
pub fn random_scope(ambient: &Ambient) -> Result<IdScope, NameError> {
    let digits: String = ambient.random::<4>().iter().map(|byte| format!("{byte:02X}")).collect();
    format!("0ne{digits}").parse()
}

async fn fill(folder: &DataFolder, server: &Server, ambient: &Ambient) -> Result<String, InitError> {
    let write = |path: PathBuf, content: &[u8], secret: bool| {
        DataFolder::write_new(&path, content, secret).map_err(|source| InitError::Write { path, source })
    };
    for made in [folder.root().to_owned(), folder.root().join("tls"), folder.cache()] {
        DataFolder::make(&made).map_err(|source| InitError::Write { path: made, source })?;
    }
    write(folder.config(), Config::file_text(server).as_bytes(), false)?;

    let now = ambient.now();
    let authority = Authority::root("Landfall server CA", now, CA_DAYS)?;
    let names = server_names(&server.hostname);
    let issued =
        authority.server(&names, now, SERVER_DAYS).map_err(|_| InitError::Hostname(server.hostname.clone()))?;
    write(folder.ca_key(), authority.key_pem().as_bytes(), true)?;
    write(folder.ca_certificate(), authority.certificate_pem.as_bytes(), false)?;
    write(folder.server_certificate(), issued.certificate_pem.as_bytes(), false)?;
    write(folder.server_key(), issued.key_pem.as_bytes(), true)?;

    write(folder.sealing_key(), &ambient.random::<32>(), true)?;
    write(folder.operations_key(), &ambient.random::<32>(), true)?;

    let token = format!("lf_{}", URL_SAFE_NO_PAD.encode(ambient.random::<32>()));
    write(folder.operator_token(), token.as_bytes(), true)?;

    let settings = StoreSettings { create: true, built_in: shipped::is_shipped, ..StoreSettings::default() };
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(&folder.database(), settings)?);
    store.create_scope(server.scope.clone()).await?;
    store
        .put_token(TokenRecord {
            id: "first-operator".to_owned(),
            secret_sha256: Digest::of(token.as_bytes()),
            note: "made by landfall init".to_owned(),
            role: Role::Operator,
            scope: None,
            created_at: now,
            expires_at: None,
            plugins: Vec::new(),
            plugins_mib: None,
        })
        .await?;
    for (name, component) in shipped::names_and_components() {
        let plugin = PublishedPlugin::first(name.parse()?, component, now, "landfall");
        store
            .publish_plugin(
                &server.scope,
                plugin,
                component.to_vec(),
                Vec::new(),
                PublishBounds::NONE,
                Precondition::Any,
            )
            .await?;
    }
    store.close().await?;
    Ok(token)
}

/// The names in the server's certificate. The command line calls the server by its address, so those of this machine
/// are included.
pub(crate) fn server_names(hostname: &str) -> Vec<String> {
    let mut names = vec![hostname.to_owned()];
    names.extend(["localhost", "127.0.0.1", "::1"].into_iter().filter(|name| *name != hostname).map(str::to_owned));
    names
}

/// The lifetime of the CA: ten years, because devices have its certificate built in.
const CA_DAYS: i64 = 3653;

/// The lifetime of the server's certificate: a bit more than a year, then `landfall certificate renew` is due.
pub(crate) const SERVER_DAYS: i64 = 397;
