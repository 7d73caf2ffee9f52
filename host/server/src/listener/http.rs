//! HTTP/1.1 on a listener's connections.
//!
//! Its own limits are the time for the head of a request and for the next one to begin, the size of a head, and how many
//! requests a connection carries.

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
    /// With what answers requests. Each request carries an [`Arc`] of its [`ConnectionInfo`] as an extension.
    pub fn new(router: Router) -> Self {
        Self { router, longest_request: Duration::ZERO, heads: None }
    }

    /// Lets a request that is under way go on for so long when its connection is too old for another: for imports.
    #[must_use]
    pub fn with_long_requests(self, longest_request: Duration) -> Self {
        Self { longest_request, ..self }
    }

    /// Answers what is no HTTP request with more than a status.
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
            // The last request that the connection may carry is told so in its answer.
            let last = left.fetch_sub(1, Ordering::Relaxed) <= 1;
            answer(self.router.clone(), request, Arc::clone(&info), last)
        });
        let mut served = http1::Builder::new()
            .timer(Patience::new(&limits))
            // Who says that it sends no more (close_notify) may still be waiting for its answer (RFC 8446, 6.1).
            .half_close(true)
            .header_read_timeout(Duration::from_secs(limits.header_seconds))
            .max_buf_size(limits.header_bytes)
            // The buffer grows past its size by what was read last.
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

/// Whether a request says once for which host it is (RFC 9112, 3.2). Of HTTP/1.0 it need not say it.
pub fn names_one_host<T>(request: &http::Request<T>) -> bool {
    match request.headers().get_all(http::header::HOST).iter().count() {
        0 => request.version() < http::Version::HTTP_11,
        1 => true,
        _ => false,
    }
}
