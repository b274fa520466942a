//! Between the socket and hyper: the clocks of a connection, and the seam for the HTTP/1 guard.
//!
//! hyper times a head only from its own first look, and never a client that stops reading. Here every
//! wait on the client's socket has a deadline: the first byte and the whole head, the pause between
//! two requests, a write that does not move. One lazily re-armed timer serves them all.
//!
//! The bytes pass unchanged. Judging them (framing, smuggling) is the guard's second half and has an
//! issue of its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use crate::config::model::ServerLimits;
use crate::proxy::clock::Timer;
use crate::proxy::peer::Link;
use crate::server::socket::Socket;

/// A client's socket with clocks.
#[derive(Debug)]
pub struct Guard<IO> {
    io: TokioIo<IO>,
    link: Arc<Link>,
    reading: Reading,
    /// When a write began to wait.
    stalled_since: Option<Instant>,
    timer: Timer,
    limits: Clocks,
    /// Heads that had been parsed when the state last changed.
    heads: u32,
}

#[derive(Clone, Copy, Debug)]
struct Clocks {
    header: Duration,
    idle: Duration,
    write: Duration,
}

/// What the connection waits for from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// The first byte of the next head, until then.
    Idle { until: Instant },
    /// The rest of a head, until then.
    Head { until: Instant },
    /// An exchange is running; its own clocks rule.
    Exchange,
}

impl<IO: Socket> Guard<IO> {
    /// Wraps a fresh connection, whose first head must be complete by `until`.
    pub fn new(stream: IO, link: &Arc<Link>, limits: &ServerLimits, until: Instant) -> Self {
        Self {
            io: TokioIo::new(stream),
            link: Arc::clone(link),
            reading: Reading::Idle { until },
            stalled_since: None,
            timer: Timer::default(),
            limits: Clocks {
                header: limits.header_timeout,
                idle: limits.idle_timeout,
                write: limits.write_timeout,
            },
            heads: 0,
        }
    }

    /// Gives the socket back, and whether the connection ended inside a head.
    pub fn finish(mut self) -> (IO, bool) {
        self.catch_up();
        (self.io.into_inner(), matches!(self.reading, Reading::Head { .. }))
    }

    /// Follows what the exchange on this connection has done since the last look.
    fn catch_up(&mut self) {
        let heads = self.link.heads();
        if self.link.is_busy() {
            self.heads = heads;
            self.reading = Reading::Exchange;
        } else if self.reading == Reading::Exchange || heads != self.heads {
            self.heads = heads;
            self.reading = Reading::Idle { until: Instant::now() + self.limits.idle };
        }
    }

    fn note_bytes(&mut self) {
        if let Reading::Idle { until } = self.reading {
            let from_now = Instant::now() + self.limits.header;
            // The very first head has been timed since the connection was accepted.
            let until = if self.heads == 0 { until.min(from_now) } else { from_now };
            self.reading = Reading::Head { until };
        }
    }

    fn watch_write(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled_since = None;
            return written;
        }
        self.stalled_since.get_or_insert_with(Instant::now);
        // With bytes of the next request at hand hyper does not read during an exchange, so the
        // clock of a head that is long complete may still be set.
        self.catch_up();
        self.poll_clocks(cx).map(Err)
    }

    fn poll_clocks(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let read = match self.reading {
            Reading::Idle { until } | Reading::Head { until } => Some(until),
            Reading::Exchange => None,
        };
        let write = self.stalled_since.map(|since| since + self.limits.write);
        self.timer.set([read, write].into_iter().flatten().min());
        self.timer.poll(cx).map(|()| io::ErrorKind::TimedOut.into())
    }
}

impl<IO: Socket> Read for Guard<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.catch_up();
        match Pin::new(&mut this.io).poll_read(cx, buffer) {
            Poll::Ready(read) => {
                // An end of file counts as bytes here; hyper ends the connection on it at once.
                this.note_bytes();
                Poll::Ready(read)
            }
            Poll::Pending => this.poll_clocks(cx).map(Err),
        }
    }
}

impl<IO: Socket> Write for Guard<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.watch_write(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        this.watch_write(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// Also starts the clock of the pause after an exchange: while its last read still waits, hyper
    /// does not read again, but it flushes what it has written.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.catch_up();
        if matches!(this.reading, Reading::Idle { .. })
            && let Poll::Ready(late) = this.poll_clocks(cx)
        {
            return Poll::Ready(Err(late));
        }
        Pin::new(&mut this.io).poll_flush(cx)
    }

    /// Only flushes: the owner of the connection closes the socket, after lingering if it must.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }
}
