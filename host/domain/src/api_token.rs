//! Bearer tokens of the management API.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::names::{Digest, IdScope, ManufacturerId, PluginName};
use crate::plugin::SHIPPED;

/// What the store keeps of a token: everything but the token itself. Of the secret part only the SHA-256 is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// A short public name. Listings show it, and it is used to revoke the token.
    pub id: String,
    /// SHA-256 of the secret part.
    pub secret_sha256: Digest,
    /// A note of the operator: whom or what the token is for.
    pub note: String,
    /// What the holder may do.
    pub role: Role,
    /// The id scope for which the token is valid. `None`: all id scopes (operators, auditors and monitors only).
    pub scope: Option<IdScope>,
    /// When the token was created.
    pub created_at: Timestamp,
    /// When the token expires.
    pub expires_at: Option<Timestamp>,
    /// For publishers: the plugin names under which the holder may publish. A name that ends with `*` is a prefix. An
    /// empty list allows all names except those of the policies that come with Landfall.
    #[serde(default)]
    pub plugins: Vec<String>,
    /// For publishers: how many MiB the plugins that the holder published may occupy.
    #[serde(default)]
    pub plugins_mib: Option<u64>,
}

impl TokenRecord {
    /// Whether the holder may publish under a name. The caller checks separately that the role may publish at all.
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

    /// Whether the holder may do everything in all id scopes at this time.
    pub fn rules_all(&self, now: Timestamp) -> bool {
        self.role == Role::Operator && self.scope.is_none() && self.expires_at.is_none_or(|end| end > now)
    }
}

/// What the holder of a token may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Role {
    /// Everything within the scope of the token.
    Operator,
    /// Imports and reads the records of one manufacturer, up to a quota.
    Manufacturer {
        manufacturer: ManufacturerId,
        /// How many records this manufacturer may have. `None`: no limit.
        quota: Option<u64>,
        /// Prefixes: the registration id of each of its records must begin with one of these. An empty list allows
        /// every id.
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
