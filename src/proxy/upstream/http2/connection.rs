//! One HTTP/2 connection: opened, kept moving by a task of its own, closed.
//!
//! Many exchanges share it, so none of them can poll it; the task belongs to the pool's tracker. A
//! connection is given out only after its first PING came back: by then the upstream has proved that
//! it speaks HTTP/2, and its settings are known. After that a PING with a deadline finds out whether
//! somebody is still there, when an exchange doubts it, and rarely otherwise: gRPC servers take frequent
//! PINGs for an attack (their usual bound is one in five minutes).

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{Ping, PingPong};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::MAX_STREAMS;
use crate::http::answer::head::MAX_FIELDS;
use crate::proxy::upstream::http1::MAX_HEAD;
use crate::proxy::upstream::outage::{Kind, Trouble};
use crate::proxy::upstream::stream::Stream;

/// What one answer may have waiting here for a client that reads slowly, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Room for all streams at once, so that a slow client holds back its own answer and no other.
#[expect(clippy::cast_possible_truncation, reason = "a hundred streams")]
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MAX_STREAMS as u32;
/// What one request may have waiting here for an upstream that reads slowly, in bytes.
const SEND_BUFFER: usize = 64 * 1024;

/// Between two PINGs that nobody asked for.
const KEEP_ALIVE: Duration = Duration::from_secs(310);
/// At least so long between two PINGs on doubt.
const BETWEEN_DOUBTS: Duration = Duration::from_mins(1);
/// For a PING to come back.
const PONG: Duration = Duration::from_secs(5);
/// For what is left to be written when a connection is closed.
const FAREWELL: Duration = Duration::from_millis(500);

type Driver = client::Connection<Stream, Bytes>;

/// An open connection that nobody drives yet.
pub(super) struct Opened {
    pub(super) sender: SendRequest<Bytes>,
    driver: Driver,
    pings: Option<PingPong>,
}

/// The side of a connection that its users hold.
#[derive(Clone, Debug)]
pub(super) struct Strings {
    /// Cancelled, it closes the connection once nothing runs on it.
    pub(super) closing: CancellationToken,
    /// Notified when an exchange waited in vain.
    pub(super) doubt: Arc<Notify>,
}

/// Speaks HTTP/2 first, without asking, and waits until the upstream has answered in kind.
pub(super) async fn open(stream: Stream, deadline: Instant) -> Result<Opened, Trouble> {
    let greeted = timeout_at(deadline, async {
        let (sender, mut driver) = builder().handshake(stream).await?;
        let mut pings = driver.ping_pong();
        let is_there = match &mut pings {
            Some(pings) => greet(pings, &mut driver).await?,
            None => true,
        };
        Ok(is_there.then_some(Opened { sender, driver, pings }))
    });
    let why = match greeted.await {
        Ok(Ok(Some(opened))) => return Ok(opened),
        // What is not HTTP/2 at all breaks the framing, which the library finds by itself.
        Ok(Err(error)) if is_our_finding(&error) => {
            let why = "it answers in something else; is it `http://`, not `h2c://`?";
            return Err(Trouble::new(Kind::WrongProtocol, why));
        }
        Ok(Ok(None)) => "it closed the connection; is it `http://`, not `h2c://`?".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_late) => "no answer in time; is it `http://`, not `h2c://`?".to_owned(),
    };
    Err(Trouble::new(Kind::Mute, why))
}

/// Whether an error is one that we found in the upstream's bytes, not one that it told us.
pub(super) fn is_our_finding(error: &h2::Error) -> bool {
    error.is_library()
}

fn builder() -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .initial_max_send_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        // Clients that leave reset their streams; what the upstream had under way for those is no
        // offence of its.
        .max_concurrent_reset_streams(10 * MAX_STREAMS)
        .max_local_error_reset_streams(None);
    builder
}

/// Sends a PING and drives the connection until it is back. `false` where the connection ended first.
async fn greet(pings: &mut PingPong, driver: &mut Driver) -> Result<bool, h2::Error> {
    let mut pong = pin!(pings.ping(Ping::opaque()));
    let mut driver = pin!(driver);
    poll_fn(|cx| {
        if let Poll::Ready(ended) = driver.as_mut().poll(cx) {
            return Poll::Ready(ended.map(|()| false));
        }
        pong.as_mut().poll(cx).map_ok(|_| true)
    })
    .await
}

/// Whether an answer has more fields than we take, on any protocol.
pub(super) fn has_too_many_fields(headers: &http::HeaderMap) -> bool {
    headers.len() > MAX_FIELDS
}

impl Opened {
    /// Drives the connection until it ends: by itself, at a PING that did not come back, or because
    /// it was told to close. `leave` is called once no new request may come; it must drop the
    /// senders.
    pub(super) async fn run(self, strings: Strings, leave: impl FnOnce()) {
        let Self { sender, mut driver, mut pings } = self;
        drop(sender); // The pool has its own.
        let lost = watch(pings.as_mut(), &strings.doubt);
        let is_closing = tokio::select! {
            _ended = &mut driver => false,
            () = lost => false,
            () = strings.closing.cancelled() => true,
        };
        leave();
        if is_closing {
            // Without senders and streams it says goodbye and ends.
            drop(timeout(FAREWELL, &mut driver).await);
        }
    }
}

/// Resolves when the upstream no longer answers PINGs.
async fn watch(pings: Option<&mut PingPong>, doubt: &Notify) {
    let Some(pings) = pings else { return std::future::pending().await };
    let mut asked = Instant::now();
    loop {
        tokio::select! {
            () = sleep_until(asked + KEEP_ALIVE) => {}
            () = doubt.notified() => {
                if asked.elapsed() < BETWEEN_DOUBTS {
                    continue;
                }
            }
        }
        asked = Instant::now();
        if !matches!(timeout(PONG, pings.ping(Ping::opaque())).await, Ok(Ok(_))) {
            tracing::warn!("The upstream no longer answers on an HTTP/2 connection.");
            return;
        }
    }
}
