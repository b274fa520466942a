//! One HTTP/1.1 connection to the upstream, polled by whoever holds it.
//!
//! hyper splits a client connection into a sender and a driver future. Nothing is spawned: the
//! exchange that uses the connection polls the driver, so dropping the connection cancels whatever
//! is under way on it.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::bell::Bell;
use super::ear::{self, Ear, Mouth};
use super::stream::Stream;
use crate::proxy::request_body::RequestBody;

/// Response heads larger than this are refused as a protocol error.
pub(super) const MAX_RESPONSE_HEAD: usize = 64 * 1024;
/// More header fields than this in a response are refused as a protocol error. It is what hyper has room
/// for without being told; for more it allocates with each head.
pub(super) const MAX_RESPONSE_HEADERS: usize = 100;
/// What one read may bring, and what may wait to be written, in bytes. Where the client reads slowly, one
/// such read waits for it; smaller ones cost big bodies more CPU than they save.
const BUFFER: usize = 256 * 1024;

type Driver = http1::Connection<TokioIo<Ear<Stream>>, RequestBody>;

/// One connection to the upstream.
pub struct Connection {
    pub(super) sender: http1::SendRequest<RequestBody>,
    line: Line,
    mouth: Mouth,
    bell: Bell,
}

/// What is polled of a connection.
struct Line {
    /// `None` once the connection has ended.
    driver: Option<Driver>,
    /// What is left of it then: its stream, and what was read behind the last answer.
    left: Option<(Stream, Bytes)>,
}

impl Connection {
    /// Makes a connection of a stream. Nothing is written yet.
    pub(super) async fn open(stream: Stream) -> io::Result<Self> {
        let (ear, mouth) = ear::listen(stream);
        let (sender, driver) = http1::Builder::new()
            .writev(false) // As on the client's side.
            .max_header_size(MAX_RESPONSE_HEAD)
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(ear))
            .await
            .map_err(io::Error::other)?;
        let mut line = Line { driver: Some(driver), left: None };
        // The first poll makes the sender ready.
        line.drive(&mut Context::from_waker(Waker::noop()));
        Ok(Self { sender, line, mouth, bell: Bell::new() })
    }

    /// Moves bytes both ways until `look` finds what the caller waits for, or nothing moves.
    pub(super) fn poll_for<T>(
        &mut self,
        cx: &mut Context<'_>,
        look: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Self { bell, line, .. } = self;
        bell.answer(cx, |cx| line.drive(cx), look)
    }

    /// Says that a request is about to be handed to the sender, on a connection that owes no answer.
    pub(super) fn ask(&self) {
        self.mouth.ask();
        self.bell.ring();
    }

    /// Whether it can take a request: open, nothing owed in either direction. Notices a connection
    /// that the upstream has closed, as far as the socket knows by now. Whoever drove it before is
    /// forgotten: the next request on it must not wake another client's task.
    pub(super) fn is_alive(&mut self) -> bool {
        self.bell.forget();
        self.line.drive(&mut Context::from_waker(Waker::noop())) && self.sender.is_ready()
    }

    /// Whether it broke because of what the upstream said on it.
    pub(super) fn is_malformed(&self) -> bool {
        self.mouth.is_malformed()
    }

    /// The stream of a connection on which HTTP has ended, and what was read behind its last answer.
    /// `None` where HTTP goes on.
    pub(super) fn into_stream(self) -> Option<(Stream, Bytes)> {
        self.line.left
    }
}

impl Line {
    /// Moves bytes both ways as far as they go. Returns whether the connection is still open.
    fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(driver) = &mut self.driver
            && Pin::new(driver).poll(cx).is_ready()
        {
            // Taken apart at once: only then does a request that it has not begun come back.
            self.left = self.driver.take().map(|driver| {
                let parts = driver.into_parts();
                (parts.io.into_inner().into_inner(), parts.read_buf)
            });
        }
        self.driver.is_some()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("is_open", &self.line.driver.is_some())
            .finish_non_exhaustive()
    }
}
