//! An HTTP/1 connection, from its first byte to its close.
//!
//! The guard judges, hyper parses; this drives them, drains them, answers what the guard refused, and
//! says how it ended. While the client is silent between two messages there is no hyper: the
//! connection is parked (see [`crate::server::pause`]). A connection that ends in the middle of a head
//! is counted once, by reason; one that ends in the middle of an exchange, or by a refusal, is not,
//! because a record says it.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::model::ServerLimits;
use crate::http::framing::Refusal;
use crate::proxy::peer::{Link, Peer};
use crate::proxy::tunnel::Tunnel;
use crate::proxy::{Proxy, pipeline};
use crate::server::guard::answering::Answering;
use crate::server::guard::{Broken, Guard, refused};
use crate::server::pause::{Parkable, Pause, Sign};
use crate::server::rare::Rare;
use crate::server::socket::Socket;
use crate::telemetry::metrics::ConnectionError;

/// How long a closed connection is read on, so that a reset does not destroy our last answer.
const LINGER: Duration = Duration::from_secs(1);
/// How much of what the client still sends is thrown away meanwhile, in bytes.
const LINGER_BYTES: usize = 256 * 1024;
/// How many fields hyper reads without being told, and without allocating.
const HYPERS_HEADERS: usize = 100;

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
    let farewell = loop {
        // Boxed, so that a parked connection does not keep the room.
        let next;
        (stream, next) = Box::pin(talk(proxy, stream, &peer, pause, &stop)).await;
        pause = match next {
            Next::Park(pause) => pause,
            Next::Carry(tunnel, early) => return Box::pin(tunnel.carry(stream, early)).await,
            Next::Close(farewell) => break farewell,
        };
        peer.link = Arc::default(); // The old one keeps a timer.
        match pause.wait(&stream, &stop).await {
            Sign::Readable => {}
            Sign::Late => break Farewell { refused: None, has_unread: true },
            Sign::Gone | Sign::Stopped => break Farewell { refused: None, has_unread: false },
        }
    };
    // Boxed: the end of a connection needs room only then.
    Box::pin(part(proxy, &peer, stream, farewell)).await;
}

/// What becomes of a connection that hyper has let go of.
enum Next {
    /// It is between two messages.
    Park(Pause),
    /// It has switched protocols; these bytes came behind the request that asked for it.
    Carry(Box<Tunnel>, Bytes),
    /// It is over.
    Close(Farewell),
}

/// What is left to do for a connection that is over.
struct Farewell {
    /// What was refused, and why, where nobody has answered it yet.
    refused: Option<(Vec<u8>, Refusal)>,
    /// Whether what the client still sends must be thrown away.
    has_unread: bool,
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
    let guard = Guard::new(stream, &peer.link, &limits, pause);
    // hyper keeps room for the service's future as long as there is a connection; boxed, it is there
    // only while there is an exchange.
    let service = service_fn(move |request| {
        Answering::new(Box::pin(pipeline::handle(proxy, peer, request)), &peer.link)
    });
    let mut connection = builder(&limits).serve_connection(TokioIo::new(guard), service);

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
    // Once a client has offered an upgrade, hyper ends without its last step, which flushes; asked again
    // it takes it. After any other end there is nothing left to flush.
    let tunnel = peer.tunnel.take();
    let result = match result {
        Ok(()) if tunnel.is_some() => (&mut connection).await,
        ended => ended,
    };
    if let Some(tunnel) = tunnel {
        let parts = connection.into_parts();
        let remains = parts.io.into_inner().finish();
        // Where the 101 could not be written the tunnel is dropped, and its exchange says so.
        if result.is_ok() {
            let early = Bytes::from([&parts.read_buf[..], &remains.unreleased].concat());
            return (remains.io, Next::Carry(tunnel, early));
        }
        return (remains.io, Next::Close(Farewell { refused: None, has_unread: true }));
    }
    let parts = connection.into_parts();
    let has_rest = !parts.read_buf.is_empty();
    let remains = parts.io.into_inner().finish();
    if let Some(pause) = remains.pause
        && is_between
        && result.is_ok()
        && !has_rest
        && peer.link.is_quiet()
    {
        return (remains.io, Next::Park(pause));
    }
    if let Some(reason) = broken_head(result.as_ref().err(), remains.broken_head) {
        proxy.telemetry().metrics().connection_error(reason);
    }
    let has_unread = remains.has_unread || peer.link.has_unread() || result.is_err() || has_rest;
    let refused = remains.refusal.map(|refusal| (remains.unreleased, refusal));
    (remains.io, Next::Close(Farewell { refused, has_unread }))
}

/// How hyper reads what the guard has let through: at least as generously, so that it never refuses
/// anything itself.
fn builder(limits: &ServerLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None); // The guard times the head.
    builder.half_close(true); // The guard sees a client leave.
    builder.max_header_size(limits.max_header_bytes);
    builder.max_buf_size(BUFFER.max(limits.max_header_bytes));
    // A small answer is copied for less than a vectored write costs to set up (docs/performance.md).
    builder.writev(false);
    if limits.max_headers > HYPERS_HEADERS {
        builder.max_headers(limits.max_headers); // For more, hyper allocates with each head.
    }
    builder
}

type Serving<IO, S> = http1::Connection<TokioIo<Guard<IO>>, S>;

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
fn broken_head(error: Option<&hyper::Error>, broken: Option<Broken>) -> Option<ConnectionError> {
    match broken {
        Some(Broken::Ended) => Some(ConnectionError::Incomplete),
        Some(Broken::TimedOut) => Some(ConnectionError::HeadTimeout),
        None => error.is_some_and(hyper::Error::is_parse).then_some(ConnectionError::Parse),
    }
}

/// Answers what nobody has answered yet, and closes.
async fn part(proxy: &Arc<Proxy>, peer: &Peer, mut stream: impl Socket, farewell: Farewell) {
    if let Some((unreleased, refusal)) = farewell.refused {
        let patience = proxy.plan().limits.write_timeout;
        let answer = refused::answer(proxy, peer, &unreleased, refusal);
        // Whether the client took it changes nothing: the record says what it was told.
        drop(timeout(patience, stream.write_all(&answer)).await);
    }
    close(stream, farewell.has_unread).await;
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
