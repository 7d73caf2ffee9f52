//! Keys of an issuer as the store keeps them, so that devices come in after a restart while their issuer is away.

use jsonwebtoken::jwk::Jwk;
use serde::{Deserialize, Serialize};

use super::Named;
use crate::attestation::bearer::IssuerKey;
use crate::clock::Timestamp;

/// What an issuer has published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptKeys {
    /// The issuer.
    pub issuer: String,
    /// Whom it was called with, PEM; those whom the platform trusts when absent.
    pub ca_certificate: Option<String>,
    /// Whether it had to be at a public address.
    #[serde(default)]
    pub public_hosts_only: bool,
    /// When.
    pub read_at: Timestamp,
    /// Each key, as JSON (RFC 7517).
    pub keys: Vec<String>,
}

impl KeptKeys {
    pub(super) fn new((issuer, ca_certificate, public_hosts_only): Named, keys: &[Jwk], read_at: Timestamp) -> Self {
        let keys = keys.iter().filter_map(|key| serde_json::to_string(key).ok()).collect();
        Self { issuer, ca_certificate, public_hosts_only, read_at, keys }
    }

    /// The keys as they are used.
    pub(super) fn keys(&self) -> Vec<IssuerKey> {
        let key = |text: &String| IssuerKey::of(&serde_json::from_str(text).ok()?);
        self.keys.iter().filter_map(key).collect()
    }
}
