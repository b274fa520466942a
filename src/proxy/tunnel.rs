//! A connection that has switched protocols: bytes both ways, until both ends have said all.
//!
//! Promises: each way holds one buffer and reads no more until it is written, so a slow reader slows
//! its writer down; an end of file is passed on as one, and the other way goes on; a tunnel in which
//! nothing moves holds no buffer. The clocks are `upgrade_idle` and `stream_max`; a dropped tunnel
//! ends its exchange as any dropped exchange ends.
//!
//! What the bytes say is never looked at.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use super::exchange::Exchange;
use super::request_body::Meter;
use super::upstream::lease::Switched;
use crate::record::{Abort, Failure, Outcome, Phase};

/// What each way reads at once, in bytes.
const BUFFER: usize = 16 * 1024;

/// An exchange whose upstream has switched, waiting for its client's socket.
#[derive(Debug)]
pub struct Tunnel {
    exchange: Box<Exchange>,
    upstream: Switched,
}

impl Tunnel {
    /// A tunnel of this exchange to this upstream.
    pub fn new(exchange: Box<Exchange>, upstream: Switched) -> Self {
        Self { exchange, upstream }
    }

    /// Carries bytes until both sides have ended, one broke, or a clock ran out. `early` is what the
    /// client has sent behind its request.
    ///
    /// Not cancel safe, on purpose: dropping it cuts the tunnel.
    pub async fn carry(self, client: impl AsyncRead + AsyncWrite + Unpin, early: Bytes) {
        let Self { mut exchange, mut upstream } = self;
        let meter = Arc::<Meter>::default();
        exchange.measure(&meter);
        let timeouts = &exchange.plan.timeouts;
        let mut running = Running {
            idle: timeouts.upgrade_idle,
            end_by: timeouts.stream_max.map(|max| exchange.began() + max),
            waiting_since: None,
            up: Way::starting_with(early),
            down: Way::starting_with(std::mem::take(&mut upstream.early)),
            client,
            upstream,
            meter,
            exchange,
        };
        let outcome = poll_fn(|cx| running.poll(cx)).await;
        running.exchange.end(outcome);
    }
}

/// A tunnel under way.
struct Running<C> {
    // First, so that a tunnel that is cut leaves its record before its sockets close.
    exchange: Box<Exchange>,
    client: C,
    upstream: Switched,
    /// From the client to the upstream.
    up: Way,
    /// From the upstream to the client.
    down: Way,
    meter: Arc<Meter>,
    idle: Option<Duration>,
    waiting_since: Option<Instant>,
    end_by: Option<Instant>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Running<C> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        // Down first: an upstream that said its last word and closed has not broken anything.
        let (down, came) = self.down.poll(&mut self.upstream.io, &mut self.client, cx);
        self.exchange.bytes_out += came;
        match down {
            Poll::Ready(Err(Broken::Source)) => {
                return Poll::Ready(Outcome::Failed(Failure::UpstreamReset));
            }
            Poll::Ready(Err(Broken::Sink)) if !self.up.has_ended() => return Poll::Ready(GONE),
            // A client that has said all and left needs nothing more.
            Poll::Ready(Err(Broken::Sink)) => self.down.stage = Stage::Done,
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        let (up, went) = self.up.poll(&mut self.client, &mut self.upstream.io, cx);
        self.meter.add(usize::try_from(went).unwrap_or(usize::MAX));
        match up {
            Poll::Ready(Err(Broken::Source)) => return Poll::Ready(GONE),
            Poll::Ready(Err(Broken::Sink)) if !self.down.has_ended() => {
                return Poll::Ready(Outcome::Failed(Failure::UpstreamReset));
            }
            Poll::Ready(Err(Broken::Sink)) => self.up.stage = Stage::Done,
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        if self.up.stage == Stage::Done && self.down.stage == Stage::Done {
            return Poll::Ready(Outcome::Served);
        }
        if came > 0 || went > 0 {
            self.waiting_since = None;
        }
        self.poll_clocks(cx)
    }

    fn poll_clocks(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let idle_due =
            self.idle.map(|idle| *self.waiting_since.get_or_insert_with(Instant::now) + idle);
        let due = [idle_due, self.end_by].into_iter().flatten().min();
        ready!(self.exchange.link().poll_due(due, cx));
        Poll::Ready(Outcome::Aborted(if due == self.end_by {
            Abort::StreamMaxDuration
        } else {
            Abort::StreamIdleTimeout
        }))
    }
}

const GONE: Outcome = Outcome::Gone { phase: Phase::Response };

/// One direction.
#[derive(Debug)]
struct Way {
    /// Read and not yet written.
    buffer: BytesMut,
    stage: Stage,
    /// Whether something was written since the last flush.
    is_unflushed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The source has ended; the sink is to be told once it has everything.
    Ending,
    Done,
}

/// Which end of a way broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Source,
    Sink,
}

impl Way {
    fn starting_with(early: Bytes) -> Self {
        Self { buffer: early.into(), stage: Stage::Open, is_unflushed: false }
    }

    fn has_ended(&self) -> bool {
        self.stage != Stage::Open
    }

    /// Moves what can be moved now; also says how many bytes that was.
    fn poll(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        sink: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> (Poll<Result<(), Broken>>, u64) {
        let mut moved = 0;
        let ended = self.poll_moving(source, sink, &mut moved, cx);
        (ended, moved)
    }

    fn poll_moving(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        sink: &mut (impl AsyncWrite + Unpin),
        moved: &mut u64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        while self.stage != Stage::Done {
            while !self.buffer.is_empty() {
                let written = ready!(Pin::new(&mut *sink).poll_write(cx, &self.buffer));
                let written = written.and_then(some).map_err(|_| Broken::Sink)?;
                self.buffer.advance(written);
                self.is_unflushed = true;
                *moved += written as u64;
            }
            if self.stage == Stage::Ending {
                let told = ready!(Pin::new(&mut *sink).poll_shutdown(cx));
                self.stage = Stage::Done;
                told.map_err(|_| Broken::Sink)?;
                break;
            }
            self.buffer.reserve(BUFFER);
            match poll_read_buf(Pin::new(&mut *source), cx, &mut self.buffer) {
                Poll::Ready(Ok(0)) => self.stage = Stage::Ending,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Source)),
                Poll::Pending => {
                    self.buffer = BytesMut::new(); // It is empty, and may stay so for long.
                    ready!(self.poll_flush(sink, cx))?;
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(
        &mut self,
        sink: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        if self.is_unflushed {
            ready!(Pin::new(sink).poll_flush(cx)).map_err(|_| Broken::Sink)?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// A write of nothing is an end.
fn some(written: usize) -> io::Result<usize> {
    if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}
