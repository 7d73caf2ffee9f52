//! The accept loop of Landfall's listeners.
//!
//! Devices connect here first, and so does everybody else. The servers of common frameworks limit too little: they
//! have no timeout for the handshake or for the head of a request, and do not count the connections of one network.
//! Here each of these has a named limit ([`ListenerLimits`]):
//!
//! - **connections**, in total and from one network (an IPv4 /24, an IPv6 /56). When no place is left, the oldest
//!   connection that has not authenticated within some seconds is closed for the new one, or the new one is told to
//!   come back (`crowd`);
//! - **processor time for handshakes**: networks take turns, and a turn is never held while the server waits for a
//!   peer (`turns`). When very many peers wait, a new connection is closed without an answer, because that costs the
//!   least;
//! - **the handshake and the head of a request** have a timeout. Only the time spent waiting for the peer counts
//!   (`handshake`);
//! - **a connection** has a maximum age, so that an admission does not outlast what the operator expects; its protocol
//!   adds an idle timeout and a maximum number of requests;
//! - **closing** is announced, and what the peer still sends is read for a moment, so that the peer can read its last
//!   answer.
//!
//! The application protocol of a connection is a [`Protocol`]; [`Http`] is the one that is served.
//!
//! Shutdown is graceful: no new connections are accepted, pending requests are finished, and remaining connections are
//! cut after the drain time.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use landfall_attestation::x509::PresentedChain;
use landfall_domain::clock::Clock;
use landfall_domain::names::TrackingId;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::ListenerLimits;
pub(crate) use crate::troubles::LogLimiter;
use crate::turns::Turns;

mod answering;
mod connection;
mod crowd;
mod handshake;
mod http;

pub use answering::{BadHead, BadHeads};
pub use connection::{Connection, Ending, Protocol, Stream};
pub use crowd::Standing;
use crowd::{Crowd, Place};
pub use http::{Http, names_one_host};

/// What is known about the connection of a request. Every request carries it as an extension.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// The address of the peer.
    pub peer_addr: SocketAddr,
    /// The certificate whose key was proven in the handshake, if one was presented: parsed, or the reason why it
    /// cannot be used, in which case it proves nothing.
    pub presented: Option<Result<Arc<PresentedChain>, Unusable>>,
    /// Whether the connection got a place. Without one, the only answer is to come back later.
    pub has_place: bool,
    /// Whether the connection has authenticated yet.
    pub standing: Standing,
}

/// Why the presented certificate cannot be used, in words that name it.
#[derive(Clone, Debug)]
pub struct Unusable(pub String);

/// The counters of a listener. They only increase.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Counts {
    pub accepted: AtomicU64,
    /// Connections that were closed at once, because there were too many.
    pub shed: AtomicU64,
    /// Unauthenticated connections that were closed to make room for others.
    pub made_room: AtomicU64,
    /// Handshakes that failed.
    pub failed_handshakes: AtomicU64,
    /// Handshakes that took too long.
    pub slow_handshakes: AtomicU64,
    /// Handshakes that were completed.
    pub handshakes: AtomicU64,
    crowded: LogLimiter,
    bad_handshakes: LogLimiter,
    not_http: LogLimiter,
    not_accepted: LogLimiter,
}

impl Counts {
    fn new(clock: &Arc<dyn Clock>) -> Self {
        Self {
            accepted: AtomicU64::default(),
            shed: AtomicU64::default(),
            made_room: AtomicU64::default(),
            failed_handshakes: AtomicU64::default(),
            slow_handshakes: AtomicU64::default(),
            handshakes: AtomicU64::default(),
            crowded: LogLimiter::new(clock),
            bad_handshakes: LogLimiter::new(clock),
            not_http: LogLimiter::new(clock),
            not_accepted: LogLimiter::new(clock),
        }
    }

    /// Counts a connection that is closed at once, and logs the reason, at a limited rate.
    fn shed(&self, peer: SocketAddr, why: &'static str) {
        self.shed.fetch_add(1, Ordering::Relaxed);
        if let Some(unsaid) = self.crowded.may_be_said() {
            tracing::warn!(%peer, why, unsaid, "a connection was closed at once");
        }
    }

    /// Counts a connection that took the place of an older one, and logs it, at a limited rate.
    fn made_room(&self, peer: SocketAddr) {
        self.made_room.fetch_add(1, Ordering::Relaxed);
        if let Some(unsaid) = self.crowded.may_be_said() {
            let why = "its network or the listener has no place left";
            tracing::warn!(%peer, why, unsaid, "the oldest connection that has proven nothing made room for this one");
        }
    }

