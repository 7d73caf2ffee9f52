//! Our own accept loop.
//!
//! A device meets this before anything else, and so does everybody who is no device. The servers that frameworks bring
//! along bound too little of it: no time for the handshake, none for the head of a request, no count of connections
//! from one place. Here each has a limit with a name ([`ListenerLimits`]):
//!
//! - **connections**, in all and from one network (an IPv4 /24, an IPv6 /56). Where there is no place left, the oldest
//!   connection that has proven nothing for some seconds makes room, or whoever comes is told to come back (`crowd`);
//! - **the processor's work for handshakes**: turns are taken network by network, and none is held while a peer is waited
//!   for (`turns`). Who comes when very many wait is closed unanswered: that costs less than any answer;
//! - **the handshake and the head of a request** have a time, with a timer that really runs. Only what is spent waiting for
//!   the peer counts (`handshake`);
//! - **a connection** has an age, so that no device keeps an admission longer than the operator would think; and its protocol
//!   gives it an idle time and a number of requests;
//! - **its end** is said, and what the peer still sends is taken for a moment, so that it gets to read its last answer.
//!
//! What is spoken on a connection is a [`Protocol`]; [`Http`] is the one that is served.
//!
//! Stopping is graceful: no new connections, requests under way are finished, and what is left after the drain time
//! is cut.

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

/// What is known of the connection that a request came on. Every request carries it as an extension.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// Where it came from.
    pub peer_addr: SocketAddr,
    /// The certificate whose key was proven in the handshake, if one was shown: parsed, or why it cannot be used, and then
    /// nothing of it was proven.
    pub presented: Option<Result<Arc<PresentedChain>, Unusable>>,
    /// Whether there was a place for it. Whoever has none is told to come back, and nothing else is done for it.
    pub has_place: bool,
    /// Whether it has proven anything yet.
    pub standing: Standing,
}

/// Why what was shown is no credential, in words that name it.
#[derive(Clone, Debug)]
pub struct Unusable(pub String);

/// What a listener has seen. Counts only go up.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Counts {
    pub accepted: AtomicU64,
    /// Connections closed at once, because there were too many.
    pub shed: AtomicU64,
    /// Connections that had proven nothing and were closed to make room for others.
    pub made_room: AtomicU64,
    /// Handshakes that failed.
    pub failed_handshakes: AtomicU64,
    /// Handshakes that took too long.
    pub slow_handshakes: AtomicU64,
    /// Handshakes that came to an end.
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

    /// Counts a connection that is closed at once, and says why now and then.
    fn shed(&self, peer: SocketAddr, why: &'static str) {
        self.shed.fetch_add(1, Ordering::Relaxed);
        if let Some(unsaid) = self.crowded.may_be_said() {
            tracing::warn!(%peer, why, unsaid, "a connection was closed at once");
        }
    }

    /// Counts a connection that took the place of an older one, and says so now and then.
    fn made_room(&self, peer: SocketAddr) {
        self.made_room.fetch_add(1, Ordering::Relaxed);
        if let Some(unsaid) = self.crowded.may_be_said() {
            let why = "its network or the listener has no place left";
            tracing::warn!(%peer, why, unsaid, "the oldest connection that has proven nothing made room for this one");
        }
    }

    /// Counts a handshake that is done.
    fn handshook(&self) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a handshake that came to nothing, and says why now and then.
    fn failed(&self, peer: SocketAddr, why: &dyn fmt::Display) {
        self.failed_handshakes.fetch_add(1, Ordering::Relaxed);
        self.say(peer, why);
    }

    /// The same for one that took too long.
    fn took_too_long(&self, peer: SocketAddr, seconds: u64) {
        self.slow_handshakes.fetch_add(1, Ordering::Relaxed);
        self.say(peer, &format_args!("not done within {seconds} s"));
    }

    /// Says now and then that a client speaks something else than HTTP.
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

/// A socket that is served: `P` is what is spoken there.
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

    /// What it has seen.
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
                    // Out of file descriptors, most likely; those of ended connections come back by themselves.
                    if let Some(unsaid) = shared.counts.not_accepted.may_be_said() {
                        tracing::warn!(%error, unsaid, "cannot accept connections; is `ulimit -n` large enough?");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let mut place = crowd.enter(peer.ip(), shared.clock.instant());
            // Who finds no place is told so in HTTP, as far as that many can be told at once: a device takes a connection
            // that is reset for a fault, and 503 for what it is.
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
    // Answers are small and complete; waiting to fill a packet would only add a round trip.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot turn off the delay of small packets");
    }
}

/// How many that found no place are told so at once, each with a handshake.
const TOLD_TO_COME_BACK: usize = 512;

/// How long nothing is accepted after accepting failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
