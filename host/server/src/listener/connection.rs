//! The life of one connection, from its handshake to its end, with any protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use landfall_attestation::x509::{PresentedChain, for_the_log};
use landfall_domain::clock::Clock;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio_rustls::server::TlsStream;

use super::crowd::Standing;
use super::handshake::{Shaken, shake};
use super::{ConnectionInfo, Counts, Unusable};
use crate::config::ListenerLimits;
use crate::turns::Turns;

/// The protocol of a listener's connections, after TLS. The listener limits the number of connections, their age and
/// the time to close them. The protocol enforces the limits that only it can, such as the size of a request head or
/// the time between two requests.
pub trait Protocol: Send + Sync + 'static {
    /// Serves a connection to its end. Errors of a connection concern only its peer: they are counted, not reported.
    /// Returns the stream, which the listener closes. Dropping the future cuts the connection.
    fn serve(&self, connection: Connection) -> impl Future<Output = Stream> + Send;

    /// How long a pending exchange may continue after the connection has reached its maximum age.
    fn longest_exchange(&self) -> Duration {
        Duration::ZERO
    }
}

/// The stream of a connection.
pub type Stream = Box<TlsStream<TcpStream>>;

/// A connection to serve.
pub struct Connection {
    /// The stream after TLS.
    pub stream: Stream,
    /// What is known about the connection.
    pub info: Arc<ConnectionInfo>,
    /// Signals when it must end.
    pub ending: Ending,
    /// The listener's limits.
    pub limits: Arc<ListenerLimits>,
    /// The counters of the listener.
    pub counts: Arc<Counts>,
}

/// Signals the end of a connection: it is too old, or the server stops. A pending exchange may be finished.
pub struct Ending(oneshot::Receiver<()>);

impl Ending {
    /// Completes when no new exchange may begin.
    pub async fn begins(&mut self) {
        // The sender lives as long as the connection is served.
        if (&mut self.0).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The state that all connections of a listener share.
pub(super) struct Shared<P> {
    pub(super) tls: Arc<ServerConfig>,
    pub(super) protocol: P,
    pub(super) turns: Arc<Turns>,
    pub(super) counts: Arc<Counts>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) limits: Arc<ListenerLimits>,
    pub(super) clock: Arc<dyn Clock>,
}

/// Serves a connection to its end.
pub(super) async fn serve<P: Protocol>(shared: &Shared<P>, stream: TcpStream, peer: SocketAddr, standing: Standing) {
    let (stream, info) = match shake(shared, stream, peer, standing).await {
        Shaken::Done(stream, info) => (stream, info),
        Shaken::Told(socket) => return goodbye(shared, close(socket)).await,
        Shaken::Over => return,
    };
    let limits = Arc::clone(&shared.limits);
    let (end, ending) = oneshot::channel();
    let connection = Connection {
        stream,
        info,
        ending: Ending(ending),
        limits: Arc::clone(&limits),
        counts: Arc::clone(&shared.counts),
    };
    let mut served = std::pin::pin!(shared.protocol.serve(connection));
    let age = tokio::time::sleep(Duration::from_secs(limits.connection_minutes.saturating_mul(60)));
    let mut stop = shared.stop.clone();
    let drain = Duration::from_secs(limits.drain_seconds);
    let mut ended = tokio::select! {
        ended = &mut served => Some(ended),
        () = age => None,
        _ = stop.wait_for(|stop| *stop) => None,
    };
    if ended.is_none() {
        // The receiver exists as long as the connection is served.
        end.send(()).ok();
        // A pending exchange may finish. A long import is not cut for the age of its connection while it makes
        // progress.
        ended = tokio::select! {
            ended = &mut served => Some(ended),
            () = tokio::time::sleep(shared.protocol.longest_exchange().max(drain)) => None,
            _ = stop.wait_for(|stop| *stop) => None,
        };
    }
    let mut stream = match ended {
        Some(ended) => ended,
        None => {
            // A peer that does not read its answer is cut.
            let Ok(ended) = tokio::time::timeout(drain, &mut served).await else { return };
            ended
        }
    };
    goodbye(shared, async {
        if stream.shutdown().await.is_ok() {
            close(stream.into_inner().0).await;
        }
    })
    .await;
}

/// Closes a connection within a bounded time, which the peer cannot extend.
async fn goodbye<P>(shared: &Shared<P>, closing: impl Future<Output = ()>) {
    let mut stop = shared.stop.clone();
    tokio::select! {
        _ = tokio::time::timeout(LINGER, closing) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// Shuts down the sending side, then reads and discards what the peer still sends. Closing a socket with unread bytes
/// resets the connection, and the reset overtakes the last answer: a device whose body is too large would see a broken
/// connection instead of its 413, and one with an unusable certificate would not see its alert.
async fn close(mut socket: TcpStream) {
    let mut buffer = [0; 4096];
    if socket.shutdown().await.is_ok() {
        while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    }
}

/// Describes the connection. The certificate is parsed once for each connection.
pub(super) fn describe(stream: &TlsStream<TcpStream>, peer_addr: SocketAddr, standing: Standing) -> ConnectionInfo {
    let (_, tls) = stream.get_ref();
    let presented = tls.peer_certificates().map(|chain| {
        PresentedChain::parse(chain).map(Arc::new).map_err(|error| {
            let shown = chain.first().map(|leaf| for_the_log(leaf)).unwrap_or_default();
            Unusable(format!("{error} (certificate: {shown})"))
        })
    });
    let has_place = standing.has_place();
    ConnectionInfo { peer_addr, presented, has_place, standing }
}

/// How long a peer has to read the last answer and to close its side.
const LINGER: Duration = Duration::from_secs(2);
