//! Keys of an issuer as the store keeps them, so that devices come in after a restart while their issuer is away.

use jsonwebtoken::jwk::Jwk;
use landfall_domain::clock::Timestamp;
use serde::{Deserialize, Serialize};

use super::IssuerKey;

/// An issuer, whom it is trusted by (PEM), and whether it must be at a public address: two enrollments may not share keys
/// that one of them could have made up, nor the trouble that one of them has with it.
pub type NamedIssuer = (String, Option<String>, bool);

/// What an issuer has published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct KeptKeys {
    pub issuer: String,
    /// Whom it was called with, PEM; those whom the platform trusts when absent.
    pub ca_certificate: Option<String>,
    /// Whether it had to be at a public address.
    #[serde(default)]
    pub public_hosts_only: bool,
    pub read_at: Timestamp,
    /// Each key, as JSON (RFC 7517).
    pub keys: Vec<String>,
}

impl KeptKeys {
    /// What an issuer that is named so has published.
    pub fn new((issuer, ca_certificate, public_hosts_only): NamedIssuer, keys: &[Jwk], read_at: Timestamp) -> Self {
        let keys = keys.iter().filter_map(|key| serde_json::to_string(key).ok()).collect();
        Self { issuer, ca_certificate, public_hosts_only, read_at, keys }
    }

    /// The keys as they are used.
    pub fn keys(&self) -> Vec<IssuerKey> {
        let key = |text: &String| IssuerKey::of(&serde_json::from_str(text).ok()?);
        self.keys.iter().filter_map(key).collect()
    }
}
