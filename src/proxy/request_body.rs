//! The client's body on its way to the upstream: counted, bounded, never buffered.
//!
//! The body is polled inside the upstream connection, out of reach of the exchange, so it leaves its
//! state in a shared [`Meter`]: how many bytes passed, whether it is complete, and why it broke.
//!
//! It does not decide what a broken body means; [`super::forward`] does.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::http::hop;

/// The request body as the upstream connection sees it; `None` where there is nothing. Boxed, because
/// most requests have no body, and each is moved several times on its way.
#[derive(Debug)]
pub struct RequestBody(Option<Box<Content>>);

/// What is left of a body.
#[derive(Debug)]
struct Content {
    /// Frames that were read for inspection and go first.
    lead: VecDeque<Frame<Bytes>>,
    rest: Option<Incoming>,
    is_http2: bool,
    meter: Arc<Meter>,
    max: u64,
    /// A body that the client holds back until it is asked for (`Expect: 100-continue`), and so do we
    /// until the upstream has asked, or has kept silent for so long (RFC 9110 §10.1.1).
    held: Option<Pin<Box<Sleep>>>,
    /// Fields that its trailers may not have, besides those that none may have.
    removed: Option<Arc<[HeaderName]>>,
}

/// What is known of a request body from outside.
#[derive(Debug, Default)]
pub struct Meter {
    bytes: AtomicU64,
    state: AtomicU8,
}

/// Where a request body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// The upstream has not asked for more.
    Idle = 0,
    /// The upstream wants more and the client has not sent it.
    Waiting,
    /// All of it has passed.
    Complete,
    /// It grew over the bound.
    TooLarge,
    /// The client's connection ended before the body did.
    Gone,
    /// The client's framing broke.
    Malformed,
}

impl Meter {
    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Where the body is.
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            0 => State::Idle,
            1 => State::Waiting,
            2 => State::Complete,
            3 => State::TooLarge,
            4 => State::Gone,
            _ => State::Malformed,
        }
    }

    /// Notes bytes that were read ahead of forwarding.
    pub fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn enter(&self, state: State) {
        self.state.store(state as u8, Ordering::Relaxed);
    }
}

impl RequestBody {
    /// Wraps what is left of a body. `lead` holds frames already read (and already in the meter);
    /// `max` bounds the whole, in bytes.
    pub fn new(
        lead: VecDeque<Frame<Bytes>>,
        rest: Incoming,
        is_http2: bool,
        meter: &Arc<Meter>,
        max: u64,
    ) -> Self {
        let rest = Some(rest).filter(|rest| !rest.is_end_stream());
        if lead.is_empty() && rest.is_none() {
            meter.enter(State::Complete);
            return Self::nothing();
        }
        let meter = Arc::clone(meter);
        Self(Some(Box::new(Content {
            lead,
            rest,
            is_http2,
            meter,
            max,
            held: None,
            removed: None,
        })))
    }

    /// No body.
    pub fn nothing() -> Self {
        Self(None)
    }

    /// Whether the client has not been asked for any of it yet.
    pub fn is_untouched(&self) -> bool {
        self.0.as_ref().is_some_and(|body| body.lead.is_empty() && body.rest.is_some())
    }

    /// Holds the body back until it is released, but no longer than `patience`.
    pub fn hold(&mut self, patience: Duration) {
        if let Some(body) = &mut self.0 {
            body.held = Some(Box::pin(tokio::time::sleep(patience)));
        }
    }

    /// Takes these fields out of its trailers, too.
    pub fn remove_from_trailers(&mut self, fields: &Arc<[HeaderName]>) {
        if let Some(body) = &mut self.0 {
            body.removed = Some(Arc::clone(fields));
        }
    }

    /// Holds nothing back any longer. Whoever does so polls the body next; nobody else is woken.
    pub fn release(&mut self) {
        if let Some(body) = &mut self.0 {
            body.held = None;
        }
    }
}

impl Content {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenRequest>>> {
        if let Some(patience) = &mut self.held {
            ready!(patience.as_mut().poll(cx));
            self.held = None;
        }
        if let Some(mut frame) = self.lead.pop_front() {
            self.clean(&mut frame);
            if self.lead.is_empty() && self.rest.is_none() {
                self.meter.enter(State::Complete);
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        self.poll_rest(cx)
    }

    fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenRequest>>> {
        let Some(rest) = &mut self.rest else {
            self.meter.enter(State::Complete);
            return Poll::Ready(None);
        };
        match Pin::new(&mut *rest).poll_frame(cx) {
            Poll::Pending => {
                self.meter.enter(State::Waiting);
                Poll::Pending
            }
            Poll::Ready(None) if is_cut(rest, self.is_http2) => self.fail(State::Gone),
            Poll::Ready(None) => {
                self.meter.enter(State::Complete);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(mut frame))) => {
                let is_over = rest.is_end_stream();
                self.clean(&mut frame);
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.meter.add(length);
                if self.meter.bytes() > self.max {
                    return self.fail(State::TooLarge);
                }
                self.meter.enter(if is_over { State::Complete } else { State::Idle });
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.fail(if is_gone(&error) { State::Gone } else { State::Malformed })
            }
        }
    }

    /// Takes out of trailers what may not pass, also where they were read ahead of forwarding.
    fn clean(&self, frame: &mut Frame<Bytes>) {
        let Some(trailers) = frame.trailers_mut() else { return };
        hop::strip_trailers(trailers);
        if let Some(removed) = &self.removed {
            let named: Vec<_> = hop::named(trailers, removed).cloned().collect();
            for name in named {
                trailers.remove(name);
            }
        }
    }

    fn fail(&self, state: State) -> Poll<Option<Result<Frame<Bytes>, BrokenRequest>>> {
        self.meter.enter(state);
        Poll::Ready(Some(Err(BrokenRequest(state))))
    }
}

/// Whether a body error means that the client's connection ended, rather than that its bytes were
/// wrong. hyper reports bad chunk framing as an `InvalidInput` or `InvalidData` I/O error.
pub fn is_gone(error: &hyper::Error) -> bool {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind::{InvalidData, InvalidInput};
            return !matches!(io.kind(), InvalidData | InvalidInput);
        }
        source = cause.source();
    }
    true
}

/// Whether a body of which nothing more comes has not come to its end: hyper takes a stream of HTTP/2 that its
/// client reset without naming an error for a whole body. Forwarded, a part would be taken for the whole.
pub fn is_cut(body: &Incoming, is_http2: bool) -> bool {
    is_http2 && !body.is_end_stream()
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BrokenRequest;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenRequest>>> {
        match &mut self.0 {
            Some(body) => body.poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|body| {
            body.lead.is_empty() && body.rest.as_ref().is_none_or(Body::is_end_stream)
        })
    }

    fn size_hint(&self) -> SizeHint {
        let Some(body) = &self.0 else { return SizeHint::with_exact(0) };
        let head =
            body.lead.iter().filter_map(Frame::data_ref).map(Bytes::len).sum::<usize>() as u64;
        let rest = body.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(head));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(head));
        }
        hint
    }
}

/// A request body that could not be passed on; the [`Meter`] says why.
#[derive(Debug)]
pub struct BrokenRequest(State);

impl fmt::Display for BrokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::TooLarge => "the request body is too large",
            State::Malformed => "the request body is malformed",
            _ => "the client's connection ended before its request body",
        })
    }
}

impl Error for BrokenRequest {}
