//! The first bytes of a connection, looked at without taking them: HTTP/2 or not?
//!
//! Almost every client is told by its first byte. Nothing here decides whether the bytes are right.

use std::io;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
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

/// Looks at the first bytes of a TCP connection. `None` if none came before `until` or `stop`, or the
/// client left.
pub(super) async fn of_tcp(
    stream: &TcpStream,
    until: Instant,
    stop: &CancellationToken,
) -> Option<Protocol> {
    in_time(peek(stream, PREFACE.len()), until, stop).await
}

/// Looks at the first bytes of a connection in the clear; see [`of_tcp`].
pub(super) async fn of(
    stream: &mut Stream,
    until: Instant,
    stop: &CancellationToken,
) -> Option<Protocol> {
    match stream {
        Stream::Tcp(stream) => of_tcp(stream, until, stop).await,
        Stream::Unix(stream) => in_time(read_ahead(stream, PREFACE.len()), until, stop).await,
        Stream::Tls(_) => Some(Protocol::Http1),
    }
}

/// Waits for the first byte; see [`of_tcp`].
pub(super) async fn first_byte(
    stream: &mut Stream,
    until: Instant,
    stop: &CancellationToken,
) -> Option<()> {
    let seen = match stream {
        Stream::Tcp(stream) => in_time(peek(stream, 1), until, stop).await,
        Stream::Unix(stream) => in_time(read_ahead(stream, 1), until, stop).await,
        Stream::Tls(_) => Some(Protocol::Http1),
    };
    seen.map(|_| ())
}

async fn in_time(
    look: impl Future<Output = io::Result<Option<Protocol>>>,
    until: Instant,
    stop: &CancellationToken,
) -> Option<Protocol> {
    tokio::select! {
        biased;
        seen = timeout_at(until, look) => seen.ok()?.ok()?,
        () = stop.cancelled() => None,
    }
}

/// Peeks until it is clear what these bytes begin, or `enough` of them agree with the preface.
async fn peek(stream: &TcpStream, enough: usize) -> io::Result<Option<Protocol>> {
    let mut bytes = [0; PREFACE.len()];
    loop {
        let there = stream.peek(&mut bytes[..enough]).await?;
        match judge(&bytes[..there], enough) {
            Verdict::Known(protocol) => return Ok(protocol),
            Verdict::Open => wait_for_more(stream, there).await?,
        }
    }
}

/// Waits until more than `there` bytes can be read, or the client has closed. A peek alone would find
/// the same bytes again at once.
async fn wait_for_more(stream: &TcpStream, there: usize) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let mut scratch = [std::mem::MaybeUninit::uninit(); PREFACE.len()];
    let more = || match socket.peek(&mut scratch) {
        Ok(found) if found == there => Err(io::ErrorKind::WouldBlock.into()),
        other => other.map(|_| ()),
    };
    stream.async_io(Interest::READABLE, more).await
}

async fn read_ahead(stream: &mut Unix, enough: usize) -> io::Result<Option<Protocol>> {
    let mut before = 0;
    loop {
        let bytes = stream.look_ahead(enough).await?;
        match judge(bytes, enough) {
            // The end of the file behind a part of the preface.
            Verdict::Open if bytes.len() == before => return Ok(Some(Protocol::Http1)),
            Verdict::Open => before = bytes.len(),
            Verdict::Known(protocol) => return Ok(protocol),
        }
    }
}

enum Verdict {
    /// `None`: there is nothing, and nothing will come.
    Known(Option<Protocol>),
    /// So far it is the preface.
    Open,
}

fn judge(bytes: &[u8], enough: usize) -> Verdict {
    if bytes.is_empty() {
        Verdict::Known(None)
    } else if !PREFACE.starts_with(bytes) {
        Verdict::Known(Some(Protocol::Http1))
    } else if bytes.len() < enough {
        Verdict::Open
    } else {
        Verdict::Known(Some(Protocol::Http2))
    }
}
