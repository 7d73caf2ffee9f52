//! Reading what is at an address that an operator has named, or that such a place names: keys of identity providers,
//! revocation lists.
//!
//! Over TLS only, but for what is signed and whose address an operator has so named (a revocation list), with limits, never
//! after a redirection. An operator's own host may be anywhere, also in a private network; one that an operator of a single id
//! scope has named, or only an answer, must be public: so neither leads this server to its neighbours. How machines are
//! found, judged and asked is in [`landfall_net`]; here is who may name them, and who may read why one was not read.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Uri};
use landfall_domain::secret::address;
use landfall_net::outside::{Outside, OutsideError, Reach};
use landfall_net::tls;
use rustls::ClientConfig;

use crate::client::tls::ClientTlsError;
use crate::client::{ClientError, ClientLimits};

/// Why it cannot be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum OutboundError {
    /// An address is none of the web, or not one of TLS.
    #[error("{0} is no https:// address")]
    Address(String),
    /// It was not found, may not be asked, or did not answer.
    #[error(transparent)]
    Outside(#[from] OutsideError),
    /// Its certificate authority is none.
    #[error(transparent)]
    Tls(#[from] ClientTlsError),
    /// The platform trusts nobody.
    #[error("this machine has no certificate authorities to trust: {0}")]
    Roots(String),
    /// It has said no.
    #[error("{url} answered with status {status}")]
    Status {
        /// What was asked.
        url: String,
        status: u16,
    },
}

impl OutboundError {
    /// What whoever operates one id scope may read of it: nothing of where a name leads in the server's networks, nor of what
    /// answers there. The log has the rest.
    pub fn for_scope(&self, public_hosts_only: bool) -> String {
        let outside = match self {
            Self::Address(_) | Self::Roots(_) | Self::Tls(_) | Self::Status { .. } => return self.to_string(),
            Self::Outside(outside) => outside,
        };
        let what = match outside {
            OutsideError::Client(ClientError::TooLarge(_) | ClientError::ServerName(_)) => return self.to_string(),
            // Nobody has called anywhere but at a public address.
            OutsideError::Client(ClientError::Tls { server, source, .. }) if public_hosts_only => {
                return format!("no TLS connection to {server}: {source}");
            }
            _ if public_hosts_only => "its host cannot be reached at a public address",
            _ => "its host cannot be reached",
        };
        what.to_owned()
    }
}

/// What is at `url`. `named` is the address that an operator of this server has named, if one has: its host may be anywhere.
///
/// # Errors
///
/// [`OutboundError`].
pub async fn get(
    url: &str,
    tls: &Arc<ClientConfig>,
    named: Option<&str>,
    limits: ClientLimits,
) -> Result<Bytes, OutboundError> {
    let wrong = || OutboundError::Address(address::masked(url).into_owned());
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let host = uri.host().filter(|_| uri.scheme_str() == Some("https")).ok_or_else(wrong)?;
    let named: Option<Uri> = named.and_then(|named| named.parse().ok());
    let reach = if named.is_some_and(|named| named.host() == Some(host)) { Reach::Anywhere } else { Reach::Public };
    fetch(uri, &Outside { tls: Some(Arc::clone(tls)), reach, limits }).await
}

/// What is at an address that an operator has named and that may be one of http://, where what is there proves itself. Over
/// TLS, this authority (PEM) is trusted, or those of the platform. It may be anywhere, or must be public.
///
/// # Errors
///
/// [`OutboundError`].
pub async fn get_signed(
    url: &str,
    ca_certificate: Option<&str>,
    public_hosts_only: bool,
    limits: ClientLimits,
) -> Result<Bytes, OutboundError> {
    let wrong = || OutboundError::Address(address::masked(url).into_owned());
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    uri.host().ok_or_else(wrong)?;
    let tls = match uri.scheme_str() {
        Some("https") => Some(trusting(ca_certificate)?),
        Some("http") => None,
        _ => return Err(wrong()),
    };
    let reach = if public_hosts_only { Reach::Public } else { Reach::Anywhere };
    fetch(uri, &Outside { tls, reach, limits }).await
}

async fn fetch(uri: Uri, outside: &Outside) -> Result<Bytes, OutboundError> {
    let url = address::masked(&uri.to_string()).into_owned();
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = uri;
    let answer = outside.exchange(request).await?;
    if answer.status == 200 {
        Ok(answer.bytes)
    } else {
        Err(OutboundError::Status { url, status: answer.status.as_u16() })
    }
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
    let roots = tls::roots_of_platform().map_err(|error| OutboundError::Roots(error.to_string()))?;
    Ok(Arc::new(tls::config(roots, None).map_err(ClientTlsError::from)?))
}
