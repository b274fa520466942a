//! An upstream's answer on its way to the client: its frames, its clocks, and how it ends.
//!
//! Frames pass unchanged. The exchange ends with the last of them, with the first that must not pass,
//! or when a clock of ours runs out; the client can always tell a whole answer from a cut one.
//!
//! It does not wait: where the client's connection takes no more, hyper asks for no more.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::naming::Naming;
use super::reading::Reading;
use super::watch::Watch;
use super::{CutAnswer, ending};
use crate::http::problem::{self, Problem};
use crate::http::{answer, hop, sse};
use crate::proxy::classify;
use crate::proxy::exchange::Exchange;
use crate::proxy::upstream::lease::UpstreamBody;
use crate::record::{Abort, Failure, Outcome};

/// An upstream's answer and the exchange it belongs to.
#[derive(Debug)]
pub struct Followed {
    body: UpstreamBody,
    exchange: Box<Exchange>,
    /// The exact length, where it is known.
    expected: Option<u64>,
    /// What measures a stream.
    watch: Option<Watch>,
    /// What reads the body for the route's captures.
    reading: Option<Box<Reading>>,
    /// What looks for the class of an error.
    naming: Option<Box<Naming>>,
    idle: Option<Duration>,
    /// When the last frame passed, or the first was waited for.
    waiting_since: Option<Instant>,
    /// When the whole answer must be over, and what it means if it is not.
    end_by: Option<(Instant, Outcome)>,
    /// Whether an event of ours may follow the upstream's.
    takes_events: bool,
    cut: Cut,
    /// When the last of the upstream's bytes was handed on; its connection goes back once they are let go
    /// of, and can take the next answer where they lay.
    handed_on: Option<Instant>,
}

/// How far an answer that broke has been cut. On an error hyper drops what it has buffered, so it
/// gets one turn to flush first: the client sees all that was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// It is whole so far.
    Not,
    /// The last event has been handed over, and is to be flushed.
    Told,
    /// hyper is told at the next poll.
    Now,
}

impl Followed {
    /// Follows `body` with the clocks of the plan.
    pub fn new(body: UpstreamBody, exchange: Box<Exchange>, shape: classify::Shape) -> Self {
        let timeouts = &exchange.plan.timeouts;
        let is_stream = exchange.stream.is_some();
        let (idle, end_by) = if is_stream {
            let max = timeouts.stream_max.map(|max| exchange.began() + max);
            let late = Outcome::Aborted(Abort::StreamMaxDuration);
            (timeouts.stream_idle, max.map(|max| (max, late)))
        } else {
            let max = timeouts.request.map(|max| exchange.began() + max);
            (timeouts.idle, max.map(|max| (max, Outcome::Failed(Failure::RequestTimeout))))
        };
        let expected = body.size_hint().exact();
        let naming = if shape.tells_class { Naming::begin(expected, &exchange) } else { None };
        let reading = shape.text.and_then(|text| Reading::begin(text, expected, &exchange));
        Self {
            expected,
            reading: reading.map(Box::new),
            naming: naming.map(Box::new),
            watch: exchange.stream.as_ref().map(|stream| Watch::new(stream.kind)),
            takes_events: shape.takes_events,
            waiting_since: None,
            cut: Cut::Not,
            handed_on: None,
            body,
            exchange,
            idle,
            end_by,
        }
    }

    /// Whether nothing more will come.
    pub(super) fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    /// What is known of the length.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    /// The next frame.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutAnswer>>> {
        match self.cut {
            Cut::Not => {}
            // A reset would throw away what HTTP/2 has queued, and the client has been told why.
            Cut::Told if self.exchange.protocol() == "2" => return Poll::Ready(None),
            Cut::Told => return self.flush_and_cut(cx),
            Cut::Now => return Poll::Ready(Some(Err(CutAnswer))),
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                if frame
                    .trailers_mut()
                    .is_some_and(|trailers| trailers.keys().any(answer::is_framing))
                {
                    // Whoever believed them would find another end of the message.
                    return self.cut(Outcome::Failed(Failure::UpstreamProtocol), cx);
                }
                self.pass(&mut frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let failure = if error.is_malformed() {
                    Failure::UpstreamProtocol
                } else {
                    Failure::UpstreamReset
                };
                // Where the upstream answers early, it may be the request that breaks.
                let outcome = self.exchange.broken_request();
                self.cut(outcome.unwrap_or(Outcome::Failed(failure)), cx)
            }
            Poll::Ready(None) => {
                self.finish(Instant::now(), Outcome::Served);
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_clocks(cx),
        }
    }

