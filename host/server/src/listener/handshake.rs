//! The TLS handshake of a connection.
//!
//! Two things are bounded separately: the time spent waiting for the peer, and processor work. Waiting for a turn at
//! the processor does not count against the peer's time, and no turn is held while waiting for the peer. So slow peers
//! (one byte now and then, half a first message, no reply to the server) delay nobody else.

use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use landfall_domain::clock::{Clock, Stopwatch};
use rustls::server::{Accepted, AcceptedAlert, Acceptor};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

use super::ConnectionInfo;
use super::connection::{Shared, describe};
use super::crowd::Standing;
use crate::tls::any_certificate::telling;

/// The outcome of a handshake.
pub(super) enum Shaken {
    /// It is complete.
    Done(Box<TlsStream<TcpStream>>, Arc<ConnectionInfo>),
    /// It failed, and the peer was sent an alert.
    Told(TcpStream),
    /// It failed, and the peer is gone.
    Over,
}

pub(super) async fn shake<P>(
    shared: &Shared<P>,
    mut stream: TcpStream,
    peer: SocketAddr,
    standing: Standing,
) -> Shaken {
    let left = Duration::from_secs(shared.limits.handshake_seconds);
    let mut patience = Patience { left, clock: &shared.clock };
    let too_slow = || {
        shared.counts.took_too_long(peer, shared.limits.handshake_seconds);
        Shaken::Over
    };
    let accepted = match patience.waits_for(client_hello(&mut stream)).await {
        None => return too_slow(),
        Some(Ok(accepted)) => accepted,
        Some(Err(flaw)) => {
            shared.counts.failed(peer, &flaw);
            return match flaw {
                Flaw::Connection(_) => Shaken::Over,
                Flaw::Hello(..) | Flaw::TooLong => Shaken::Told(stream),
            };
        }
    };
    let network = standing.network();
    let Some(mut turn) = shared.turns.begin(network).await else {
        shared.counts.shed(peer, "too many handshakes wait");
        return Shaken::Over;
    };
    let start = StartHandshake::from_parts(accepted, stream);
    let mut accept = std::pin::pin!(telling(start.into_stream(Arc::clone(&shared.tls)).into_fallible()));
    loop {
        let step = std::future::poll_fn(|context| Poll::Ready(accept.as_mut().poll(context))).await;
        match step {
            Poll::Ready((Ok(stream), _)) => {
                shared.counts.handshook();
                // The certificate is parsed in the same turn.
                let info = describe(&stream, peer, standing);
                drop(turn);
                return Shaken::Done(Box::new(stream), Arc::new(info));
            }
            Poll::Ready((Err((error, stream)), certificate)) => {
                match certificate {
                    Some(certificate) => {
                        shared.counts.failed(peer, &format_args!("{error} (certificate: {certificate})"));
                    }
                    None => shared.counts.failed(peer, &error),
                }
                return Shaken::Told(stream);
            }
            Poll::Pending => drop(turn),
        }
        // The step has registered the waker with the socket.
        if patience.waits_for(woken()).await.is_none() {
            return too_slow();
        }
        match shared.turns.go_on(network).await {
            Some(next) => turn = next,
            None => return Shaken::Over,
        }
    }
}

/// The remaining time to wait for a peer.
struct Patience<'a> {
    left: Duration,
    clock: &'a Arc<dyn Clock>,
}

impl Patience<'_> {
    /// Waits for the peer; `None` if the time is over.
    async fn waits_for<T>(&mut self, peer: impl Future<Output = T>) -> Option<T> {
        // A future that waits for any wake-up would be woken by the timeout, too.
        if self.left.is_zero() {
            return None;
        }
        let waited = Stopwatch::start(self.clock);
        let done = tokio::time::timeout(self.left, peer).await.ok();
        self.left = self.left.saturating_sub(waited.elapsed());
        done
    }
}

/// Ends when the task is woken.
async fn woken() {
    let mut asleep = true;
    std::future::poll_fn(|_| if std::mem::take(&mut asleep) { Poll::Pending } else { Poll::Ready(()) }).await;
}

/// Why there is no valid first message.
#[derive(Debug, thiserror::Error)]
enum Flaw {
    #[error("{0}")]
    Connection(#[from] io::Error),
    #[error("{0}")]
    Hello(rustls::Error),
    #[error("the first message of the client has more than {HELLO_BYTES} bytes")]
    TooLong,
}

/// Reads the complete first message of the client, without processing it. An invalid one is answered with an alert.
async fn client_hello(stream: &mut TcpStream) -> Result<Accepted, Flaw> {
    let mut acceptor = Acceptor::default();
    let mut taken = 0_usize;
    loop {
        stream.readable().await?;
        match acceptor.read_tls(&mut Unwaiting(stream)) {
            Ok(0) => return Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
            Ok(read) => taken = taken.saturating_add(read),
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(accepted),
            Ok(None) if taken > HELLO_BYTES => return Err(Flaw::TooLong),
            Ok(None) => {}
            Err((error, alert)) => {
                say(stream, alert).await?;
                return Err(Flaw::Hello(error));
            }
        }
    }
}

async fn say(stream: &mut TcpStream, mut alert: AcceptedAlert) -> io::Result<()> {
    let mut bytes = Vec::new();
    alert.write_all(&mut bytes)?;
    stream.write_all(&bytes).await
}

/// A reader that returns the available bytes and never waits.
struct Unwaiting<'a>(&'a TcpStream);

impl Read for Unwaiting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

/// The maximum size of the first message. One with two post-quantum key shares and a large ticket needs a quarter of
/// it.
const HELLO_BYTES: usize = 16_384;
