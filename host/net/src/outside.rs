//! A request to a machine that is known by its name.
//!
//! Four steps, each bounded: the name is resolved; each of its addresses is judged ([`Reach`]); the first judged address that
//! answers, TLS included, is taken; the request is sent and the whole answer is read. The address that was judged is the one
//! connected to: a name that leads elsewhere a moment later leads nobody there. An answer of any status is an answer, a
//! redirection too, and it is the caller who looks at it; nothing is followed here.
//!
//! When no address answers, the error says what counts most: that an address was refused by its rule (only then is somebody
//! trying to lead this server to its neighbours, or an operator mistaken), or else the attempt that got furthest.

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

/// Which machines may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Any: the server's operator has named the host.
    Anywhere,
    /// Those at public addresses ([`is_public`]): somebody else has named the host.
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

/// How machines are asked.
#[derive(Clone, Debug)]
pub struct Outside {
    /// Whom to trust; none to speak without TLS, with what proves itself, such as a signed list.
    pub tls: Option<Arc<ClientConfig>>,
    /// Which machines may be asked.
    pub reach: Reach,
    /// The time to connect is that for each address.
    pub limits: ClientLimits,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum OutsideError {
    /// The address is none of a machine.
    #[error("an address without a host")]
    NoHost,
    /// The name leads nowhere.
    #[error("{host} cannot be found: {source}")]
    Name { host: String, source: std::io::Error },
    /// The name is known, and has no address.
    #[error("{host} cannot be found: it has no address")]
    NoAddress { host: String },
    /// It leads into a network that is not public, and may not.
    #[error("{host} is at {address}, no public address")]
    Private {
        host: String,
        /// Where it is.
        address: IpAddr,
    },
    /// It was not reached, or the exchange broke.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Outside {
    /// Sends one request on a connection of its own and reads its whole answer. The request's address is absolute; its port,
    /// where it has none, is that of the protocol. Nothing of the exchange outlives the future.
    ///
    /// # Errors
    ///
    /// An [`OutsideError`]; an answer of any status is none.
    pub async fn exchange(&self, request: Request<Bytes>) -> Result<Answer, OutsideError> {
        let host = request.uri().host().ok_or(OutsideError::NoHost)?.to_owned();
        let port = request.uri().port_u16().unwrap_or(if self.tls.is_some() { HTTPS } else { HTTP });
        let (mut client, connection) = self.open(&host, port).await?;
        let answered = client.send_request(on_the_wire(request).map_err(ClientError::from)?);
        // Both in one task: when this future is dropped, the connection is closed.
        let (mut connection, mut answered) = (connection, std::pin::pin!(answered));
        let answer = tokio::select! {
            biased;
            answer = &mut answered => answer,
            () = &mut connection => answered.await,
        };
        Ok(answer?)
    }

    /// A connection for several requests. `host` is a name or an address, an IPv6 address with brackets or without.
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

/// An IPv6 address without its brackets, as TLS and the resolver want it; anything else as it is.
pub fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// The addresses of a name that are tried.
async fn resolved(host: &str, port: u16, limit: Duration) -> Result<Vec<SocketAddr>, OutsideError> {
    let found = tokio::time::timeout(limit, tokio::net::lookup_host((bare(host), port))).await;
    let found = found.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut)));
    let found = found.map_err(|source| OutsideError::Name { host: host.to_owned(), source })?;
    Ok(found.take(MOST_ADDRESSES).collect())
}

/// Of two attempts the one that says more: where nothing answers, less was learnt than where TLS failed.
fn further(before: Option<ClientError>, now: ClientError) -> ClientError {
    match before {
        Some(before) if !matches!(before, ClientError::Connect { .. }) => match now {
            ClientError::Connect { .. } => before,
            now => now,
        },
        _ => now,
    }
}

/// The request as HTTP/1.1 has it: the path alone, and the host in a header, without the user that an address may name.
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

/// Addresses of one name that are tried.
pub const MOST_ADDRESSES: usize = 8;
/// The port of https (RFC 9110, section 4.2.2).
pub const HTTPS: u16 = 443;
/// The port of http (RFC 9110, section 4.2.1).
const HTTP: u16 = 80;

#[cfg(test)]
mod tests;
