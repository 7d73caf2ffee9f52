//! Active Directory: whether an account is one, and which groups it is in.
//!
//! A device that belongs to a domain proves itself by a Kerberos ticket ([`crate::attestation::kerberos`]), which a keytab
//! opens without asking anybody. The ticket outlives the account by hours, and says nothing of groups that a person could
//! read. So the directory is asked over LDAPS: for the account by its exact name, which must be enabled, for its SID, which
//! stays with it for life, and for all groups that it is in, those in those included. The answer is kept for a minute: a
//! device that registers polls a few times.
//!
//! Each directory is a table of `landfall.toml`, because its keytab and password are this machine's. When it is away,
//! devices are told to come back, not turned away.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::attestation::kerberos::{Accepted, KerberosFlaw, Keytab, accept};
use crate::clock::{self, Timestamp};
use crate::names::DirectoryName;

mod ldap;

pub use ldap::DirectoryFlaw;
use ldap::Ldaps;

/// A directory (`[directory.NAME]` in `landfall.toml`). Files are named from the data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryConfig {
    /// The keytab of the service, whose principal is HTTP/ and the name that devices call.
    pub keytab: PathBuf,
    /// Where it is asked: `ldaps://HOST` or `ldaps://HOST:PORT`.
    pub ldaps: String,
    /// The certificate authorities that it is trusted by, PEM.
    pub ca_file: PathBuf,
    /// Below which entry accounts and groups are.
    pub base: String,
    /// Who asks.
    pub bind_dn: String,
    /// A file with that account's password.
    pub password_file: PathBuf,
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("[directory.{name}] in landfall.toml: {reason}")]
pub struct DirectoryError {
    /// The directory.
    pub name: DirectoryName,
    /// What is wrong.
    pub reason: DirectoryReason,
}

/// What is wrong with a directory.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryReason {
    /// A file.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The keytab.
    #[error(transparent)]
    Keytab(#[from] KerberosFlaw),
    /// How it is asked.
    #[error(transparent)]
    Ldaps(#[from] DirectoryFlaw),
}

/// The directories of this installation.
#[derive(Default)]
pub struct Directories {
    known: BTreeMap<DirectoryName, Arc<Directory>>,
    /// Authenticators that were taken, and until when they could come again.
    seen: Mutex<HashMap<[u8; 32], i64>>,
}

/// One directory.
pub struct Directory {
    keytab: Keytab,
    ldaps: Ldaps,
    accounts: Mutex<HashMap<String, (Instant, Arc<Account>)>>,
}

/// An account that is enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its security identifier, as it stands in the directory: it is never given to another.
    pub sid: Vec<u8>,
    /// The names (`sAMAccountName`) of all groups that it is in but its primary one, sorted.
    pub groups: Vec<String>,
}

impl Directories {
    /// Reads keytabs, passwords and certificates. Nobody is asked yet.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`], of the first that cannot be used.
    pub fn load(configured: &BTreeMap<DirectoryName, DirectoryConfig>, folder: &Path) -> Result<Self, DirectoryError> {
        let load = |(name, config): (&DirectoryName, &DirectoryConfig)| {
            let directory = Directory::load(config, folder);
            let directory = directory.map_err(|reason| DirectoryError { name: name.clone(), reason })?;
            Ok((name.clone(), Arc::new(directory)))
        };
        Ok(Self { known: configured.iter().map(load).collect::<Result<_, _>>()?, seen: Mutex::default() })
    }

    /// One directory.
    pub fn get(&self, name: &DirectoryName) -> Option<&Arc<Directory>> {
        self.known.get(name)
    }

    /// Whether there is any, so that devices are told that they may come with a ticket.
    pub fn any(&self) -> bool {
        !self.known.is_empty()
    }

    /// The names of all, for people.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.known.keys().map(DirectoryName::as_str).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }

    /// Whether an authenticator comes for the first time. Those that are too old to come again are forgotten.
    pub fn is_new(&self, accepted: &Accepted, now: Timestamp) -> bool {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST_SEEN {
            seen.retain(|_, until| *until > now);
        }
        // Full of tickets that are good: whoever comes now is told to come again, and no replay gets through.
        seen.len() < MOST_SEEN && seen.insert(accepted.replay_id, accepted.replay_until).is_none()
    }
}

impl Directory {
    fn load(config: &DirectoryConfig, folder: &Path) -> Result<Self, DirectoryReason> {
        let read = |path: &Path| {
            let path = folder.join(path);
            std::fs::read(&path).map(Zeroizing::new).map_err(|source| DirectoryReason::Read { path, source })
        };
        let keytab = Keytab::parse(&read(&config.keytab)?)?;
        let password = read(&config.password_file)?;
        let password = Zeroizing::new(String::from_utf8_lossy(&password).trim_end_matches(['\r', '\n']).to_owned());
        let ldaps = Ldaps::new(&config.ldaps, &config.base, &config.bind_dn, password, &read(&config.ca_file)?)?;
        Ok(Self { keytab, ldaps, accounts: Mutex::default() })
    }

    /// Opens a token of `Authorization: Negotiate`, decoded.
    ///
    /// # Errors
    ///
    /// [`KerberosFlaw`].
    pub fn open(&self, token: &[u8], now: Timestamp, skew: Duration) -> Result<Accepted, KerberosFlaw> {
        let seconds = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        accept(token, &self.keytab, seconds(now.as_secs()), seconds(skew.as_secs()))
    }

    /// What the directory says of an account, by its exact name.
    ///
    /// # Errors
    ///
    /// [`DirectoryFlaw`]: there is none that is enabled, or the directory does not answer.
    pub async fn account(&self, name: &str) -> Result<Arc<Account>, DirectoryFlaw> {
        let now = clock::instant();
        if let Some((asked, account)) = self.accounts.lock().unwrap_or_else(PoisonError::into_inner).get(name)
            && now.saturating_duration_since(*asked) < FRESH
        {
            return Ok(Arc::clone(account));
        }
        let account = Arc::new(self.ldaps.account(name).await?);
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= MOST_ACCOUNTS {
            accounts.retain(|_, (asked, _)| now.saturating_duration_since(*asked) < FRESH);
            if accounts.len() >= MOST_ACCOUNTS {
                accounts.clear();
            }
        }
        accounts.insert(name.to_owned(), (now, Arc::clone(&account)));
        Ok(account)
    }
}

/// How long what a directory has said counts.
const FRESH: Duration = Duration::from_secs(60);
const MOST_ACCOUNTS: usize = 10_000;
/// About 100 bytes each; they stay for ten minutes.
const MOST_SEEN: usize = 1_000_000;
