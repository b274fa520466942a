//! The first bytes of a connection, looked at without taking them: HTTP/2 or not?
//!
//! Almost every client is told by its first byte. Nothing here decides whether the bytes are right.

use std::io;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::server::socket::{Stream, Unix};

/// With what an HTTP/2 client begins (RFC 9113 §3.4). No HTTP/1 method is its beginning.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.0 or 1.1, or something that is not HTTP.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Nothing to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nothing {
    /// Nobody said anything, until the clock ran out, the client left or the house closed.
    Said,
    /// The preface was not complete in time.
    Late,
}

/// Looks at the first bytes of a TCP connection. Where they end in the middle of a preface, HTTP/1 has
/// the words for half a head.
pub(super) async fn of_tcp(
    stream: &TcpStream,
    until: Instant,
    stop: &CancellationToken,
) -> Result<Protocol, Nothing> {
    in_time(peek(stream, PREFACE.len(), until), until, stop).await
}

/// Looks at the first bytes of a connection in the clear; see [`of_tcp`].
pub(super) async fn of(
    stream: &mut Stream,
    until: Instant,
    stop: &CancellationToken,
) -> Result<Protocol, Nothing> {
    match stream {
        Stream::Tcp(stream) => of_tcp(stream, until, stop).await,
        Stream::Unix(stream) => {
            in_time(read_ahead(stream, PREFACE.len(), until), until, stop).await
        }
        Stream::Tls(_) => Ok(Protocol::Http1),
    }
}

/// Waits for the first byte; see [`of_tcp`].
pub(super) async fn first_byte(
    stream: &mut Stream,
    until: Instant,
    stop: &CancellationToken,
) -> Result<(), Nothing> {
    let seen = match stream {
        Stream::Tcp(stream) => in_time(peek(stream, 1, until), until, stop).await,
        Stream::Unix(stream) => in_time(read_ahead(stream, 1, until), until, stop).await,
        Stream::Tls(_) => Ok(Protocol::Http1),
    };
    seen.map(|_| ())
}

async fn in_time(
    look: impl Future<Output = Result<Protocol, Nothing>>,
    until: Instant,
    stop: &CancellationToken,
) -> Result<Protocol, Nothing> {
    tokio::select! {
        biased;
        seen = look => seen,
        () = sleep_until(until) => Err(Nothing::Said),
        () = stop.cancelled() => Err(Nothing::Said),
    }
}

/// Peeks until it is clear what these bytes begin, or `enough` of them agree with the preface.
async fn peek(stream: &TcpStream, enough: usize, until: Instant) -> Result<Protocol, Nothing> {
    let mut bytes = [0; PREFACE.len()];
    loop {
        let there = stream.peek(&mut bytes[..enough]).await.map_err(|_| Nothing::Said)?;
        match judge(&bytes[..there], enough) {
            Verdict::Known(protocol) => return protocol,
            Verdict::Open => match timeout_at(until, wait_for_more(stream, there)).await {
                Ok(Ok(true)) => {}
                Ok(_) => return Ok(Protocol::Http1),
                Err(_) => return Err(Nothing::Late),
            },
        }
    }
}

/// Waits until more than `there` bytes can be read. A peek alone would find the same bytes again at
/// once. `false` if no more will come.
async fn wait_for_more(stream: &TcpStream, there: usize) -> io::Result<bool> {
    let socket = SockRef::from(stream);
    let mut scratch = [std::mem::MaybeUninit::uninit(); PREFACE.len()];
    loop {
        let ready = stream.ready(Interest::READABLE).await?;
        // Within the call, so that only the readiness from before this look is forgotten.
        let more = || match socket.peek(&mut scratch) {
            Ok(found) if found == there => Err(io::ErrorKind::WouldBlock.into()),
            other => other.map(|_| true),
        };
        match stream.try_io(Interest::READABLE, more) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if ready.is_read_closed() {
                    return Ok(false);
                }
            }
            found => return found,
        }
    }
}

async fn read_ahead(stream: &mut Unix, enough: usize, until: Instant) -> Result<Protocol, Nothing> {
    let mut before = 0;
    loop {
        let nothing = if before > 0 { Nothing::Late } else { Nothing::Said };
        let bytes = timeout_at(until, stream.look_ahead(enough)).await.map_err(|_| nothing)?;
        let bytes = bytes.map_err(|_| Nothing::Said)?;
        match judge(bytes, enough) {
            // The end of the file behind a part of the preface.
            Verdict::Open if bytes.len() == before => return Ok(Protocol::Http1),
            Verdict::Open => before = bytes.len(),
            Verdict::Known(protocol) => return protocol,
        }
    }
}

enum Verdict {
    Known(Result<Protocol, Nothing>),
    /// So far it is the preface.
    Open,
}

fn judge(bytes: &[u8], enough: usize) -> Verdict {
    if bytes.is_empty() {
        Verdict::Known(Err(Nothing::Said))
    } else if !PREFACE.starts_with(bytes) {
        Verdict::Known(Ok(Protocol::Http1))
    } else if bytes.len() < enough {
        Verdict::Open
    } else {
        Verdict::Known(Ok(Protocol::Http2))
    }
}
