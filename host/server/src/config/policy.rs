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
//! A grant is for the plugin of that name in the named id scopes. Publishing a plugin of the same name in another scope
//! gets no grant.
//!
//! The names are those under which plugins are published. A grant must be written before its plugin is published, so an
//! unknown name is not an error. If it looks like a misspelled known name, a warning is logged at the start of the
//! server.

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
#[expect(missing_docs, reason = "the names say it")]
pub struct PolicyConfig {
    /// The plugin that calls an allocation function which an enrollment names by its `https:` address. The plugin gets
    /// `{"url": ADDRESS}` as its settings. If absent, it is the built-in `webhook`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_plugin: Option<PluginName>,
    pub http: HttpConfig,
}

impl PolicyConfig {
    /// The name of the plugin that calls functions which are named by their addresses.
    pub fn function_plugin(&self) -> &str {
        self.function_plugin.as_ref().map_or("webhook", PluginName::as_str)
    }
}

/// Which plugins may call which services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct HttpConfig {
    /// A file of PEM certificates that are trusted instead of the platform's.
    pub ca_file: Option<PathBuf>,
    pub plugins: BTreeMap<PluginName, HttpGrant>,
}

/// What one plugin may call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpGrant {
    /// The origins. An empty list allows nothing.
    #[serde(deserialize_with = "origins", serialize_with = "texts")]
    pub allow: Vec<Origin>,
    /// Whether connections to addresses that are not public are allowed.
    pub allow_private_networks: bool,
    /// The id scopes whose plugin gets the grant; the server's own if absent.
    pub scopes: Option<Vec<IdScope>>,
}

impl HttpConfig {
    /// The grants as the policy host needs them.
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
