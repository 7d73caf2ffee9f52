//! A small HTTPS client: one connection, one request at a time.
//!
//! It has no connection pool, follows no redirects and retries nothing, so that exactly the given request is sent.
//! Everything is bounded: the time to connect, the time without progress, and the sizes of the head and body of an
//! answer. It connects to an address. A caller that has only a name uses [`crate::outside`], which resolves the name
//! and checks its addresses.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

mod body;

pub use body::{FileUpload, RequestBody};

/// A connection to a server.
pub struct Client {
    sender: SendRequest<RequestBody>,
    host: HeaderValue,
    limits: ClientLimits,
}

/// The limits of a client.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// The time to connect, the TLS handshake included.
    pub connect: Duration,
    /// The maximum time without progress: no byte of the request is sent and no answer has arrived.
    pub silence: Duration,
    /// The maximum size of the head of an answer, in bytes; at least 8192. It has at most 100 header lines.
    pub head_bytes: usize,
    /// The maximum size of the body of an answer, in bytes.
    pub answer_bytes: usize,
}

/// The future that drives a connection. It ends when the client is dropped, or with an error that the client reports
/// too.
pub(crate) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The answer of a server.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The whole body.
    pub bytes: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ClientError {
    /// No server listens there, or the network does not reach it.
    #[error("nothing answers at {address}: {source}")]
    Connect { address: SocketAddr, source: std::io::Error },
    /// The TLS handshake failed.
    #[error("no TLS connection to {server} at {address}: {source}")]
    Tls {
        address: SocketAddr,
        /// The expected server name.
        server: String,
        source: std::io::Error,
    },
    /// The name cannot be in a certificate.
    #[error("{0:?} is not a server's name")]
    ServerName(String),
    /// A time limit was reached.
    #[error("{what} took longer than {} seconds", limit.as_secs())]
    TimedOut {
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The answer is too large.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection failed, or the other end does not speak HTTP.
    #[error("the connection broke: {}", with_causes(.0))]
    Broken(#[from] hyper::Error),
    /// The request is not valid.
    #[error("this is no HTTP request: {0}")]
    Request(#[from] http::Error),
    /// The body could not be read.
    #[error("the answer's body could not be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// The answer is not the expected JSON.
    #[error("the answer (status {status}) is not what was expected: {source}")]
    Json {
        status: StatusCode,
        /// The error of the JSON reader.
        source: serde_json::Error,
    },
}

impl ClientError {
    /// Whether the head or the trailers of the answer exceeded the limit.
    pub fn is_head_too_large(&self) -> bool {
        match self {
            Self::Broken(error) => error.is_parse_too_large(),
            Self::Body(error) => error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large),
            _ => false,
        }
    }
}

impl Client {
    /// Connects, with the usual limits. `server` is the name or address that the certificate of the server must be
    /// for.
    ///
    /// # Errors
    ///
    /// [`ClientError::Connect`], [`ClientError::Tls`] or [`ClientError::TimedOut`].
    pub async fn connect(address: SocketAddr, server: &str, tls: Arc<ClientConfig>) -> Result<Self, ClientError> {
        Self::connect_within(address, server, tls, ClientLimits::default()).await
    }

    /// Connects with other limits.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`].
    pub async fn connect_within(
        address: SocketAddr,
        server: &str,
        tls: Arc<ClientConfig>,
        limits: ClientLimits,
    ) -> Result<Self, ClientError> {
        let (client, driver) = Self::open(address, server, Some(tls), limits).await?;
        tokio::spawn(driver);
        Ok(client)
    }

    /// Uses a socket that is connected already.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`].
    pub async fn over(
        socket: TcpStream,
        address: SocketAddr,
        server: &str,
        tls: Arc<ClientConfig>,
        limits: ClientLimits,
    ) -> Result<Self, ClientError> {
        let (client, driver) = Self::within(limits, Self::shake(socket, address, server, tls, limits)).await?;
        tokio::spawn(driver);
        Ok(client)
    }

    /// Connects, and returns the future that drives the connection to the caller. Connections without TLS are for
    /// content that proves itself, such as a signed list; `server` is then only the value of the `Host` header.
    pub(crate) async fn open(
        address: SocketAddr,
        server: &str,
        tls: Option<Arc<ClientConfig>>,
        limits: ClientLimits,
    ) -> Result<(Self, Driver), ClientError> {
        let Some(tls) = tls else {
            let host = host(server)?;
            return Self::within(limits, async { Self::speak(reach(address).await?, host, limits).await }).await;
        };
        let socket = Self::within(limits, reach(address)).await?;
        Self::within(limits, Self::shake(socket, address, server, tls, limits)).await
    }

    async fn shake(
        socket: TcpStream,
        address: SocketAddr,
        server: &str,
        tls: Arc<ClientConfig>,
        limits: ClientLimits,
    ) -> Result<(Self, Driver), ClientError> {
        let name = ServerName::try_from(server.to_owned()).map_err(|_| ClientError::ServerName(server.to_owned()))?;
        let host = host(server)?;
        socket.set_nodelay(true).map_err(|source| ClientError::Connect { address, source })?;
        let failed = |source| ClientError::Tls { address, server: server.to_owned(), source };
        let stream = TlsConnector::from(tls).connect(name, socket).await.map_err(failed)?;
        Self::speak(stream, host, limits).await
    }

    async fn speak(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        host: HeaderValue,
        limits: ClientLimits,
    ) -> Result<(Self, Driver), ClientError> {
        let mut http = http1::Builder::new();
        http.max_buf_size(limits.head_bytes.max(LEAST_HEAD_BYTES));
        let (sender, connection) = http.handshake(TokioIo::new(stream)).await?;
        Ok((Self { sender, host, limits }, Box::pin(async move { drop(connection.await) })))
    }

    async fn within<T>(
        limits: ClientLimits,
        connecting: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let connected = tokio::time::timeout(limits.connect, connecting).await;
        connected.map_err(|_| ClientError::TimedOut { what: "connecting", limit: limits.connect })?
    }

    /// Sends a request and waits for the whole answer. `path` is the target with its query.
    ///
    /// # Errors
    ///
    /// A [`ClientError`]. An answer with an error status is not an error.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: impl Into<RequestBody>,
    ) -> Result<Answer, ClientError> {
        let mut request = Request::builder().method(method).uri(path).body(body.into())?;
        *request.headers_mut() = headers;
        self.send_request(request).await
    }

    /// Sends a request unchanged; only a missing `Host` is added.
    ///
    /// # Errors
    ///
    /// As [`Client::send`].
    pub async fn send_request(&mut self, mut request: Request<RequestBody>) -> Result<Answer, ClientError> {
        let sent = request.body().sent();
        request.headers_mut().entry(HOST).or_insert_with(|| self.host.clone());
        let answer_bytes = self.limits.answer_bytes;
        let silence = self.limits.silence;
        let exchange = async {
            self.sender.ready().await?;
            let (head, body) = self.sender.send_request(request).await?.into_parts();
            let whole = Limited::new(body, answer_bytes).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    ClientError::TooLarge(answer_bytes)
                } else {
                    ClientError::Body(error)
                }
            })?;
            Ok(Answer { status: head.status, headers: head.headers, bytes: whole.to_bytes() })
        };
        while_it_moves(exchange, &sent, silence).await
    }

    /// Whether the other end has closed the connection.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

