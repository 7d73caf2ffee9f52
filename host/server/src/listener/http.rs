//! HTTP/1.1 on the connections of a listener.
//!
//! It limits the time to receive a request head, the time until the next request, the size of a head, and the number
//! of requests on a connection.

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
use tower::ServiceExt as _;

use super::ConnectionInfo;
use super::answering::{Answering, BadHeads};
use super::connection::{Connection, Protocol, Stream};
use crate::config::ListenerLimits;

/// HTTP/1.1, answered by a router.
pub struct Http {
    router: Router,
    longest_request: Duration,
    heads: Option<Arc<dyn BadHeads>>,
}

impl Http {
    /// HTTP with this router. Each request carries an [`Arc`] of its [`ConnectionInfo`] as an extension.
    pub fn new(router: Router) -> Self {
        Self { router, longest_request: Duration::ZERO, heads: None }
    }

    /// Lets a pending request, such as an import, go on for this long after its connection has reached its maximum
    /// age.
    #[must_use]
    pub fn with_long_requests(self, longest_request: Duration) -> Self {
        Self { longest_request, ..self }
    }

    /// Uses these answers for invalid request heads, instead of a bare status.
    #[must_use]
    pub fn with_bad_heads(self, heads: Arc<dyn BadHeads>) -> Self {
        Self { heads: Some(heads), ..self }
    }
}

impl Protocol for Http {
    async fn serve(&self, connection: Connection) -> Stream {
        let Connection { stream, info, mut ending, limits, counts } = connection;
        let (peer, has_place) = (info.peer_addr, info.has_place);
        let left = AtomicUsize::new(if has_place { limits.requests_per_connection } else { 1 });
        let service = hyper::service::service_fn(|request: Request<Incoming>| {
            // The answer to the last request that the connection may carry says so.
            let last = left.fetch_sub(1, Ordering::Relaxed) <= 1;
            answer(self.router.clone(), request, Arc::clone(&info), last)
        });
        let mut served = http1::Builder::new()
            .timer(Patience::new(&limits))
            // A client that has sent close_notify sends no more, but may still wait for its answer (RFC 8446, 6.1).
            .half_close(true)
            .header_read_timeout(Duration::from_secs(limits.header_seconds))
            .max_buf_size(limits.header_bytes)
            // The buffer can exceed its limit by the size of the last read.
            .max_header_size(limits.header_bytes)
            .max_headers(limits.headers)
            .serve_connection(TokioIo::new(Answering::new(stream, self.heads.clone(), peer)), service);
        let ended = tokio::select! {
            ended = &mut served => ended,
            () = ending.begins() => {
                Pin::new(&mut served).graceful_shutdown();
                (&mut served).await
            }
        };
        let (stream, bad_head) = served.into_parts().io.into_inner().into_parts();
        if let Err(error) = ended {
            if error.is_parse() {
                counts.speaks_no_http(peer, bad_head.as_ref().map(|answer| answer.tracking_id), &error);
            }
            tracing::debug!(%error, %peer, "a connection ended badly");
            if let Some(answer) = bad_head {
                (answer.explain)(&error.to_string());
            }
        }
        stream
    }

    fn longest_exchange(&self) -> Duration {
        self.longest_request
    }
}

/// hyper has one timeout for request heads, counted from the end of the previous request. The first head must arrive
/// quickly; a later one may take long, because devices keep a connection open between two polls.
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

    /// Called once for each head, and for nothing else.
    fn sleep_until(&self, _deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let first = self.first.swap(false, Ordering::Relaxed);
        TokioTimer::new().sleep(if first { self.header } else { self.idle })
    }
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
    // When places are scarce, no connection is kept open until the next poll of its device.
    if last || standing.is_crowded() {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer)
}

/// Whether a request names exactly one host (RFC 9112, 3.2). HTTP/1.0 requests may name none.
pub fn names_one_host<T>(request: &http::Request<T>) -> bool {
    match request.headers().get_all(http::header::HOST).iter().count() {
        0 => request.version() < http::Version::HTTP_11,
        1 => true,
        _ => false,
    }
}
