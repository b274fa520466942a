//! An HTTP/1 connection, from its first byte to its close.
//!
//! The guard judges, hyper parses; this drives them, drains them, answers what the guard refused, and
//! says how it ended. A connection that ends in the middle of a head is counted once, by reason; one
//! that ends in the middle of an exchange, or by a refusal, is not, because a record says it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::model::ServerLimits;
use crate::proxy::peer::Peer;
use crate::proxy::{Proxy, pipeline};
use crate::server::guard::answering::Answering;
use crate::server::guard::{Broken, Guard, Remains, refused};
use crate::server::rare::Rare;
use crate::server::socket::Socket;
use crate::telemetry::metrics::ConnectionError;

/// How long a closed connection is read on, so that a reset does not destroy our last answer.
const LINGER: Duration = Duration::from_secs(1);
/// How much of what the client still sends is thrown away meanwhile, in bytes.
const LINGER_BYTES: usize = 256 * 1024;
/// How many fields hyper reads without being told, and without allocating.
const HYPERS_HEADERS: usize = 100;
/// How large a head may be that hyper keeps without being told, in bytes.
const HYPERS_BUFFER: usize = 256 * 1024;

/// Serves a connection until it ends. Once `stop` is cancelled, the running exchange is finished and
/// the connection closed. Dropping the future cuts the connection. `until` is when the first head must be
/// complete.
pub(super) async fn serve(
    proxy: &Arc<Proxy>,
    stream: impl Socket,
    peer: Peer,
    until: Instant,
    stop: CancellationToken,
) {
    let metrics = proxy.telemetry().metrics().clone();
    let limits = proxy.plan().limits;
    let guard = Guard::new(stream, &peer.link, &limits, until);
    let (hall, client) = (proxy, &peer);
    // hyper keeps room for the service's future as long as the connection lives; boxed, it is there
    // only while there is an exchange. An idle connection is a quarter smaller for it.
    let service = service_fn(move |request| {
        Answering::new(Box::pin(pipeline::handle(hall, client, request)), &client.link)
    });
    let mut connection = builder(&limits).serve_connection(TokioIo::new(guard), service);

    let stopped = pin!(stop.cancelled());
    let result = tokio::select! {
        biased;
        result = &mut connection => result,
        () = Rare::new(stopped) => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    let parts = connection.into_parts();
    let has_rest = !parts.read_buf.is_empty();
    let remains = parts.io.into_inner().finish();
    if let Some(reason) = broken_head(result.as_ref().err(), remains.broken_head) {
        metrics.connection_error(reason);
    }
    let has_unread = remains.has_unread || peer.link.has_unread() || result.is_err() || has_rest;
    // Boxed: the end of a connection needs room only then.
    Box::pin(end(proxy, &peer, remains, limits.write_timeout, has_unread)).await;
}

/// How hyper reads what the guard has let through: at least as generously, so that it never refuses
/// anything itself.
fn builder(limits: &ServerLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None); // The guard times the head.
    builder.half_close(false); // An end of file is a client that left.
    builder.max_header_size(limits.max_header_bytes);
    if limits.max_headers > HYPERS_HEADERS {
        builder.max_headers(limits.max_headers); // For more, hyper allocates with each head.
    }
    if limits.max_header_bytes > HYPERS_BUFFER {
        builder.max_buf_size(limits.max_header_bytes);
    }
    builder
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
async fn end(
    proxy: &Arc<Proxy>,
    peer: &Peer,
    remains: Remains<impl Socket>,
    patience: Duration,
    has_unread: bool,
) {
    let mut stream = remains.io;
    if let Some(refusal) = remains.refusal {
        let answer = refused::answer(proxy, peer, &remains.unreleased, refusal);
        // Whether the client took it changes nothing: the record says what it was told.
        drop(timeout(patience, stream.write_all(&answer)).await);
    }
    close(stream, has_unread).await;
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
