//! Active Directory: whether an account is one, and which groups it is in.
//!
//! A device that belongs to a domain proves itself by a Kerberos ticket ([`landfall_attestation::kerberos`]), which a keytab
//! opens without asking anybody. The ticket outlives the account by hours, and says nothing of groups that a person could
//! read. So the directory is asked over LDAPS: for the account by its exact name, which must be enabled, for its SID, which
//! stays with it for life and must be the ticket's, and for all groups that it is in, those in those included.
//!
//! Each directory is a table of `landfall.toml`, because its keytab and password are this machine's. When it is away,
//! devices are told to come back, not turned away.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use landfall_attestation::kerberos::{Accepted, KerberosFlaw, Keytab, accept};
use landfall_domain::clock::{Clock, Timestamp};
use landfall_domain::names::{DirectoryName, IdScope};
use zeroize::Zeroizing;

use crate::config::{ByScope, DirectoryConfig, scopes_of};

mod account;
mod known;
mod ldap;

pub use account::Account;
use known::Known;
pub use ldap::DirectoryFlaw;
use ldap::Ldaps;

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("[directory.{name}] in landfall.toml: {reason}")]
#[allow(missing_docs, reason = "the names say it")]
pub struct DirectoryError {
    pub name: DirectoryName,
    /// What is wrong.
    pub reason: DirectoryReason,
}

/// What is wrong with a directory.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the names say it")]
pub enum DirectoryReason {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Keytab(#[from] KerberosFlaw),
    /// How it is asked.
    #[error(transparent)]
    Ldaps(#[from] DirectoryFlaw),
}

/// The directories of this installation, each for its id scopes.
#[derive(Default)]
pub struct Directories {
    known: ByScope<DirectoryName, Directory>,
}

/// One directory.
pub struct Directory {
    name: DirectoryName,
    keytab: Keytab,
    ldaps: Ldaps,
    known: Known,
}

impl Directories {
    /// Reads keytabs, passwords and certificates. Nobody is asked yet. One that names no id scopes is for `own`.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`], of the first that cannot be used.
    pub fn load(
        configured: &BTreeMap<DirectoryName, DirectoryConfig>,
        own: &IdScope,
        folder: &Path,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, DirectoryError> {
        let load = |(name, config): (&DirectoryName, &DirectoryConfig)| {
            let directory = Directory::load(name, config, folder, clock);
            let directory = directory.map_err(|reason| DirectoryError { name: name.clone(), reason })?;
            Ok((name.clone(), (scopes_of(config.scopes.as_deref(), own), Arc::new(directory))))
        };
        Ok(Self { known: configured.iter().map(load).collect::<Result<_, _>>()? })
    }

    /// The directory of this name, if there is one for this id scope.
    pub fn get(&self, scope: &IdScope, name: &DirectoryName) -> Option<&Arc<Directory>> {
        self.known.get(scope, name)
    }

    /// Whether there is any, so that devices are told that they may come with a ticket.
    pub fn any(&self) -> bool {
        self.known.any()
    }

    /// Why a group of an id scope cannot name a directory, if it cannot. Whether there is one for other scopes is not said.
    pub fn refusal(&self, scope: &IdScope, name: &DirectoryName) -> Option<String> {
        let refused = || {
            let known = self.known.names(scope);
            format!(
                "landfall.toml has no directory {name} for the id scope {scope} ([directory.{name}], whose `scopes` are the \
                 server's own when it names none); there are: {known}"
            )
        };
        self.get(scope, name).is_none().then(refused)
    }
}

impl Directory {
    fn load(
        name: &DirectoryName,
        config: &DirectoryConfig,
        folder: &Path,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, DirectoryReason> {
        let read = |path: &Path| {
            let path = folder.join(path);
            std::fs::read(&path).map(Zeroizing::new).map_err(|source| DirectoryReason::Read { path, source })
        };
        let keytab = Keytab::parse(&read(&config.keytab)?)?;
        let password = read(&config.password_file)?;
        let password = Zeroizing::new(String::from_utf8_lossy(&password).trim_end_matches(['\r', '\n']).to_owned());
        let ldaps = Ldaps::new(&config.ldaps, &config.base, &config.bind_dn, password, &read(&config.ca_file)?)?;
        Ok(Self { name: name.clone(), keytab, ldaps, known: Known::new(Arc::clone(clock)) })
    }

    /// Opens a token of `Authorization: Negotiate`, decoded.
    ///
    /// # Errors
    ///
    /// [`KerberosFlaw`].
    pub fn open(&self, token: &[u8], now: Timestamp) -> Result<Accepted, KerberosFlaw> {
        accept(token, &self.keytab, i64::try_from(now.as_secs()).unwrap_or(i64::MAX), SKEW)
    }

    /// What the directory says of an account, by its exact name; none when there is none that is enabled now.
    ///
    /// # Errors
    ///
    /// [`DirectoryFlaw`]: the directory does not answer.
    pub async fn account(&self, name: &str, now: Timestamp) -> Result<Option<Arc<Account>>, DirectoryFlaw> {
        let account = self.known.account(self.name.as_str(), name, || self.ldaps.account(name)).await?;
        Ok(account.filter(|account| !account.is_over(now)))
    }
}

/// How far a device's clock may be off, in seconds: what domains allow. What is said of certificates' times is another thing.
const SKEW: i64 = 300;
