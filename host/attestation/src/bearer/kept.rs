//! An issuer's keys as the store keeps them, so that devices can register after a restart while their issuer is
//! unreachable.

use jsonwebtoken::jwk::Jwk;
use landfall_domain::clock::Timestamp;
use serde::{Deserialize, Serialize};

use super::IssuerKey;

/// The identity of an issuer: its URL, the certificate authority (PEM) that is trusted for connections to it, and
/// whether it must be at a public address. Two enrollments share keys only if all three are equal: otherwise one of
/// them could supply forged keys, or its connection failures could affect the other.
pub type NamedIssuer = (String, Option<String>, bool);

/// The keys that an issuer published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct KeptKeys {
    pub issuer: String,
    /// The certificate authority (PEM) that was trusted for the connection. `None`: those of the platform.
    pub ca_certificate: Option<String>,
    /// Whether it had to be at a public address.
    #[serde(default)]
    pub public_hosts_only: bool,
    pub read_at: Timestamp,
    /// The keys, each as JSON (RFC 7517).
    pub keys: Vec<String>,
}

impl KeptKeys {
    /// The keys that this issuer published.
    pub fn new((issuer, ca_certificate, public_hosts_only): NamedIssuer, keys: &[Jwk], read_at: Timestamp) -> Self {
        let keys = keys.iter().filter_map(|key| serde_json::to_string(key).ok()).collect();
        Self { issuer, ca_certificate, public_hosts_only, read_at, keys }
    }

    /// The keys in the form in which they verify signatures.
    pub fn keys(&self) -> Vec<IssuerKey> {
        let key = |text: &String| IssuerKey::of(&serde_json::from_str(text).ok()?);
        self.keys.iter().filter_map(key).collect()
    }
}
