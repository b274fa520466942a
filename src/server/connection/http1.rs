//! An HTTP/1 connection, from its first byte to its close.
//!
//! hyper parses; this drives it, drains it, and says how it ended. A connection that ends in the
//! middle of a head is counted once, by reason; one that ends in the middle of an exchange is not,
//! because the exchange's record says it.

use std::error::Error;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::proxy::peer::Peer;
use crate::proxy::{Proxy, pipeline};
use crate::server::guard::Guard;
use crate::server::rare::Rare;
use crate::server::socket::Socket;
use crate::telemetry::metrics::ConnectionError;

/// How long a closed connection is read on, so that a reset does not destroy our last answer.
const LINGER: Duration = Duration::from_secs(1);
/// How much of what the client still sends is thrown away meanwhile, in bytes.
const LINGER_BYTES: usize = 256 * 1024;

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
    let service = service_fn(move |request| Box::pin(pipeline::handle(hall, client, request)));
    let mut connection = http1::Builder::new()
        .header_read_timeout(None) // The guard times the head.
        .max_headers(limits.max_headers)
        .max_header_size(limits.max_header_bytes)
        .half_close(false) // An end of file is a client that left.
        .serve_connection(guard, service);

    let stopped = pin!(stop.cancelled());
    let result = tokio::select! {
        biased;
        result = &mut connection => result,
        () = Rare::new(stopped) => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    let was_running = peer.link.is_busy();
    let parts = connection.into_parts();
    let has_rest = !parts.read_buf.is_empty();
    let (stream, was_in_head) = parts.io.finish();
    // Bytes after an exchange that did not read its request's body are that body, not a head.
    let was_in_head = (was_in_head || has_rest) && !peer.link.has_unread();
    if let Err(error) = &result
        && !was_running
        && let Some(reason) = broken_head(error, was_in_head)
    {
        metrics.connection_error(reason);
    }
    // Boxed: the end of a connection needs room only then.
    Box::pin(close(stream, peer.link.has_unread() || result.is_err() || has_rest)).await;
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
    let said_goodbye = stream.shutdown().await.is_ok();
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
