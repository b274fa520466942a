//! An HTTP/2 connection, from its preface to its close.
//!
//! hyper and h2 frame, and refuse what is not HTTP/2; this bounds what a client may open, hold and
//! reset, says goodbye (GOAWAY, RFC 9113 §6.8) when it has been quiet for too long or the house drains,
//! and does not wait for ever for a client that ignores that.
//!
//! What h2 refuses on a stream (a reset) or on the connection (GOAWAY) never becomes an exchange;
//! a connection that ends so is counted by reason.

use std::convert::Infallible;
use std::error::Error;
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::pace::Paced;
use super::streams::{Answer, Streams};
use crate::config::model::ServerLimits;
use crate::proxy::peer::Peer;
use crate::proxy::{Proxy, pipeline};
use crate::server::entrance::Entrance;
use crate::server::rare::Rare;
use crate::server::socket::Socket;
use crate::telemetry::metrics::ConnectionError;

/// Streams open at once on one connection.
const MAX_STREAMS: u32 = 128;
/// Bytes of request body that may be under way on one stream.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Bytes of request bodies that may be under way on one connection.
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// Bytes of an answer that wait for a client to read on, for each stream.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that the client has reset and nobody has looked at yet (CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Streams that were reset here for a mistake of the client's.
const LOCAL_RESETS: usize = 256;
/// How long a connection is silent before the client is asked whether it is there.
const PING_AFTER: Duration = Duration::from_secs(30);
/// How long it may take to say so.
const PONG_WITHIN: Duration = Duration::from_secs(20);
/// How long a client may take to close after a GOAWAY, once none of its streams is open.
const GOODBYE: Duration = Duration::from_secs(5);
/// What a field costs in a header list beside its bytes (RFC 9113 §6.5.2).
const FIELD_OVERHEAD: usize = 32;

/// Serves a connection until it ends. Once `stop` is cancelled, the running streams are finished and
/// no more begin. Dropping the future cuts the connection and all its streams. `until` is when the
/// first head must be there.
pub(super) async fn serve(
    entrance: &Entrance,
    stream: impl Socket,
    peer: Peer,
    until: Instant,
    stop: CancellationToken,
) {
    let limits = entrance.proxy.plan().limits;
    let streams = Streams::new(entrance.tasks.clone(), limits.write_timeout);
    let service = {
        let (proxy, streams) = (Arc::clone(&entrance.proxy), streams.clone());
        service_fn(move |request| answer(&proxy, &peer, &streams, request))
    };
    let mut connection = pin!(
        builder(&streams, &limits)
            .serve_connection(Paced::new(stream, limits.write_timeout), service)
    );
    let mut farewell = Farewell { first_by: until, idle: limits.idle_timeout, said: None };
    let mut stopped = pin!(stop.cancelled());
    let mut stopped = Rare::new(stopped.as_mut());
    let ended = loop {
        let polled = std::future::poll_fn(|cx| {
            if streams.is_flooded() {
                return Poll::Ready(Ended::Flooded);
            }
            connection.as_mut().poll(cx).map(Ended::Closed)
        });
        tokio::select! {
            biased;
            ended = polled => break ended,
            () = &mut stopped, if farewell.said.is_none() => {}
            () = sleep_until(farewell.next_look(&streams)) => match farewell.look(&streams) {
                Look::Wait => continue,
                Look::Part => {}
                Look::Cut => break Ended::Ignored,
            },
        }
        connection.as_mut().graceful_shutdown();
        farewell.said = Some(Instant::now());
    };
    if let Some(reason) = reason(&ended) {
        entrance.proxy.telemetry().metrics().connection_error(reason);
    }
}

fn builder(streams: &Streams, limits: &ServerLimits) -> http2::Builder<Streams> {
    // What is larger than ours altogether, h2 refuses with a bare 431; the pipeline is exact.
    let header_list = limits.max_header_bytes + (limits.max_headers + 1) * FIELD_OVERHEAD;
    let mut builder = http2::Builder::new(streams.clone());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(header_list).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PONG_WITHIN);
    builder
}

type Answering =
    Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send + 'static>>;

/// Answers one request. Its exchange begins now, whatever becomes of the stream's task.
fn answer(
    proxy: &Arc<Proxy>,
    peer: &Peer,
    streams: &Streams,
    request: Request<Incoming>,
) -> Answering {
    let stream = streams.begin();
    let handling =
        pipeline::handle(Arc::clone(proxy), peer.with_link(Arc::clone(&stream.link)), request);
    Box::pin(async move {
        let response = handling.await?;
        stream.note_answer();
        Ok(response.map(|body| Answer::new(body, stream)))
    })
}

/// When a connection has been quiet for too long.
struct Farewell {
    /// When the first stream must have begun.
    first_by: Instant,
    /// How long there may be no stream after that.
    idle: Duration,
    /// When the client was told to leave.
    said: Option<Instant>,
}

enum Look {
    Wait,
    /// It is time to say goodbye.
    Part,
    /// It was said, and the client does not leave.
    Cut,
}

impl Farewell {
    /// When it will be time, as far as can be told now.
    fn next_look(&self, streams: &Streams) -> Instant {
        match (streams.quiet_since(), self.said) {
            (Some(since), Some(said)) => since.max(said) + GOODBYE,
            (Some(_), None) if streams.begun() == 0 => self.first_by,
            (Some(since), None) => since + self.idle,
            (None, Some(_)) => Instant::now() + GOODBYE,
            (None, None) => Instant::now() + self.idle,
        }
    }

    fn look(&self, streams: &Streams) -> Look {
        if streams.quiet_since().is_none() || Instant::now() < self.next_look(streams) {
            Look::Wait
        } else if self.said.is_none() {
            Look::Part
        } else {
            Look::Cut
        }
    }
}

/// How a connection ended.
enum Ended {
    Closed(hyper::Result<()>),
    /// The client stayed after the goodbye.
    Ignored,
    /// The client reset most of what it began.
    Flooded,
}

/// What to count, where an ending is an error that no record tells of.
fn reason(ended: &Ended) -> Option<ConnectionError> {
    let error = match ended {
        Ended::Closed(Ok(())) | Ended::Ignored => return None,
        Ended::Closed(Err(error)) => error,
        Ended::Flooded => return Some(ConnectionError::Flood),
    };
    let Some(cause) = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>()) else {
        // A ping that was not answered.
        return Some(ConnectionError::Io);
    };
    if let Some(io) = cause.get_io() {
        let is_late = io.kind() == ErrorKind::TimedOut;
        return Some(if is_late { ConnectionError::WriteTimeout } else { ConnectionError::Io });
    }
    match cause.reason() {
        Some(h2::Reason::ENHANCE_YOUR_CALM) => Some(ConnectionError::Flood),
        _ if cause.is_library() => Some(ConnectionError::Parse),
        _ => Some(ConnectionError::Other),
    }
}
