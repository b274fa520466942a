//! A socket whose writes may wait only so long, for HTTP/2: hyper times none of its own.
//!
//! A write or a flush that does not move for `write_timeout` is an error, and ends the connection.
//! Reading has no clock here: a client that sends nothing is the business of pings and of the clock of
//! an idle connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use crate::proxy::clock::Timer;
use crate::server::socket::Socket;

/// A socket with a clock for its writes.
#[derive(Debug)]
pub(super) struct Paced<IO> {
    io: TokioIo<IO>,
    patience: Duration,
    stalled_since: Option<Instant>,
    timer: Timer,
}

impl<IO: Socket> Paced<IO> {
    /// Wraps a socket; no write may wait longer than `patience`.
    pub(super) fn new(stream: IO, patience: Duration) -> Self {
        let (io, timer) = (TokioIo::new(stream), Timer::default());
        Self { io, patience, stalled_since: None, timer }
    }

    fn watch<T>(
        &mut self,
        moved: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.stalled_since = None;
            return moved;
        }
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        self.timer.set(Some(since + self.patience));
        self.timer.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<IO: Socket> Read for Paced<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buffer)
    }
}

impl<IO: Socket> Write for Paced<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let moved = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.watch(moved, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let moved = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        this.watch(moved, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let moved = Pin::new(&mut this.io).poll_flush(cx);
        this.watch(moved, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let moved = Pin::new(&mut this.io).poll_shutdown(cx);
        this.watch(moved, cx)
    }
}