    fn pass(&mut self, frame: &mut Frame<Bytes>) {
        let now = Instant::now();
        self.waiting_since = Some(now);
        if let Some(data) = frame.data_ref() {
            if !data.is_empty() {
                self.exchange.note_first_byte(now);
            }
            self.exchange.bytes_out += data.len() as u64;
            if let Some(watch) = &mut self.watch {
                watch.pass(data, now, &mut self.exchange);
            }
            if let Some(reading) = &mut self.reading
                && !reading.take(data, &self.exchange)
            {
                self.reading = None;
            }
            if let Some(naming) = &mut self.naming
                && !naming.take(data, &mut self.exchange)
            {
                self.naming = None;
            }
            if self.body.is_end_stream() {
                self.end(now, Outcome::Served);
                self.handed_on = Some(now);
            }
        } else if let Some(trailers) = frame.trailers_mut() {
            hop::strip_trailers(trailers);
            trailers.remove(&self.exchange.plan.request_id_header);
            // Trailers are the last frame by definition; hyper does not poll again.
            self.finish(now, ending(trailers));
        }
    }

    fn poll_clocks(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutAnswer>>> {
        let idle_due =
            self.idle.map(|idle| *self.waiting_since.get_or_insert_with(Instant::now) + idle);
        let since = self.waiting_since;
        self.exchange.note_handed_on(|| since.unwrap_or_else(Instant::now));
        let due = [idle_due, self.end_by.map(|(due, _)| due)].into_iter().flatten().min();
        std::task::ready!(self.exchange.link().poll_due(due, cx));
        let outcome = match self.end_by {
            Some((end, outcome)) if Some(end) == due => outcome,
            _ if self.exchange.stream.is_some() => Outcome::Aborted(Abort::StreamIdleTimeout),
            _ => Outcome::Aborted(Abort::IdleTimeout),
        };
        self.cut(outcome, cx)
    }

    /// Ends the exchange, and the answer soon after; an event stream first says why, where it can.
    fn cut(
        &mut self,
        outcome: Outcome,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutAnswer>>> {
        let event = self.last_event(outcome);
        self.exchange.bytes_out += event.as_ref().map_or(0, Bytes::len) as u64;
        self.conclude(false);
        self.exchange.end(outcome);
        let Some(event) = event else { return self.flush_and_cut(cx) };
        self.cut = Cut::Told;
        Poll::Ready(Some(Ok(Frame::data(event))))
    }

    fn flush_and_cut(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutAnswer>>> {
        self.cut = Cut::Now;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The `error` event of a stream that a clock of ours ended, or that its upstream broke off between
    /// two events: half an event must not be made a whole one.
    fn last_event(&self, outcome: Outcome) -> Option<Bytes> {
        let (status, title) = match outcome {
            _ if !self.takes_events => return None,
            Outcome::Aborted(abort) => (abort.status(), abort.title()),
            Outcome::Failed(failure) => (failure.status(), failure.title()),
            _ => return None,
        };
        let is_whole = self.watch.as_ref().is_some_and(Watch::is_between_events);
        if !is_whole && matches!(outcome, Outcome::Failed(_)) {
            return None;
        }
        let error_type = outcome.error_type(Some(status))?;
        let error_type = error_type.as_str();
        let document = self.exchange.id().with_str(|id| {
            let mut problem = Problem::new(status, title, error_type, id);
            problem.type_uri = problem::type_uri(&self.exchange.plan.errors_type_base, error_type);
            problem.json()
        });
        Some(sse::error_event(&document).into())
    }

    /// Hands over the facts of what has passed.
    fn conclude(&mut self, is_whole: bool) {
        if let Some(naming) = self.naming.take() {
            naming.conclude(&mut self.exchange);
        }
        if let Some(reading) = self.reading.take() {
            reading.conclude(is_whole, &mut self.exchange);
        }
    }

    fn finish(&mut self, now: Instant, outcome: Outcome) {
        self.end(now, outcome);
        self.body.finish(now);
    }

    fn end(&mut self, now: Instant, outcome: Outcome) {
        self.conclude(true);
        self.exchange.end_at(now, outcome);
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if let Some(now) = self.handed_on {
            self.body.finish(now);
        }
        if self.exchange.is_over() {
            return;
        }
        // A client may close as soon as it has the announced length, before hyper asks again.
        if self.expected == Some(self.exchange.bytes_out) {
            self.finish(Instant::now(), Outcome::Served);
        }
        self.conclude(false);
    }
}
