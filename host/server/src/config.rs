//! The configuration: one `landfall.toml` in the data folder.
//!
//! It has the server's name and addresses, and every limit. A limit is declared once, in `limits`, with its default,
//! its range, what it bounds and what happens beyond it. The file that `landfall init` writes, the table that
//! `landfall config` prints and the checks here are all made from that one declaration.
//!
//! A mistake in the file is never ignored: an unknown key is an error that names the nearest known one. Otherwise a
//! misspelt limit would silently keep its default, and nobody would notice before the day when the limit is needed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use landfall_attestation::x509::VerifyPolicy;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::{DirectoryName, IdScope, IssuerName};
use landfall_policy::breaker::BreakerLimits;
use landfall_policy::{Budget, Budgets, CompileLimits, Compiler, InitBudget, PolicySettings};
use landfall_store::redb::StoreSettings;
use serde::{Deserialize, Serialize};

mod by_scope;
pub(crate) mod check;
mod file;
mod limits;
mod listen;
mod outside;
mod policy;

pub use by_scope::{ByScope, scopes_of};
pub use limits::{
    CertificateRules, DeviceLimits, Fact, HttpLimits, Limits, ListenerLimits, ManagementLimits, PolicyLimits,
    StoreLimits, ThrottleLimits,
};
pub use outside::{DirectoryConfig, IssuerConfig};
pub use policy::{HttpConfig, HttpGrant, PolicyConfig};

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Config {
    /// The name of this server, and its addresses.
    pub server: Server,
    /// How certificates are verified.
    #[serde(default)]
    pub certificates: CertificateRules,
    /// Whether devices may authenticate with passwords.
    #[serde(default)]
    pub passwords: PasswordRules,
    /// Which policy plugins are accepted.
    #[serde(default)]
    pub plugins: SigningRules,
    /// What policies are granted.
    #[serde(default)]
    pub policy: PolicyConfig,
    /// The directories whose accounts are devices.
    #[serde(default)]
    pub directory: BTreeMap<DirectoryName, DirectoryConfig>,
    /// The issuers of certificates for devices.
    #[serde(default)]
    pub issuing: BTreeMap<IssuerName, IssuerConfig>,
    #[serde(default)]
    pub limits: Limits,
    /// The program that compiles components in a process of its own. Whoever starts the server sets it; without it,
    /// this process compiles them. It is not in the file.
    #[serde(skip)]
    pub compiler: Option<PathBuf>,
}

/// The name of this server, and its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The host name that devices know.
    pub hostname: String,
    /// The default id scope of the command line.
    pub scope: IdScope,
    /// The address of the devices' listener.
    #[serde(default = "Server::default_device_listen", deserialize_with = "listen::address")]
    pub device_listen: SocketAddr,
    /// The address of the management API.
    #[serde(default = "Server::default_management_listen", deserialize_with = "listen::address")]
    pub management_listen: SocketAddr,
}

/// Whether devices may authenticate with passwords.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordRules {
    /// Whether passwords are accepted. Not recommended.
    pub enabled: bool,
}

/// Which policy plugins are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SigningRules {
    /// Files with the Ed25519 public keys (PEM) that are trusted. Paths are relative to the data folder.
    pub trusted_keys: Vec<PathBuf>,
    /// Whether a revision is accepted only with the signature of a trusted key.
    pub require_signature: bool,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}; {}", advice(.path, .source))]
    Read { path: PathBuf, source: std::io::Error },
    /// The file is not TOML, or a value has the wrong type.
    #[error("{path}:{line}: {reason}")]
    Value {
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// There is no such setting.
    #[error("{path}:{line}: there is no setting {key:?}; {advice}")]
    UnknownKey {
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key, with its table.
        key: String,
        /// What to write in its place.
        advice: String,
    },
    /// A number outside of its range.
    #[error("{path}:{line}: {key} is {value}; it must be from {lowest} to {highest} ({unit})")]
    OutOfRange {
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key, with its table.
        key: String,
        /// The value in the file.
        value: String,
        /// The lowest value that is accepted.
        lowest: u64,
        /// The highest value that is accepted.
        highest: u64,
        /// The unit of the value.
        unit: &'static str,
    },
}

