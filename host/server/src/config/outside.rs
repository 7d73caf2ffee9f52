//! The parts of `landfall.toml` about directories and issuers of certificates.

use std::path::PathBuf;

use landfall_domain::names::IdScope;
use serde::{Deserialize, Serialize};

/// A directory (`[directory.NAME]` in `landfall.toml`). Paths are relative to the data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct DirectoryConfig {
    /// The keytab of the service. Its principal is HTTP/ and the name that devices call.
    pub keytab: PathBuf,
    /// Its address: `ldaps://HOST` or `ldaps://HOST:PORT`.
    pub ldaps: String,
    /// The certificate authorities by which its server is trusted, PEM.
    pub ca_file: PathBuf,
    /// The base entry, below which accounts and groups are searched.
    pub base: String,
    pub bind_dn: String,
    /// A file with that account's password.
    pub password_file: PathBuf,
    /// The id scopes whose groups may name it; the server's own if absent.
    #[serde(default)]
    pub scopes: Option<Vec<IdScope>>,
}

/// The certificate and the key of an issuer (`[issuing.NAME]` in `landfall.toml`). Paths are relative to the data
/// folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// Its certificate, then the ones above it, up to the root, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM. Without it, the four PKCS#11 settings that follow are needed.
    pub key: Option<PathBuf>,
    /// The PKCS#11 module of the token that holds its key.
    pub pkcs11_module: Option<PathBuf>,
    /// The token's label.
    pub pkcs11_token: Option<String>,
    /// The key's label.
    pub pkcs11_key: Option<String>,
    /// A file with the token's PIN.
    pub pkcs11_pin_file: Option<PathBuf>,
    /// The lifetime of its certificates, in hours.
    #[serde(default = "IssuerConfig::default_lifetime_hours")]
    pub lifetime_hours: u64,
    /// The id scopes whose enrollments may name it; the server's own if absent.
    #[serde(default)]
    pub scopes: Option<Vec<IdScope>>,
}

impl IssuerConfig {
    /// An issuer with its certificate and key in files, and the default lifetime.
    pub fn of_files(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            certificate: certificate.into(),
            key: Some(key.into()),
            pkcs11_module: None,
            pkcs11_token: None,
            pkcs11_key: None,
            pkcs11_pin_file: None,
            lifetime_hours: Self::default_lifetime_hours(),
            scopes: None,
        }
    }

    fn default_lifetime_hours() -> u64 {
        30 * 24
    }
}
