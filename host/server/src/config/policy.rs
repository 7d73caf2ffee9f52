//! What policies are granted: `[policy.http]`.
//!
//! ```toml
//! [policy.http]
//! ca_file = "/etc/landfall/services.pem"   # in place of the platform's certificates
//!
//! [policy.http.plugins.webhook]
//! allow = ["https://fn.example.net", "https://*.functions.example.net:8443"]
//! allow_private_networks = false
//! scopes = ["0ne00A1B2C3D"]                 # the server's own id scope when absent
//! ```
//!
//! A grant is for the plugin that the named id scopes have under its name: whoever publishes in another scope gets nothing
//! by taking the same name.
//!
//! Names of plugins are those that they are published under. A grant may stand here before its plugin is published,
//! because it must; a name that is a slip of a known one is told when the server starts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use landfall_domain::names::{IdScope, PluginName};
use landfall_policy::http::{Grant, HttpSettings, Origin, Quota};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{HttpLimits, scopes_of};

/// What policies are granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct PolicyConfig {
    /// The plugin that asks an allocation function which an enrollment names by its `https:` address, with
    /// `{"url": ADDRESS}` as its settings; the shipped `webhook` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_plugin: Option<PluginName>,
    pub http: HttpConfig,
}

impl PolicyConfig {
    /// The name of the plugin that asks functions which are named by their addresses.
    pub fn function_plugin(&self) -> &str {
        self.function_plugin.as_ref().map_or("webhook", PluginName::as_str)
    }
}

/// Which plugins may ask which services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct HttpConfig {
    /// A file of PEM certificates to trust in place of the platform's.
    pub ca_file: Option<PathBuf>,
    pub plugins: BTreeMap<PluginName, HttpGrant>,
}

/// What one plugin may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpGrant {
    /// The origins. None allows nothing.
    #[serde(deserialize_with = "origins", serialize_with = "texts")]
    pub allow: Vec<Origin>,
    /// Whether addresses that are not public may be connected to.
    pub allow_private_networks: bool,
    /// The id scopes whose plugin it is for; the server's own when absent.
    pub scopes: Option<Vec<IdScope>>,
}

impl HttpConfig {
    /// As the policy host takes it.
    pub(super) fn settings(&self, limits: &HttpLimits, own: &IdScope) -> HttpSettings {
        let grant = |grant: &HttpGrant| Grant {
            allow: grant.allow.clone(),
            allow_private_networks: grant.allow_private_networks,
            scopes: scopes_of(grant.scopes.as_deref(), own),
        };
        HttpSettings {
            ca_file: self.ca_file.clone(),
            grants: self.plugins.iter().map(|(name, granted)| (name.clone(), grant(granted))).collect(),
            quota: Quota {
                requests: limits.requests,
                bytes_out: limits.request_kib.saturating_mul(1 << 10),
                bytes_in: limits.response_kib.saturating_mul(1 << 10),
                header_bytes: limits.header_kib.saturating_mul(1 << 10),
                wait: Duration::from_millis(limits.wait_ms),
            },
        }
    }
}

fn origins<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<Origin>, D::Error> {
    let texts = Vec::<String>::deserialize(source)?;
    texts.into_iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}

fn texts<S: Serializer>(origins: &[Origin], target: S) -> Result<S::Ok, S::Error> {
    target.collect_seq(origins.iter().map(ToString::to_string))
}
