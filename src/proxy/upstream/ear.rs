//! Hears what the upstream says a moment before hyper does, as far as it must.
//!
//! hyper's parser forgives a bare LF and skips interim answers without end; neither can be seen behind
//! it. An [`Ear`] lies around the socket and runs a [`Scan`] over the head of each answer, and over
//! nothing else: bytes of bodies pass it at the cost of one comparison per read. What it finds wrong
//! becomes an I/O error for hyper, and a mark for us to tell it from a reset ([`Mouth::is_malformed`]).
//!
//! An upstream may answer early and close without reading the rest of the request (RFC 9112, section
//! 9.6). Its answer then waits in our receive buffer while our writes already fail, and hyper would give
//! up at the first of them. So a write that finds nobody there only waits, and reading decides: it
//! yields the answer, or the end of the connection, which is certain to come.
//!
//! It does not parse, and it keeps no bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::http1::MAX_RESPONSE_HEAD;
use crate::http::answer::Malformed;
use crate::http::answer::scan::Scan;

/// Nothing to report.
const CALM: u8 = 0;
/// A request begins: the next bytes are the head of its answer.
const ASKED: u8 = 1;
/// What came was malformed.
const MALFORMED: u8 = 2;

/// A socket that is listened to.
#[derive(Debug)]
pub(super) struct Ear<S> {
    socket: S,
    hears: Hears,
    line: Arc<AtomicU8>,
}

/// The side of an [`Ear`] that asks. The ear itself is inside hyper.
#[derive(Debug)]
pub(super) struct Mouth(Arc<AtomicU8>);

#[derive(Debug)]
enum Hears {
    /// Nothing was asked yet, so nothing may come.
    Silence,
    /// The head of an answer.
    Head(Scan),
    /// A body, which is not ours to judge.
    Body,
}

/// Listens to a fresh connection.
pub(super) fn listen<S>(socket: S) -> (Ear<S>, Mouth) {
    let line = Arc::<AtomicU8>::default();
    (Ear { socket, hears: Hears::Silence, line: Arc::clone(&line) }, Mouth(line))
}

impl Mouth {
    /// Says that a request is about to be written on a connection that owes no answer.
    pub(super) fn ask(&self) {
        // Whoever asks also polls the connection, so plain stores and loads are in order.
        if self.0.load(Ordering::Relaxed) == CALM {
            self.0.store(ASKED, Ordering::Relaxed);
        }
    }

    /// Whether the connection broke because of what the upstream said, not because it went away.
    pub(super) fn is_malformed(&self) -> bool {
        self.0.load(Ordering::Relaxed) == MALFORMED
    }
}

impl<S> Ear<S> {
    /// Stops listening.
    pub(super) fn into_inner(self) -> S {
        self.socket
    }

    /// Judges bytes that have just come.
    fn hear(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.line.load(Ordering::Relaxed) == ASKED {
            self.line.store(CALM, Ordering::Relaxed);
            self.hears = Hears::Head(Scan::new(MAX_RESPONSE_HEAD));
        }
        let heard = match &mut self.hears {
            Hears::Body => return Ok(()),
            Hears::Head(scan) => scan.read(bytes),
            Hears::Silence => Err(Malformed::Unasked),
        };
        match heard {
            Ok(is_complete) => {
                if is_complete {
                    self.hears = Hears::Body;
                }
                Ok(())
            }
            Err(what) => {
                self.line.store(MALFORMED, Ordering::Relaxed);
                tracing::debug!(error = %what, "The upstream's answer is malformed.");
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }
}

/// Lets reading decide what a write that met a closed connection means.
///
/// No waker is kept, and none is needed: whoever writes also reads, and the same event that failed the
/// write makes the socket readable.
fn leave_to_reading(written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    match written {
        Poll::Ready(Err(error)) if matches!(error.kind(), BrokenPipe | ConnectionReset) => {
            Poll::Pending
        }
        written => written,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Ear<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(cx, buffer))?;
        let heard = buffer.filled().get(before..).unwrap_or_default();
        Poll::Ready(if heard.is_empty() { Ok(()) } else { this.hear(heard) })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ear<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        leave_to_reading(Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        leave_to_reading(Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n\n\n";

    #[tokio::test]
    async fn what_comes_unasked_is_malformed() {
        let (mut upstream, socket) = tokio::io::duplex(64);
        let (mut ear, mouth) = listen(socket);
        upstream.write_all(b"220 mail.example\r\n").await.unwrap();

        let error = ear.read(&mut [0; 64]).await.unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(mouth.is_malformed());
    }

    #[tokio::test]
    async fn heads_are_judged_and_bodies_are_not() {
        let (mut upstream, socket) = tokio::io::duplex(256);
        let (mut ear, mouth) = listen(socket);
        for _ in 0..2 {
            mouth.ask();
            upstream.write_all(ANSWER).await.unwrap();
            let mut heard = [0; ANSWER.len()];
            ear.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, ANSWER);
        }
        assert!(!mouth.is_malformed());

        mouth.ask();
        upstream.write_all(b"HTTP/1.1 200 OK\n\n").await.unwrap();
        assert!(ear.read(&mut [0; 64]).await.is_err());
        assert!(mouth.is_malformed());
        mouth.ask();
        assert!(mouth.is_malformed(), "a mark stays");
    }

    #[tokio::test]
    async fn the_end_of_the_connection_is_not_malformed() {
        let (upstream, socket) = tokio::io::duplex(64);
        let (mut ear, mouth) = listen(socket);
        drop(upstream);
        assert_eq!(ear.read(&mut [0; 64]).await.unwrap(), 0);
        assert!(!mouth.is_malformed());
    }

    #[tokio::test]
    async fn an_answer_that_came_before_the_end_is_read_though_writing_fails() {
        let (mut upstream, socket) = tokio::io::duplex(64);
        let (mut ear, mouth) = listen(socket);
        mouth.ask();
        upstream.write_all(ANSWER).await.unwrap();
        drop(upstream);

        let quiet = &mut Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut ear).poll_write(quiet, b"more").is_pending(), "reading decides");

        let mut heard = Vec::new();
        ear.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, ANSWER);
        assert!(!mouth.is_malformed());
    }
}