async fn reach(address: SocketAddr) -> Result<TcpStream, ClientError> {
    let socket = TcpStream::connect(address).await.map_err(|source| ClientError::Connect { address, source })?;
    socket.set_nodelay(true).map_err(|source| ClientError::Connect { address, source })?;
    Ok(socket)
}

/// The `Host` header for a server. An IPv6 address has brackets there (RFC 9110, section 7.2).
fn host(server: &str) -> Result<HeaderValue, ClientError> {
    let bare = server.contains(':') && !server.starts_with('[');
    let host = if bare { format!("[{server}]") } else { server.to_owned() };
    HeaderValue::from_str(&host).map_err(|_| ClientError::ServerName(server.to_owned()))
}

impl Answer {
    /// Parses the body as JSON.
    ///
    /// # Errors
    ///
    /// [`ClientError::Json`].
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.bytes).map_err(|source| ClientError::Json { status: self.status, source })
    }

    /// A header as text; `None` if it is missing or not text.
    pub fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the content type is JSON of any kind.
    pub fn says_json(&self) -> bool {
        self.header(CONTENT_TYPE).is_some_and(|kind| kind.contains("json"))
    }
}

/// Headers from constant texts; a text that is not a valid header is left out.
pub fn headers(all: &[(&str, &str)]) -> HeaderMap {
    let parsed = |(name, value): &(&str, &str)| {
        Some((http::HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
    };
    all.iter().filter_map(parsed).collect()
}

impl ClientLimits {
    /// The usual limits.
    pub const USUAL: Self = Self {
        connect: Duration::from_secs(10),
        silence: Duration::from_secs(60),
        head_bytes: 408 << 10,
        answer_bytes: 16 << 20,
    };
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self::USUAL
    }
}

/// Waits for `exchange`; fails when during a whole `limit` no byte of the body was sent and there is still no answer.
async fn while_it_moves<T>(
    exchange: impl Future<Output = Result<T, ClientError>>,
    sent: &AtomicU64,
    limit: Duration,
) -> Result<T, ClientError> {
    let mut exchange = std::pin::pin!(exchange);
    loop {
        let before = sent.load(Ordering::Relaxed);
        if let Ok(result) = tokio::time::timeout(limit, exchange.as_mut()).await {
            return result;
        }
        if sent.load(Ordering::Relaxed) == before {
            return Err(ClientError::TimedOut { what: "the answer", limit });
        }
    }
}

/// The text of an error of hyper with its causes, which hyper itself leaves out.
fn with_causes(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The minimum that hyper accepts.
const LEAST_HEAD_BYTES: usize = 8 << 10;

#[cfg(test)]
pub(crate) mod tests;
