//! What an enrollment demands of an identity provider's tokens.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an enrollment demands of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRules {
    /// The issuer's URL, exactly as the issuer writes it in its tokens (`iss`).
    pub issuer: String,
    /// The audiences: a token must name one of these.
    pub audiences: Vec<String>,
    /// The claim that holds the registration id: a name, or a path of names with dots between them.
    pub registration_id_claim: String,
    /// Claims that must have these values.
    pub required_claims: BTreeMap<String, Value>,
    /// The accepted signature algorithms. Empty: all of [`TokenAlgorithm::ALL`].
    #[serde(default)]
    pub algorithms: Vec<TokenAlgorithm>,
    /// The type (`typ`) that tokens must have, such as `at+jwt` (RFC 9068). `None`: any type.
    #[serde(default)]
    pub token_type: Option<String>,
    /// The longest accepted lifetime, from `iat` to `exp`. `None`: any lifetime.
    #[serde(default)]
    pub max_lifetime_minutes: Option<u64>,
    /// The certificate authority (PEM) that is trusted for connections to the issuer. `None`: those of the platform.
    pub ca_certificate: Option<String>,
    /// Whether the issuer must be at a public address. True when an operator of one id scope named the issuer: that
    /// operator must not learn through it what answers in the server's own networks.
    #[serde(default)]
    pub public_hosts_only: bool,
}

/// The signature algorithms of tokens: those that use key pairs (RFC 7518, section 3.1; RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the standards")]
pub enum TokenAlgorithm {
    ES256,
    ES384,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    EdDSA,
}

/// The text does not name a signature algorithm that uses key pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is none of ES256, ES384, RS256, RS384, RS512, PS256, PS384, PS512, EdDSA")]
pub struct UnknownAlgorithm;

impl TokenAlgorithm {
    /// All accepted algorithms.
    pub const ALL: [Self; 9] = [
        Self::ES256,
        Self::ES384,
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::EdDSA,
    ];

    /// The name of the algorithm in a token's header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::EdDSA => "EdDSA",
        }
    }
}

impl fmt::Display for TokenAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TokenAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or(UnknownAlgorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_read_and_kept_by_its_name() {
        for known in TokenAlgorithm::ALL {
            assert_eq!(known.as_str().parse(), Ok(known));
            assert_eq!(serde_json::to_value(known).unwrap(), known.as_str());
            assert!(UnknownAlgorithm.to_string().contains(known.as_str()));
        }
        for other in ["none", "HS256", "ES256K", "es256", ""] {
            assert_eq!(other.parse::<TokenAlgorithm>(), Err(UnknownAlgorithm), "{other}");
        }
    }
}
