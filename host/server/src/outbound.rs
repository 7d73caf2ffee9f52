//! Reading what is at an address that an operator has named, or that such a place names: keys of identity providers,
//! revocation lists.
//!
//! Over TLS only, but for what is signed and whose address an operator has so named (a revocation list), with limits, never
//! after a redirection. An operator's own host may be anywhere, also in a private network; one that an operator of a single id
//! scope has named, or only an answer, must be public: so neither leads this server to its neighbours.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Method, Uri};
use landfall_domain::secret::address;
use landfall_policy::http::address::is_public;
use rustls::{ClientConfig, RootCertStore};

use crate::client::tls::ClientTlsError;
use crate::client::{Client, ClientError, ClientLimits};
use crate::tls::provider;

/// Why it cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
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
    /// It leads into a network that is not public.
    #[error("{host} is at {address}, no public address")]
    Private {
        /// The host.
        host: String,
        /// Where it is.
        address: IpAddr,
    },
    /// It has said no.
    #[error("{url} answered with status {status}")]
    Status {
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
    },
}

impl OutboundError {
    /// What whoever operates one id scope may read of it: nothing of where a name leads in the server's networks, nor of what
    /// answers there. The log has the rest.
    pub fn for_scope(&self, public_hosts_only: bool) -> String {
        let what = match self {
            Self::Address(_) | Self::Roots(_) | Self::Tls(_) | Self::Status { .. } => return self.to_string(),
            Self::Client(ClientError::TooLarge(_) | ClientError::ServerName(_)) => return self.to_string(),
            // Nobody has called anywhere but at a public address.
            Self::Client(ClientError::Tls { server, source, .. }) if public_hosts_only => {
                return format!("no TLS connection to {server}: {source}");
            }
            Self::Name { .. } | Self::Private { .. } | Self::Client(_) if public_hosts_only => {
                "its host cannot be reached at a public address"
            }
            Self::Name { .. } | Self::Private { .. } | Self::Client(_) => "its host cannot be reached",
        };
        what.to_owned()
    }
}

/// What is at `url`. `named` is the address that an operator of this server has named, if one has: its host may be anywhere.
///
/// # Errors
///
/// [`OutboundError`], of the last of its addresses.
pub async fn get(
    url: &str,
    tls: &Arc<ClientConfig>,
    named: Option<&str>,
    limits: ClientLimits,
) -> Result<bytes::Bytes, OutboundError> {
    let wrong = || OutboundError::Address(address::masked(url).into_owned());
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let host = uri.host().filter(|_| uri.scheme_str() == Some("https")).ok_or_else(wrong)?;
    fetch(&uri, host, Some(tls), named, limits).await
}

/// What is at an address that an operator has named and that may be one of http://, where what is there proves itself. Over
/// TLS, this authority (PEM) is trusted, or those of the platform. It may be anywhere, or must be public.
///
/// # Errors
///
/// [`OutboundError`], of the last of its addresses.
pub async fn get_signed(
    url: &str,
    ca_certificate: Option<&str>,
    public_hosts_only: bool,
    limits: ClientLimits,
) -> Result<bytes::Bytes, OutboundError> {
    let wrong = || OutboundError::Address(address::masked(url).into_owned());
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let host = uri.host().ok_or_else(wrong)?;
    let tls = match uri.scheme_str() {
        Some("https") => Some(trusting(ca_certificate)?),
        Some("http") => None,
        _ => return Err(wrong()),
    };
    fetch(&uri, host, tls.as_ref(), (!public_hosts_only).then_some(url), limits).await
}

async fn fetch(
    uri: &Uri,
    host: &str,
    tls: Option<&Arc<ClientConfig>>,
    named: Option<&str>,
    limits: ClientLimits,
) -> Result<bytes::Bytes, OutboundError> {
    let named: Option<Uri> = named.and_then(|named| named.parse().ok());
    let is_named = named.is_some_and(|named| named.host() == Some(host));
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let unknown = |reason: String| OutboundError::Name { host: host.to_owned(), reason };
    let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
    let found = tokio::net::lookup_host((bare, port)).await;
    let addresses: Vec<_> = found.map_err(|error| unknown(error.to_string()))?.take(MOST_ADDRESSES).collect();
    let mut last = unknown("it has no address".to_owned());
    for address in addresses {
        if !is_named && !is_public(address.ip()) {
            last = OutboundError::Private { host: host.to_owned(), address: address.ip() };
            continue;
        }
        let client = match tls {
            Some(tls) => Client::connect_within(address, bare, Arc::clone(tls), limits).await,
            None => Client::connect_plain(address, host, limits).await,
        };
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
            return Err(OutboundError::Status {
                url: address::masked(&uri.to_string()).into_owned(),
                status: answer.status.as_u16(),
            });
        }
        return Ok(answer.bytes);
    }
    Err(last)
}

/// A client that trusts one authority (PEM), or those of the platform.
///
/// # Errors
///
/// The text is no certificate, or the platform trusts nobody.
pub fn trusting(ca_certificate: Option<&str>) -> Result<Arc<ClientConfig>, OutboundError> {
    if let Some(pem) = ca_certificate {
        return Ok(crate::client::tls::client(pem.as_bytes(), None)?);
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(OutboundError::Roots(why));
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(ClientTlsError::from)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

const MOST_ADDRESSES: usize = 4;