    /// Counts a completed handshake.
    fn handshook(&self) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a failed handshake, and logs the reason, at a limited rate.
    fn failed(&self, peer: SocketAddr, why: &dyn fmt::Display) {
        self.failed_handshakes.fetch_add(1, Ordering::Relaxed);
        self.say(peer, why);
    }

    /// Counts a handshake that timed out, and logs it, at a limited rate.
    fn took_too_long(&self, peer: SocketAddr, seconds: u64) {
        self.slow_handshakes.fetch_add(1, Ordering::Relaxed);
        self.say(peer, &format_args!("not done within {seconds} s"));
    }

    /// Logs, at a limited rate, that a client does not speak HTTP.
    fn speaks_no_http(&self, peer: SocketAddr, tracking_id: Option<TrackingId>, why: &dyn fmt::Display) {
        if let Some(unsaid) = self.not_http.may_be_said() {
            let tracking_id = tracking_id.map(|id| id.to_string());
            tracing::warn!(%peer, tracking_id, %why, unsaid, "a client speaks no HTTP here; MQTT and AMQP are not served");
        }
    }

    fn say(&self, peer: SocketAddr, why: &dyn fmt::Display) {
        if let Some(unsaid) = self.bad_handshakes.may_be_said() {
            tracing::warn!(%peer, %why, unsaid, "no TLS with a client");
        }
    }
}

/// A listening socket; `P` is the protocol of its connections.
pub struct Listener<P> {
    socket: TcpListener,
    tls: Arc<ServerConfig>,
    protocol: P,
    limits: Arc<ListenerLimits>,
    clock: Arc<dyn Clock>,
    counts: Arc<Counts>,
}

impl<P: Protocol> Listener<P> {
    /// A listener on a bound socket.
    pub fn new(
        socket: TcpListener,
        tls: Arc<ServerConfig>,
        protocol: P,
        limits: ListenerLimits,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let counts = Arc::new(Counts::new(&clock));
        Self { socket, tls, protocol, limits: Arc::new(limits), clock, counts }
    }

    /// The counters of the listener.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Serves until `stop` turns true, then drains.
    pub async fn serve(self, mut stop: watch::Receiver<bool>) {
        let crowd = Arc::new(Crowd::new(self.limits.connections, self.limits.connections_per_prefix));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let most_waiting = self.limits.handshakes_per_core.saturating_mul(cores);
        let shared = Arc::new(connection::Shared {
            tls: self.tls,
            protocol: self.protocol,
            turns: Arc::new(Turns::new(cores, most_waiting)),
            counts: self.counts,
            stop: stop.clone(),
            limits: self.limits,
            clock: self.clock,
        });
        let told_to_come_back = Arc::new(Semaphore::new(TOLD_TO_COME_BACK));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                accepted = self.socket.accept() => accepted,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // The process is probably out of file descriptors; they become free when connections end.
                    if let Some(unsaid) = shared.counts.not_accepted.may_be_said() {
                        tracing::warn!(%error, unsaid, "cannot accept connections; is `ulimit -n` large enough?");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let mut place = crowd.enter(peer.ip(), shared.clock.instant());
            // A connection without a place gets an HTTP answer that says so, unless too many are being told at once. A
            // device treats a reset connection as a fault, but understands a 503.
            let one_of_few =
                if place.is_none() { Arc::clone(&told_to_come_back).try_acquire_owned().ok() } else { None };
            if place.is_none() && one_of_few.is_none() {
                shared.counts.shed(peer, "too many connections, in all or from its network");
                continue;
            }
            if place.as_ref().is_some_and(|place| place.at_anothers_cost) {
                shared.counts.made_room(peer);
            }
            shared.counts.accepted.fetch_add(1, Ordering::Relaxed);
            prepare(&stream);
            let shared = Arc::clone(&shared);
            connections.spawn(async move {
                let standing = place.as_ref().map(Place::standing).unwrap_or_default();
                tokio::select! {
                    () = connection::serve(&shared, stream, peer, standing) => {}
                    () = Place::is_anothers(place.as_mut()) => {}
                }
                drop((place, one_of_few));
            });
        }
        drop(self.socket);
        let drained = async { while connections.join_next().await.is_some() {} };
        let seconds = shared.limits.drain_seconds;
        if tokio::time::timeout(Duration::from_secs(seconds), drained).await.is_err() {
            tracing::warn!(seconds, open = connections.len(), "connections were cut after the drain time");
        }
    }
}

fn prepare(stream: &TcpStream) {
    // Answers are small and complete; waiting to fill a packet would only add latency.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot turn off the delay of small packets");
    }
}

/// The maximum number of connections without a place that are answered at once; each needs a handshake.
const TOLD_TO_COME_BACK: usize = 512;

/// The pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
