//! Reading an issuer's keys.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use rustls::ClientConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::attestation::bearer::{IssuerKey, TokenRules};
use crate::client::ClientLimits;
use crate::outbound::{self, OutboundError};

/// Why an issuer's keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// They cannot be read.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// It took too long.
    #[error("the issuer did not answer within {0} s")]
    TimedOut(u64),
    /// It is not JSON of the right shape.
    #[error("what is at {url} is not what it should be: {reason}")]
    Shape {
        /// What was asked.
        url: String,
        /// Why.
        reason: String,
    },
    /// It is not what it was asked as.
    #[error("the configuration of {asked} is that of another issuer")]
    OtherIssuer {
        /// Which was asked.
        asked: String,
    },
    /// None of its keys can be used.
    #[error("{url} has no key that signs tokens")]
    NoKeys {
        /// Where they are.
        url: String,
    },
    /// It was not reached before, or not for too long.
    #[error("its keys cannot be had: {0}")]
    Away(String),
}

/// The part of an issuer's configuration that counts.
#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

/// Reads the keys of the issuer that the rules name: those that sign tokens.
pub(super) async fn keys(rules: &TokenRules) -> Result<Vec<Jwk>, FetchError> {
    let tls = outbound::trusting(rules.ca_certificate.as_deref())?;
    let base = rules.issuer.trim_end_matches('/');
    let asked = format!("{base}/.well-known/openid-configuration");
    let configuration: Configuration = get(&asked, &tls, &asked).await?;
    if configuration.issuer != rules.issuer {
        return Err(FetchError::OtherIssuer { asked: rules.issuer.clone() });
    }
    let set: JwkSet = get(&configuration.jwks_uri, &tls, &asked).await?;
    let keys: Vec<Jwk> = set.keys.into_iter().take(MOST_KEYS).filter(|key| IssuerKey::of(key).is_some()).collect();
    if keys.is_empty() { Err(FetchError::NoKeys { url: configuration.jwks_uri }) } else { Ok(keys) }
}

async fn get<T: DeserializeOwned>(url: &str, tls: &Arc<ClientConfig>, named: &str) -> Result<T, FetchError> {
    let bytes = outbound::get(url, tls, named, LIMITS).await?;
    let shape = |error: serde_json::Error| FetchError::Shape { url: url.to_owned(), reason: error.to_string() };
    serde_json::from_slice(&bytes).map_err(shape)
}

/// A device waits for this.
const LIMITS: ClientLimits =
    ClientLimits { connect: Duration::from_secs(5), silence: Duration::from_secs(5), answer_bytes: 256 * 1024 };
const MOST_KEYS: usize = 64;
