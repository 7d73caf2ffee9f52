//! Active Directory: checks that an account exists and is enabled, and in which groups it is.
//!
//! A device that belongs to a domain proves itself by a Kerberos ticket ([`landfall_attestation::kerberos`]). A keytab
//! opens the ticket, and nobody has to be asked for that. But the ticket outlives the account by hours, and has no
//! readable names of groups. So the directory is asked over LDAPS, for the account with exactly this name. The account
//! must be enabled. Its SID, which it keeps for life, must be the ticket's. Its groups include those that it is in
//! through other groups.
//!
//! Each directory is a table of `landfall.toml`, because its keytab and its password are on this machine. If a
//! directory cannot be reached, devices are told to come back, and are not refused.

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
#[expect(missing_docs, reason = "the names say it")]
pub struct DirectoryError {
    pub name: DirectoryName,
    /// What is wrong.
    pub reason: DirectoryReason,
}

/// What is wrong with a directory.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DirectoryReason {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Keytab(#[from] KerberosFlaw),
    /// The LDAPS settings cannot be used.
    #[error(transparent)]
    Ldaps(#[from] DirectoryFlaw),
}

/// The directories of this installation, each for its id scopes.
#[derive(Default)]
pub struct Directories {
    known: ByScope<DirectoryName, Directory>,
}

/// A directory: its keytab, how it is asked, and what it has answered.
pub struct Directory {
    name: DirectoryName,
    keytab: Keytab,
    ldaps: Ldaps,
    known: Known,
}

impl Directories {
    /// Reads keytabs, passwords and certificates. No directory is asked yet. A directory that names no id scopes is for
    /// `own`.
    ///
    /// # Errors
    ///
    /// The [`DirectoryError`] of the first directory that cannot be used.
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

    /// The directory of this name, if it is for this id scope.
    pub fn get(&self, scope: &IdScope, name: &DirectoryName) -> Option<&Arc<Directory>> {
        self.known.get(scope, name)
    }

    /// Whether there is any directory. If so, devices are told that they may authenticate with a ticket.
    pub fn any(&self) -> bool {
        self.known.any()
    }

    /// Why a group of an id scope cannot name this directory; `None` if it can. The text does not say whether it exists
    /// for other scopes.
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

    /// Opens a ticket: the decoded token of `Authorization: Negotiate`.
    ///
    /// # Errors
    ///
    /// [`KerberosFlaw`].
    pub fn open(&self, token: &[u8], now: Timestamp) -> Result<Accepted, KerberosFlaw> {
        accept(token, &self.keytab, i64::try_from(now.as_secs()).unwrap_or(i64::MAX), SKEW)
    }

    /// Looks up an account by its exact name. Answers `None` if there is no such account that is enabled now.
    ///
    /// # Errors
    ///
    /// A [`DirectoryFlaw`] if the directory does not answer.
    pub async fn account(&self, name: &str, now: Timestamp) -> Result<Option<Arc<Account>>, DirectoryFlaw> {
        let account = self.known.account(self.name.as_str(), name, || self.ldaps.account(name)).await?;
        Ok(account.filter(|account| !account.is_over(now)))
    }
}

/// How far a device's clock may be off, in seconds: the usual value in domains. The clock skew for certificates is a
/// setting of its own.
const SKEW: i64 = 300;
