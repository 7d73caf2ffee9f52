//! Replaces the answers that hyper generates itself. hyper answers a request head that it cannot parse with a bare
//! status. Devices fail without a tracking id, and operators could not find out what was sent. So these answers are
//! replaced on their way out.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use landfall_domain::names::TrackingId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Answers invalid request heads.
pub trait BadHeads: Send + Sync {
    /// The answer for the status that hyper chose.
    fn answer(&self, status: StatusCode, peer: SocketAddr) -> BadHead;
}

/// The answer to an invalid request head.
pub struct BadHead {
    /// The tracking id of the answer.
    pub tracking_id: TrackingId,
    /// The whole answer, after which the connection is closed.
    pub bytes: Vec<u8>,
    /// Records what was wrong, once that is known.
    pub explain: Box<dyn FnOnce(&str) + Send>,
}

/// A stream that replaces the answers that hyper generates.
pub(super) struct Answering<S> {
    pub(super) stream: S,
    heads: Option<Arc<dyn BadHeads>>,
    peer: SocketAddr,
    instead: Option<Instead>,
}

struct Instead {
    answer: BadHead,
    written: usize,
}

impl<S> Answering<S> {
    pub(super) fn new(stream: S, heads: Option<Arc<dyn BadHeads>>, peer: SocketAddr) -> Self {
        Self { stream, heads, peer, instead: None }
    }

    /// The stream, and the answer to an invalid head, if there was one.
    pub(super) fn into_parts(self) -> (S, Option<BadHead>) {
        (self.stream, self.instead.map(|instead| instead.answer))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Answering<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.instead.is_none()
            && let Some(heads) = &this.heads
            && let Some(status) = of_hypers_own(bytes)
        {
            this.instead = Some(Instead { answer: heads.answer(status, this.peer), written: 0 });
        }
        let Some(Instead { answer, written }) = &mut this.instead else {
            return Pin::new(&mut this.stream).poll_write(cx, bytes);
        };
        while let Some(left) = answer.bytes.get(*written..).filter(|left| !left.is_empty()) {
            match ready!(Pin::new(&mut this.stream).poll_write(cx, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                more => *written += more,
            }
        }
        // This was the last answer of the connection.
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Answering<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

/// The status of an answer that hyper generated: a head without a body, with status 4xx and without our tracking id.
/// No part of our bodies can look like this, because they are JSON without line breaks.
fn of_hypers_own(bytes: &[u8]) -> Option<StatusCode> {
    let head = bytes.strip_prefix(b"HTTP/1.").filter(|_| bytes.len() <= MOST_OF_HYPERS)?;
    let status = StatusCode::from_bytes(head.get(2..5)?).ok().filter(StatusCode::is_client_error)?;
    let text = std::str::from_utf8(bytes).ok()?;
    let alone = text.find("\r\n\r\n") == Some(text.len() - 4);
    (alone && !text.contains("x-ms-request-id")).then_some(status)
}

/// The answer has four short lines.
const MOST_OF_HYPERS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_hyper_says_by_itself_is_replaced() {
        let own = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(of_hypers_own(own.as_bytes()), Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        for other in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\nx-ms-request-id: 1\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 400 Bad Request\r\n",
            "{}",
            "",
        ] {
            assert_eq!(of_hypers_own(other.as_bytes()), None, "{other:?}");
        }
    }
}
