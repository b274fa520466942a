//! An HTTP/1 connection, from its first byte to its close.
//!
//! hyper parses; this drives it, drains it, and says how it ended. While the client is silent between
//! two messages there is no hyper: the connection is parked (see [`crate::server::pause`]). A
//! connection that ends in the middle of a head is counted once, by reason; one that ends in the
//! middle of an exchange is not, because the exchange's record says it.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::proxy::peer::{Link, Peer};
use crate::proxy::{Proxy, pipeline};
use crate::server::guard::{Ending, Guard};
use crate::server::pause::{Parkable, Pause, Sign};
use crate::server::rare::Rare;
use crate::server::socket::Socket;
use crate::telemetry::metrics::ConnectionError;

/// How long a closed connection is read on, so that a reset does not destroy our last answer.
const LINGER: Duration = Duration::from_secs(1);
/// How much of what the client still sends is thrown away meanwhile, in bytes.
const LINGER_BYTES: usize = 256 * 1024;

/// What one read may bring, in bytes, and with how much of an answer still unwritten no more of it is
/// taken from the upstream. A head must fit.
const BUFFER: usize = 64 * 1024;

/// Serves a connection until it ends. Once `stop` is cancelled, the running exchange is finished and
/// the connection closed. Dropping the future cuts the connection. Its first byte has been seen;
/// `until` is when the first head must be complete.
pub(super) async fn serve(
    proxy: &Arc<Proxy>,
    mut stream: impl Socket + Parkable,
    mut peer: Peer,
    until: Instant,
    stop: CancellationToken,
) {
    let mut pause = Pause { until, is_first: true };
    let has_unread = loop {
        // Boxed, so that a parked connection does not keep the room.
        let next;
        (stream, next) = Box::pin(talk(proxy, stream, &peer, pause, &stop)).await;
        pause = match next {
            Next::Park(pause) => pause,
            Next::Close { has_unread } => break has_unread,
        };
        peer.link = Arc::default(); // The old one keeps a timer.
        match pause.wait(&stream, &stop).await {
            Sign::Readable => {}
            Sign::Late => break true,
            Sign::Gone | Sign::Stopped => break false,
        }
    };
    // Boxed: the end of a connection needs room only then.
    Box::pin(close(stream, has_unread)).await;
}

/// What becomes of a connection that hyper has let go of.
enum Next {
    /// It is between two messages.
    Park(Pause),
    /// It is over; whether what the client still sends must be thrown away.
    Close { has_unread: bool },
}

/// Serves exchanges until the connection is over or its client silent between two of them.
async fn talk<IO: Socket>(
    proxy: &Arc<Proxy>,
    stream: IO,
    peer: &Peer,
    pause: Pause,
    stop: &CancellationToken,
) -> (IO, Next) {
    let limits = proxy.plan().limits;
    let guard = Guard::new(stream, &peer.link, pause, &limits);
    let service = service_fn(move |request| pipeline::handle(proxy, peer, request));
    let mut connection = http1::Builder::new()
        .header_read_timeout(None) // The guard times the head.
        .max_headers(limits.max_headers)
        .max_header_size(limits.max_header_bytes)
        .max_buf_size(BUFFER.max(limits.max_header_bytes))
        .half_close(false) // An end of file is a client that left.
        // A small answer is copied for less than a vectored write costs to set up (docs/performance.md).
        .writev(false)
        .serve_connection(guard, service);

    let stopped = pin!(stop.cancelled());
    let ended = tokio::select! {
        biased;
        ended = end_or_quiet(&mut connection, &peer.link) => ended,
        () = Rare::new(stopped) => None,
    };
    let (result, is_between) = match ended {
        Some(result) => (result, false),
        None => let_go(&mut connection).await,
    };
    let was_running = peer.link.is_busy();
    let parts = connection.into_parts();
    let has_rest = !parts.read_buf.is_empty();
    let (stream, ending) = parts.io.finish();
    if let Ending::Between(pause) = ending
        && is_between
        && result.is_ok()
        && !has_rest
        && peer.link.is_quiet()
    {
        return (stream, Next::Park(pause));
    }
    // Bytes after an exchange that did not read its request's body are that body, not a head.
    let was_in_head = (ending == Ending::InHead || has_rest) && !peer.link.has_unread();
    if let Err(error) = &result
        && !was_running
        && let Some(reason) = broken_head(error, was_in_head)
    {
        proxy.telemetry().metrics().connection_error(reason);
    }
    let has_unread = peer.link.has_unread() || result.is_err() || has_rest;
    (stream, Next::Close { has_unread })
}

type Serving<IO, S> = http1::Connection<Guard<IO>, S>;

/// Drives the connection to its end; `None` once its client is silent between two messages.
async fn end_or_quiet<IO, S, B>(
    connection: &mut Serving<IO, S>,
    link: &Link,
) -> Option<hyper::Result<()>>
where
    IO: Socket,
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    poll_fn(|cx| match Pin::new(&mut *connection).poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending if link.is_quiet() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Ends the connection as soon as its exchange is over, and says whether that was at once: hyper
/// itself then knows of no message that has begun.
async fn let_go<IO, S, B>(connection: &mut Serving<IO, S>) -> (hyper::Result<()>, bool)
where
    IO: Socket,
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut connection = Pin::new(connection);
    connection.as_mut().graceful_shutdown();
    match poll_fn(|cx| Poll::Ready(connection.as_mut().poll(cx))).await {
        Poll::Ready(result) => (result, true),
        Poll::Pending => (connection.await, false),
    }
}

/// Why a connection ended in the middle of a head; `None` where it did not.
fn broken_head(error: &hyper::Error, was_in_head: bool) -> Option<ConnectionError> {
    if error.is_parse() {
        return Some(ConnectionError::Parse);
    }
    if !was_in_head || error.is_user() {
        return None;
    }
    let timed_out = error
        .source()
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .is_some_and(|cause| cause.kind() == ErrorKind::TimedOut);
    Some(if timed_out { ConnectionError::HeadTimeout } else { ConnectionError::Incomplete })
}

/// Closes the socket. With bytes of the client's still unread, a plain close would be a reset, and
/// the reset would overtake our last answer (RFC 9112 §9.6): so the write side goes first.
pub(in crate::server) async fn close(mut stream: impl Socket, has_unread: bool) {
    // TLS says its own goodbye first, and a client that stopped reading would not let it.
    let said_goodbye = timeout(LINGER, stream.shutdown()).await.is_ok_and(|said| said.is_ok());
    if !said_goodbye || !has_unread {
        return;
    }
    let drained = timeout(LINGER, async {
        let (mut scratch, mut left) = (vec![0; 8 * 1024], LINGER_BYTES);
        while let Ok(read @ 1..) = stream.read(&mut scratch).await {
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
        }
    });
    // Whether the client stopped in time changes nothing: the socket closes now.
    drop(drained.await);
}

#[cfg(test)]
mod tests;
