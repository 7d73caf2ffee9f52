//! Fetches an issuer's keys.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use landfall_attestation::bearer::{IssuerKey, TokenRules};
use landfall_domain::secret::address;
use rustls::ClientConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::ClientLimits;
use crate::outbound::{self, OutboundError};

/// Why an issuer's keys cannot be had.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum FetchError {
    /// They cannot be fetched.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The issuer took too long.
    #[error("the issuer did not answer within {0} s")]
    TimedOut(u64),
    /// The answer is not JSON of the right form.
    #[error("what is at {url} is not what it should be: {reason}")]
    Shape {
        /// The address of the answer.
        url: String,
        reason: String,
    },
    /// The configuration is that of another issuer.
    #[error("the configuration of {asked} is that of another issuer")]
    OtherIssuer {
        /// The issuer that was asked.
        asked: String,
    },
    /// None of its keys can be used.
    #[error("{url} has no key that signs tokens")]
    NoKeys {
        /// The address of the keys.
        url: String,
    },
    /// The issuer was not reached before, or not for too long.
    #[error("its keys cannot be had: {0}")]
    Away(String),
    /// No known key fits, and the issuer was asked too short a time ago.
    #[error("none of the keys that it had published fits, and it can be asked for newer ones in {seconds} s")]
    NotYet { seconds: u64 },
}

impl FetchError {
    /// The text that an operator of one id scope may read.
    pub(super) fn for_scope(&self, public_hosts_only: bool) -> String {
        match self {
            Self::Outbound(error) => error.for_scope(public_hosts_only),
            // The text does not say whether a host does not answer or does not exist.
            Self::TimedOut(_) if public_hosts_only => "its host cannot be reached at a public address".to_owned(),
            Self::TimedOut(_) => "its host cannot be reached".to_owned(),
            _ => self.to_string(),
        }
    }
}

/// The part of an issuer's configuration that is used.
#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

/// The keys that an issuer publishes. Members that are not keys, or of an unknown kind, are ignored (RFC 7517, 5).
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl KeySet {
    fn signing(self, issuer: &str) -> Vec<Jwk> {
        let mut keys = Vec::new();
        for key in self.keys.into_iter().take(MOST_KEYS) {
            match serde_json::from_value::<Jwk>(key) {
                Ok(key) => keys.extend(IssuerKey::of(&key).is_some().then_some(key)),
                Err(error) => tracing::debug!(issuer, %error, "an entry of an issuer's keys is passed over"),
            }
        }
        keys
    }
}

/// Fetches the keys of the issuer that the rules name. Only keys that sign tokens are returned.
pub(super) async fn keys(rules: &TokenRules) -> Result<Vec<Jwk>, FetchError> {
    let tls = outbound::trusting(rules.ca_certificate.as_deref())?;
    let base = rules.issuer.trim_end_matches('/');
    let asked = format!("{base}/.well-known/openid-configuration");
    let named = (!rules.public_hosts_only).then_some(asked.as_str());
    let configuration: Configuration = get(&asked, &tls, named).await?;
    if configuration.issuer != rules.issuer {
        return Err(FetchError::OtherIssuer { asked: rules.issuer.clone() });
    }
    let set: KeySet = get(&configuration.jwks_uri, &tls, named).await?;
    let keys = set.signing(&rules.issuer);
    if keys.is_empty() {
        Err(FetchError::NoKeys { url: address::masked(&configuration.jwks_uri).into_owned() })
    } else {
        Ok(keys)
    }
}

async fn get<T: DeserializeOwned>(url: &str, tls: &Arc<ClientConfig>, named: Option<&str>) -> Result<T, FetchError> {
    let bytes = outbound::get(url, tls, named, LIMITS).await?;
    let shape = |error: serde_json::Error| FetchError::Shape {
        url: address::masked(url).into_owned(),
        reason: error.to_string(),
    };
    serde_json::from_slice(&bytes).map_err(shape)
}

/// The limits are small because a device waits for the answer.
const LIMITS: ClientLimits = ClientLimits {
    connect: Duration::from_secs(5),
    silence: Duration::from_secs(5),
    answer_bytes: 256 * 1024,
    ..ClientLimits::USUAL
};
const MOST_KEYS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_odd_entry_of_a_key_set_takes_no_other_with_it() {
        let good = r#"{"kty": "EC", "crv": "P-256", "x": "z68wXkHFYGZnGkomcmnFwQ9Gd_bSku_bQrS6opLtSWA",
            "y": "t-gu_8XTWRABUqTfjfRoFYU9JOiIKAk2X3BOO9_uFxk", "kid": "k1", "alg": "ES256"}"#;
        for odd in [
            good.replace("\"k1\"", "7").as_str(),
            r#"{"kty": "later"}"#,
            r#"{"kty": "EC", "crv": "P-256"}"#,
            r#"{"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"}"#,
            r#"{"kty": ["EC"]}"#,
            "{}",
            "null",
            "\"text\"",
        ] {
            for text in
                [format!(r#"{{"keys": [{odd}, {good}]}}"#), format!(r#"{{"keys": [{good}, {odd}], "more": 1}}"#)]
            {
                let set: KeySet = serde_json::from_str(&text).unwrap();
                let kids: Vec<_> = set.signing("i").into_iter().map(|key| key.common.key_id).collect();
                assert_eq!(kids, [Some("k1".to_owned())], "{odd}");
            }
        }
    }
}
