//! The handshake of a connection.
//!
//! Two things are bounded, and apart from each other: the time for which the peer is waited for, and the processor's
//! work. What waits for a turn at the processor costs its peer none of its time, and what waits for its peer holds no
//! turn: a byte now and then, half of the first message, or no answer to the server's, keep nobody from anything.

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

/// What came of a handshake.
pub(super) enum Shaken {
    /// It is done.
    Done(Box<TlsStream<TcpStream>>, Arc<ConnectionInfo>),
    /// It came to nothing, and the peer was told so.
    Told(TcpStream),
    /// There is nobody to be told.
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
                // Its certificate is parsed in the same turn.
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
        // The step has left word with the socket whom to wake.
        if patience.waits_for(woken()).await.is_none() {
            return too_slow();
        }
        match shared.turns.go_on(network).await {
            Some(next) => turn = next,
            None => return Shaken::Over,
        }
    }
}

/// How long a peer is waited for, in all.
struct Patience<'a> {
    left: Duration,
    clock: &'a Arc<dyn Clock>,
}

impl Patience<'_> {
    /// What the peer does; nothing if it took too long.
    async fn waits_for<T>(&mut self, peer: impl Future<Output = T>) -> Option<T> {
        // What waits for any wake is woken by the end of the time, too.
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

/// Why there is no first message.
#[derive(Debug, thiserror::Error)]
enum Flaw {
    #[error("{0}")]
    Connection(#[from] io::Error),
    #[error("{0}")]
    Hello(rustls::Error),
    #[error("the first message of the client has more than {HELLO_BYTES} bytes")]
    TooLong,
}

/// The client's first message, whole, and nothing done about it yet. One that is none is answered.
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

/// Reads what is there.
struct Unwaiting<'a>(&'a TcpStream);

impl Read for Unwaiting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

/// The largest first message. One with two post-quantum key shares and a large ticket has a quarter of it.
const HELLO_BYTES: usize = 16_384;