impl Config {
    /// The default configuration of a server.
    pub fn new(server: Server) -> Self {
        Self {
            server,
            certificates: CertificateRules::default(),
            passwords: PasswordRules::default(),
            plugins: SigningRules::default(),
            policy: PolicyConfig::default(),
            directory: BTreeMap::new(),
            issuing: BTreeMap::new(),
            limits: Limits::default(),
            compiler: None,
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The first mistake in the file, with its line.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Parses a text. Errors call it `path`.
    ///
    /// # Errors
    ///
    /// The first mistake in the text, with its line.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        check::parse(text, path)
    }

    /// The text of a new `landfall.toml`: the server's settings, and every limit as a comment with its default.
    pub fn file_text(server: &Server) -> String {
        file::text(server)
    }

    /// Every limit, with its current value.
    pub fn in_force(&self) -> Vec<(&'static Fact, u64)> {
        let mut all = self.certificates.in_force();
        all.extend(self.limits.in_force());
        all
    }

    /// How strictly certificates are verified at this time.
    pub fn verify_policy(&self, now: Timestamp) -> VerifyPolicy {
        VerifyPolicy { clock_skew: self.clock_skew(), ..VerifyPolicy::at(now) }
    }

    /// How far another machine's clock may be ahead.
    pub fn clock_skew(&self) -> Duration {
        Duration::from_secs(self.certificates.clock_skew_minutes.saturating_mul(60))
    }

    /// The settings of the store.
    pub fn store_settings(&self) -> StoreSettings {
        let limits = &self.limits.store;
        StoreSettings {
            reserve_bytes: limits.reserve_mib.saturating_mul(1 << 20),
            built_in: landfall_policy::shipped::is_shipped,
            cache_bytes: limits.cache_mib.saturating_mul(MIB),
            entries_kept: limits.refusals_kept,
            groups_per_scope: limits.groups_per_scope,
            decisions_per_device: limits.decisions_per_device,
            device_queue: limits.device_queue,
            bulk_queue: limits.bulk_queue,
            batch_writes: limits.batch_writes,
            batch_bytes: limits.batch_kib.saturating_mul(KIB),
            ..StoreSettings::default()
        }
    }

    /// The settings of the store for a command that works on it while no server runs. No disk space is reserved: a
    /// nearly full disk is the reason for some of these commands.
    pub fn offline_store_settings(&self) -> StoreSettings {
        StoreSettings { reserve_bytes: 0, ..self.store_settings() }
    }

    /// The settings of the policy host, with compiled components in `cache_dir`.
    pub fn policy_settings(&self, cache_dir: impl Into<PathBuf>) -> PolicySettings {
        let limits = &self.limits.policy;
        let by_machine = PolicySettings::new(cache_dir);
        let workers = if limits.workers == 0 { by_machine.workers } else { limits.workers };
        PolicySettings {
            cache_bytes: limits.cache_mib.saturating_mul(1 << 20),
            workers,
            queue: workers.saturating_mul(limits.queue_per_worker),
            connected_workers: self.limits.http.workers,
            connected_queue: self.limits.http.queue,
            http: self.policy.http.settings(&self.limits.http, &self.server.scope),
            budgets: limits.budgets(),
            max_component_bytes: self.limits.management.component_bytes,
            max_baked_bytes: limits.baked_component_kib.saturating_mul(KIB),
            compiler: match &self.compiler {
                Some(program) => Compiler::Child { program: program.clone(), limits: limits.compile() },
                None => Compiler::InProcess,
            },
            ..by_machine
        }
    }
}

impl Server {
    /// A server with the default addresses.
    pub fn new(hostname: impl Into<String>, scope: IdScope) -> Self {
        Self {
            hostname: hostname.into(),
            scope,
            device_listen: Self::default_device_listen(),
            management_listen: Self::default_management_listen(),
        }
    }

    fn default_device_listen() -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], 8443))
    }

    fn default_management_listen() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 9443))
    }
}

impl PolicyLimits {
    /// When the breaker of a policy opens.
    pub fn breaker(&self) -> BreakerLimits {
        BreakerLimits {
            failures: self.breaker_failures,
            window: Duration::from_secs(self.breaker_window_seconds),
            least_calls: self.breaker_least_calls,
            success_percent: self.breaker_success_percent,
            open: Duration::from_millis(self.breaker_open_ms),
            open_most: Duration::from_secs(self.breaker_open_max_seconds),
        }
    }

    /// The resources that compiling a component may use.
    pub fn compile(&self) -> CompileLimits {
        CompileLimits {
            cpu_seconds: self.compile_cpu_seconds,
            wall_seconds: self.compile_wall_seconds,
            memory_bytes: self.compile_memory_mib.saturating_mul(1 << 20),
        }
    }

    /// The resources that a plugin may use.
    pub fn budgets(&self) -> Budgets {
        let call = Budget {
            fuel: self.fuel,
            hubs: self.fuel_hubs,
            deadline_ms: self.deadline_ms,
            memory_bytes: self.memory_mib.saturating_mul(MIB),
            table_elements: self.table_elements,
            output_bytes: self.output_kib.saturating_mul(KIB),
            log_bytes: self.log_kib.saturating_mul(KIB),
            log_lines: self.log_lines,
            host_calls: self.host_calls,
            host_call_fuel: self.host_call_fuel,
            host_call_bytes: self.host_call_kib.saturating_mul(KIB),
            transcript_bytes: self.transcript_kib.saturating_mul(KIB),
            ..Budget::default()
        };
        let init = InitBudget { fuel: self.configure_fuel, deadline_ms: self.configure_deadline_ms };
        Budgets { call, init }
    }
}

fn advice(path: &Path, source: &std::io::Error) -> String {
    let folder = path.parent().unwrap_or(path).display();
    match source.kind() {
        std::io::ErrorKind::PermissionDenied => {
            format!("run this as the user that {folder} belongs to")
        }
        _ => format!("a data folder is made with: landfall init --data {folder} --hostname NAME"),
    }
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

#[cfg(test)]
mod tests;
