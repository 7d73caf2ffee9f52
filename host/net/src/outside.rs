//! A request to a server that is given by name.
//!
//! There are four steps, each bounded: the name is resolved; each address is checked ([`Reach`]); the first permitted
//! address that answers, TLS included, is used; the request is sent and the whole answer is read. The connection goes
//! to the address that was checked, so a name that resolves to another address a moment later (DNS rebinding) has no
//! effect. An answer of any status is a result, including a redirect. Redirects are not followed here; the caller
//! decides.
//!
//! When no address answers, the error is the most informative one: an address that was refused by its rule comes
//! first, because then somebody tries to lead this server into a private network, or an operator made a mistake.
//! Otherwise it is the error of the attempt that got furthest.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Uri};
use rustls::ClientConfig;

use crate::address::is_public;
use crate::client::{Answer, Client, ClientError, ClientLimits, Driver, RequestBody};

/// Which addresses may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Any address: the operator of the server chose the host.
    Anywhere,
    /// Public addresses only ([`is_public`]): somebody else chose the host.
    Public,
}

impl Reach {
    /// Whether an address may be connected to.
    pub fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Public => is_public(address),
        }
    }
}

/// Settings for requests to other servers.
#[derive(Clone, Debug)]
pub struct Outside {
    /// The TLS settings; absent to connect without TLS, for content that proves itself, such as a signed list.
    pub tls: Option<Arc<ClientConfig>>,
    /// Which addresses may be connected to.
    pub reach: Reach,
    /// The limits. The time to connect applies to each address.
    pub limits: ClientLimits,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum OutsideError {
    /// The address names no host.
    #[error("an address without a host")]
    NoHost,
    /// The name cannot be resolved.
    #[error("{host} cannot be found: {source}")]
    Name { host: String, source: std::io::Error },
    /// The name exists, but has no address.
    #[error("{host} cannot be found: it has no address")]
    NoAddress { host: String },
    /// The address is not public, and only public ones are permitted.
    #[error("{host} is at {address}, no public address")]
    Private {
        host: String,
        /// The refused address.
        address: IpAddr,
    },
    /// The server was not reached, or the exchange failed.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Outside {
    /// Sends one request on its own connection and reads the whole answer. The address of the request is absolute; a
    /// missing port means that of the protocol. Dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// An [`OutsideError`]. An answer with an error status is not an error.
    pub async fn exchange(&self, request: Request<Bytes>) -> Result<Answer, OutsideError> {
        let host = request.uri().host().ok_or(OutsideError::NoHost)?.to_owned();
        let port = request.uri().port_u16().unwrap_or(if self.tls.is_some() { HTTPS } else { HTTP });
        let (mut client, connection) = self.open(&host, port).await?;
        let answered = client.send_request(on_the_wire(request).map_err(ClientError::from)?);
        // Both run in one task: when this future is dropped, the connection is closed.
        let (mut connection, mut answered) = (connection, std::pin::pin!(answered));
        let answer = tokio::select! {
            biased;
            answer = &mut answered => answer,
            () = &mut connection => answered.await,
        };
        Ok(answer?)
    }

    /// Opens a connection for several requests. `host` is a name or an address; an IPv6 address may have brackets.
    ///
    /// # Errors
    ///
    /// An [`OutsideError`].
    pub async fn connect(&self, host: &str, port: u16) -> Result<Client, OutsideError> {
        let (client, driver) = self.open(host, port).await?;
        tokio::spawn(driver);
        Ok(client)
    }

    async fn open(&self, host: &str, port: u16) -> Result<(Client, Driver), OutsideError> {
        let mut refused = None;
        let mut furthest = None;
        for address in resolved(host, port, self.limits.connect).await? {
            if !self.reach.allows(address.ip()) {
                refused = Some(address.ip());
                continue;
            }
            match Client::open(address, bare(host), self.tls.clone(), self.limits).await {
                Ok(open) => return Ok(open),
                Err(error) => furthest = Some(further(furthest, error)),
            }
        }
        Err(match (refused, furthest) {
            (Some(address), _) => OutsideError::Private { host: host.to_owned(), address },
            (None, Some(error)) => error.into(),
            (None, None) => OutsideError::NoAddress { host: host.to_owned() },
        })
    }
}

/// Removes the brackets of an IPv6 address, for TLS and the resolver; other hosts are returned unchanged.
pub fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// The addresses of a name, at most [`MOST_ADDRESSES`].
async fn resolved(host: &str, port: u16, limit: Duration) -> Result<Vec<SocketAddr>, OutsideError> {
    let found = tokio::time::timeout(limit, tokio::net::lookup_host((bare(host), port))).await;
    let found = found.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut)));
    let found = found.map_err(|source| OutsideError::Name { host: host.to_owned(), source })?;
    Ok(found.take(MOST_ADDRESSES).collect())
}

/// The more informative of two errors: a failed TLS handshake tells more than a connection that was not made.
fn further(before: Option<ClientError>, now: ClientError) -> ClientError {
    match before {
        Some(before) if !matches!(before, ClientError::Connect { .. }) => match now {
            ClientError::Connect { .. } => before,
            now => now,
        },
        _ => now,
    }
}

/// The request in the form of HTTP/1.1: only the path, and the host in a header, without the user info that a URL may
/// contain.
fn on_the_wire(request: Request<Bytes>) -> Result<Request<RequestBody>, http::Error> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let authority = parts.uri.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let mut headers = http::HeaderMap::with_capacity(parts.headers.len() + 1);
    headers.insert(HOST, HeaderValue::from_str(host)?);
    for (name, value) in &parts.headers {
        headers.append(name, value.clone());
    }
    parts.uri = Uri::from(path);
    parts.headers = headers;
    Ok(Request::from_parts(parts, RequestBody::from(body)))
}

/// How many addresses of one name are tried.
pub const MOST_ADDRESSES: usize = 8;
/// The port of https (RFC 9110, section 4.2.2).
pub const HTTPS: u16 = 443;
/// The port of http (RFC 9110, section 4.2.1).
const HTTP: u16 = 80;

#[cfg(test)]
mod tests;
