//! Bearer tokens of the management API.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::names::{Digest, IdScope, ManufacturerId, PluginName};
use crate::plugin::SHIPPED;

/// What is kept of a token: everything but the token itself, of which only the SHA-256 is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// A short public name, to list and revoke it by.
    pub id: String,
    /// SHA-256 of the secret part.
    pub secret_sha256: Digest,
    /// What its holder is for.
    pub note: String,
    /// What it may do.
    pub role: Role,
    /// The tenant that it is good for; all of them when absent (operators, auditors and monitors only).
    pub scope: Option<IdScope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Of a publisher: the names that it may publish under; one that ends with `*` is a prefix. Without any, all but those of
    /// the policies that come with Landfall.
    #[serde(default)]
    pub plugins: Vec<String>,
    /// Of a publisher: MiB that what it published may take.
    #[serde(default)]
    pub plugins_mib: Option<u64>,
}

impl TokenRecord {
    /// Whether its holder, if it may publish at all, may do so under a name.
    pub fn publishes_as(&self, name: &PluginName) -> bool {
        let means = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => name.as_str().starts_with(prefix),
            None => name.as_str() == pattern,
        };
        match self.role {
            Role::Publisher if self.plugins.is_empty() => !SHIPPED.contains(&name.as_str()),
            Role::Publisher => self.plugins.iter().any(means),
            Role::Operator => true,
            Role::Manufacturer { .. } | Role::Auditor | Role::Monitor => false,
        }
    }

    /// Whether its holder may do everything everywhere at this time.
    pub fn rules_all(&self, now: Timestamp) -> bool {
        self.role == Role::Operator && self.scope.is_none() && self.expires_at.is_none_or(|end| end > now)
    }
}

/// What the holder of a token may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Role {
    /// Everything within its scope.
    Operator,
    /// Imports and reads the records of one manufacturer, up to a quota.
    Manufacturer {
        manufacturer: ManufacturerId,
        /// How many records this manufacturer may have; no bound when absent.
        quota: Option<u64>,
        /// How the registration ids of its records begin, in one of these ways; in any way when there are none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        prefixes: Vec<String>,
    },
    /// Publishes policy plugins.
    Publisher,
    /// Reads everything, changes nothing.
    Auditor,
    /// Reads the metrics and nothing else.
    Monitor,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("operator"),
            Self::Manufacturer { manufacturer, .. } => write!(f, "manufacturer {manufacturer}"),
            Self::Publisher => f.write_str("publisher"),
            Self::Auditor => f.write_str("auditor"),
            Self::Monitor => f.write_str("monitor"),
        }
    }
}
