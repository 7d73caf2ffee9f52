//! Reading an issuer's keys.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Uri};
use jsonwebtoken::jwk::JwkSet;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::attestation::bearer::{IssuerKey, TokenRules};
use crate::client::tls::ClientTlsError;
use crate::client::{Client, ClientError, ClientLimits};
use crate::policy::http::address::is_public;
use crate::tls::provider;

/// Why an issuer's keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// An address is none of the web, or not one of TLS.
    #[error("{0} is no https:// address")]
    Address(String),
    /// Its name leads nowhere.
    #[error("{host} cannot be found: {reason}")]
    Name {
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
    /// It was not reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Its certificate authority is none.
    #[error(transparent)]
    Tls(#[from] ClientTlsError),
    /// The platform trusts nobody.
    #[error("this machine has no certificate authorities to trust: {0}")]
    Roots(String),
    /// It took too long.
    #[error("the issuer did not answer within {0} s")]
    TimedOut(u64),
    /// Its configuration leads into a network that is not public.
    #[error("the issuer's keys are said to be at {host}, which is at {address}, no public address")]
    Private {
        /// The host.
        host: String,
        /// Where it is.
        address: std::net::IpAddr,
    },
    /// It has said no.
    #[error("{url} answered with status {status}")]
    Status {
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
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

/// Reads the keys of the issuer that the rules name.
pub(super) async fn keys(rules: &TokenRules) -> Result<Vec<IssuerKey>, FetchError> {
    let tls = trusting(rules.ca_certificate.as_deref())?;
    let base = rules.issuer.trim_end_matches('/');
    let asked = format!("{base}/.well-known/openid-configuration");
    let configuration: Configuration = get(&asked, &tls, &asked).await?;
    if configuration.issuer != rules.issuer {
        return Err(FetchError::OtherIssuer { asked: rules.issuer.clone() });
    }
    let set: JwkSet = get(&configuration.jwks_uri, &tls, &asked).await?;
    let keys: Vec<IssuerKey> = set.keys.iter().take(MOST_KEYS).filter_map(IssuerKey::of).collect();
    if keys.is_empty() { Err(FetchError::NoKeys { url: configuration.jwks_uri }) } else { Ok(keys) }
}

/// Reads what is at an address. An operator has named the issuer's host, wherever that is; another one, which only the issuer
/// has named, must be public.
async fn get<T: DeserializeOwned>(url: &str, tls: &Arc<ClientConfig>, named: &str) -> Result<T, FetchError> {
    let wrong = || FetchError::Address(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let host = uri.host().filter(|_| uri.scheme_str() == Some("https")).ok_or_else(wrong)?;
    let is_named = named.parse::<Uri>().ok().and_then(|named| named.host().map(|named| named == host)) == Some(true);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let unknown = |reason: String| FetchError::Name { host: host.to_owned(), reason };
    let found = tokio::net::lookup_host((bare, uri.port_u16().unwrap_or(443))).await;
    let addresses: Vec<_> = found.map_err(|error| unknown(error.to_string()))?.take(MOST_ADDRESSES).collect();
    let mut last = unknown("it has no address".to_owned());
    for address in addresses {
        if !is_named && !is_public(address.ip()) {
            last = FetchError::Private { host: host.to_owned(), address: address.ip() };
            continue;
        }
        let client = Client::connect_within(address, bare, Arc::clone(tls), LIMITS).await;
        let mut client = match client {
            Ok(client) => client,
            Err(error) => {
                last = error.into();
                continue;
            }
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut headers = HeaderMap::new();
        if let Some(authority) = uri.authority().and_then(|authority| authority.as_str().parse().ok()) {
            headers.insert(http::header::HOST, authority);
        }
        let answer = client.send(Method::GET, path, headers, Vec::new()).await?;
        if answer.status != 200 {
            return Err(FetchError::Status { url: url.to_owned(), status: answer.status.as_u16() });
        }
        return serde_json::from_slice(&answer.bytes)
            .map_err(|source| ClientError::Json { status: answer.status, source }.into());
    }
    Err(last)
}

/// A client that trusts one authority, or those of the platform.
fn trusting(ca_certificate: Option<&str>) -> Result<Arc<ClientConfig>, FetchError> {
    if let Some(pem) = ca_certificate {
        return Ok(crate::client::tls::client(pem.as_bytes(), None)?);
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(FetchError::Roots(why));
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(ClientTlsError::from)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A device waits for this.
const LIMITS: ClientLimits =
    ClientLimits { connect: Duration::from_secs(5), silence: Duration::from_secs(5), answer_bytes: 256 * 1024 };
const MOST_ADDRESSES: usize = 4;
const MOST_KEYS: usize = 64;
