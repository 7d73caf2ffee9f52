//! One connection, from its handshake to its end.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::rt::{Sleep, Timer};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use landfall_attestation::x509::{PresentedChain, for_the_log};
use landfall_domain::clock::Clock;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt as _;

use super::answering::{Answering, BadHeads};
use super::crowd::Standing;
use super::handshake::{Shaken, shake};
use super::{ConnectionInfo, Counts, Unusable};
use crate::config::ListenerLimits;
use crate::turns::Turns;

/// What all connections of a listener share.
pub(super) struct Shared {
    pub(super) tls: Arc<ServerConfig>,
    pub(super) router: Router,
    pub(super) turns: Arc<Turns>,
    pub(super) counts: Arc<Counts>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) limits: ListenerLimits,
    pub(super) clock: Arc<dyn Clock>,
    /// How long a request may be under way once its connection is too old for another.
    pub(super) longest_request: Duration,
    pub(super) heads: Option<Arc<dyn BadHeads>>,
}

/// Serves a connection to its end. Errors of a connection are its peer's own affair: they are counted, not told.
pub(super) async fn serve(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr, standing: Standing) {
    let has_place = standing.has_place();
    let (stream, info) = match shake(shared, stream, peer, standing).await {
        Shaken::Done(stream, info) => (stream, info),
        Shaken::Told(socket) => return goodbye(shared, close(socket)).await,
        Shaken::Over => return,
    };
    let limits = &shared.limits;
    let left = AtomicUsize::new(if has_place { limits.requests_per_connection } else { 1 });
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        // The last request that the connection may carry is told so in its answer.
        let last = left.fetch_sub(1, Ordering::Relaxed) <= 1;
        answer(shared.router.clone(), request, Arc::clone(&info), last)
    });
    let mut connection = http1::Builder::new()
        .timer(Patience::new(limits))
        // Who says that it sends no more (close_notify) may still be waiting for its answer (RFC 8446, 6.1).
        .half_close(true)
        .header_read_timeout(Duration::from_secs(limits.header_seconds))
        .max_buf_size(limits.header_bytes)
        // The buffer grows past its size by what was read last.
        .max_header_size(limits.header_bytes)
        .max_headers(limits.headers)
        .serve_connection(TokioIo::new(Answering::new(stream, shared.heads.clone(), peer)), service);
    let age = tokio::time::sleep(Duration::from_secs(limits.connection_minutes.saturating_mul(60)));
    let mut stop = shared.stop.clone();
    let drain = Duration::from_secs(limits.drain_seconds);
    let mut ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = age => None,
        _ = stop.wait_for(|stop| *stop) => None,
    };
    if ended.is_none() {
        Pin::new(&mut connection).graceful_shutdown();
        // What is under way may end. A long import is not cut for the age of its connection, as long as it goes on.
        ended = tokio::select! {
            ended = &mut connection => Some(ended),
            () = tokio::time::sleep(shared.longest_request.max(drain)) => None,
            _ = stop.wait_for(|stop| *stop) => None,
        };
    }
    let ended = match ended {
        Some(ended) => ended,
        None => {
            // Who never reads its answer is cut.
            let Ok(ended) = tokio::time::timeout(drain, &mut connection).await else { return };
            ended
        }
    };
    let (mut stream, bad_head) = connection.into_parts().io.into_inner().into_parts();
    if let Err(error) = ended {
        if error.is_parse() {
            shared.counts.speaks_no_http(peer, bad_head.as_ref().map(|answer| answer.tracking_id), &error);
        }
        tracing::debug!(%error, %peer, "a connection ended badly");
        if let Some(answer) = bad_head {
            (answer.explain)(&error.to_string());
        }
    }
    goodbye(shared, async {
        if stream.shutdown().await.is_ok() {
            close(stream.into_inner().0).await;
        }
    })
    .await;
}

/// A connection's last moments, which nobody may prolong.
async fn goodbye(shared: &Shared, closing: impl Future<Output = ()>) {
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

/// hyper has one time for the head of a request and counts it from the end of the request before. A first head must
/// come at once; a later one may be long in coming, since devices keep a connection between two polls.
struct Patience {
    first: AtomicBool,
    header: Duration,
    idle: Duration,
}

impl Patience {
    fn new(limits: &ListenerLimits) -> Self {
        let (header, idle) = (Duration::from_secs(limits.header_seconds), Duration::from_secs(limits.idle_seconds));
        Self { first: AtomicBool::new(true), header, idle }
    }
}

impl Timer for Patience {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        TokioTimer::new().sleep(duration)
    }

    /// Asked once a head, and for nothing else.
    fn sleep_until(&self, _deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let first = self.first.swap(false, Ordering::Relaxed);
        TokioTimer::new().sleep(if first { self.header } else { self.idle })
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

async fn answer(
    router: Router,
    request: Request<Incoming>,
    info: Arc<ConnectionInfo>,
    last: bool,
) -> Result<Response<Body>, std::convert::Infallible> {
    let mut request = request.map(Body::new);
    let standing = info.standing.clone();
    request.extensions_mut().insert(info);
    let mut answer = router.oneshot(request).await?;
    // Where places are scarce, none is kept while a device waits for its next poll.
    if last || standing.is_crowded() {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer)
}

/// How long a peer has to read the last answer and to close its side.
const LINGER: Duration = Duration::from_secs(2);
