//! One connection, from its handshake to its end, whatever is spoken on it.

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

/// What is spoken on a listener's connections once TLS is done. The listener bounds how many connections there are, how long
/// each lasts and how long its end takes; what a protocol bounds itself is what only it can see, such as the head of a request
/// or the time between two.
pub trait Protocol: Send + Sync + 'static {
    /// Serves a connection to its end. Errors of a connection are its peer's own affair: they are counted, not told. Answers
    /// the stream, for the listener to close; a future that is dropped is a connection that is cut.
    fn serve(&self, connection: Connection) -> impl Future<Output = Stream> + Send;

    /// How long what is under way may go on when its connection is too old for more.
    fn longest_exchange(&self) -> Duration {
        Duration::ZERO
    }
}

/// The stream of a connection.
pub type Stream = Box<TlsStream<TcpStream>>;

/// A connection that is to be served.
pub struct Connection {
    /// What comes and goes.
    pub stream: Stream,
    /// What is known of it.
    pub info: Arc<ConnectionInfo>,
    /// When it is to end.
    pub ending: Ending,
    /// The listener's limits.
    pub limits: Arc<ListenerLimits>,
    /// What the listener has seen.
    pub counts: Arc<Counts>,
}

/// When a connection is to end: it is too old, or the server stops. What is under way may be finished.
pub struct Ending(oneshot::Receiver<()>);

impl Ending {
    /// Comes when nothing more is to begin.
    pub async fn begins(&mut self) {
        // The sender lives as long as the connection is served.
        if (&mut self.0).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What all connections of a listener share.
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
        // The other end is there as long as the connection is served.
        end.send(()).ok();
        // What is under way may end. A long import is not cut for the age of its connection, as long as it goes on.
        ended = tokio::select! {
            ended = &mut served => Some(ended),
            () = tokio::time::sleep(shared.protocol.longest_exchange().max(drain)) => None,
            _ = stop.wait_for(|stop| *stop) => None,
        };
    }
    let mut stream = match ended {
        Some(ended) => ended,
        None => {
            // Who never reads its answer is cut.
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

/// A connection's last moments, which nobody may prolong.
async fn goodbye<P>(shared: &Shared<P>, closing: impl Future<Output = ()>) {
    let mut stop = shared.stop.clone();
    tokio::select! {
        _ = tokio::time::timeout(LINGER, closing) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// Says that nothing more is said, then takes what the peer still sends and throws it away. A socket that is closed
/// with bytes unread is reset, and a reset overtakes what was said last: a device whose body is too large would see a
/// broken connection in place of its 413, and one whose certificate cannot be used in place of its alert.
async fn close(mut socket: TcpStream) {
    let mut buffer = [0; 4096];
    if socket.shutdown().await.is_ok() {
        while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    }
}

/// The certificate is parsed once a connection.
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
