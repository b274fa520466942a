//! One HTTP/1.1 connection to the upstream, driven by whoever holds it.
//!
//! A codec of our own, because a client for everybody costs a request more than HTTP does, and forgives
//! answers that two readers could understand differently (docs/decisions/0016). Nothing is spawned: an
//! exchange polls its connection, so dropping it cancels whatever is under way. Both ways run at once: an
//! answer may come before its request is sent.
//!
//! Promises: what is not exactly one answer is an error, and ends the connection; so does a request that
//! does not end as it was announced. A connection is ready for a request only where nothing is owed in
//! either direction. While it waits it holds no buffer.
//!
//! What a request says is its maker's business, what an answer says its reader's.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Frame, SizeHint};
use hyper::ext::ReasonPhrase;
use tokio::task::unconstrained;

use super::stream::Stream;
use crate::http::answer::Malformed;
use crate::http::answer::head::Head;
use crate::proxy::request_body::RequestBody;

mod incoming;
mod outgoing;
#[cfg(test)]
mod tests;

use incoming::Incoming;
pub(super) use incoming::MAX_HEAD;
use outgoing::Outgoing;

/// One connection to the upstream.
pub struct Connection {
    stream: Stream,
    outgoing: Outgoing,
    incoming: Incoming,
}

/// Whether a connection can take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// It can, as far as the socket knows by now.
    Ready,
    /// Its upstream has closed it, or something is owed on it.
    Closed,
    /// Its upstream has said what nobody asked for.
    Spoke,
}

/// Why an exchange on a connection broke. The connection can do nothing more.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// What the upstream said is not one answer.
    #[error("the upstream's answer is malformed: {0}")]
    Malformed(Malformed),
    /// The connection ended before the answer did.
    #[error("the connection to the upstream ended")]
    Gone(#[source] io::Error),
    /// The request's body broke. Its meter says why.
    #[error("the request broke before all of it was sent")]
    Request,
}

impl Connection {
    /// A connection on which nothing has been said yet.
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, outgoing: Outgoing::default(), incoming: Incoming::default() }
    }

    /// Looks whether it can take a request. Whoever waited on it before is forgotten: what happens on it
    /// wakes nobody, until somebody polls it again.
    pub(super) fn readiness(&mut self) -> Readiness {
        if !self.outgoing.is_whole() || !self.incoming.is_reusable() {
            return Readiness::Closed;
        }
        let Self { incoming, stream, .. } = self;
        // A task that has used up its turn would find nothing, whatever there is.
        let look = pin!(unconstrained(poll_fn(|cx| incoming.poll_fill(stream, cx))));
        match look.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Readiness::Ready,
            Poll::Ready(Ok(1..)) => Readiness::Spoke,
            Poll::Ready(_) => Readiness::Closed,
        }
    }

    /// Takes a request, of which nothing is sent yet. The connection is ready for one.
    pub(super) fn ask(&mut self, request: Request<RequestBody>) {
        let (head, body) = request.into_parts();
        self.outgoing.begin(&head, body);
        self.incoming.await_head(head.method == Method::HEAD, head.headers);
    }

    /// Sends on, and waits for the head of the answer.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<()>, Broken>> {
        loop {
            self.poll_send(cx)?;
            let mut goes_on = false;
            let head = self.incoming.take_head(|| goes_on = true).map_err(Broken::Malformed)?;
            if goes_on {
                // The body was asked for, even where the answer came with that.
                self.outgoing.release();
                self.poll_send(cx)?;
            }
            if let Some(head) = head {
                return Poll::Ready(Ok(response(head)));
            }
            ready!(self.poll_read(cx))?;
        }
    }

    /// Sends on, and waits for the next of the answer's body.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if self.incoming.is_over() {
                return Poll::Ready(None);
            }
            self.poll_send(cx)?;
            if let Some(frame) = self.incoming.take_frame().map_err(Broken::Malformed)? {
                return Poll::Ready(Some(Ok(frame)));
            }
            if !self.incoming.is_over() {
                ready!(self.poll_read(cx))?;
            }
        }
    }

    /// Sends as much of the request as goes.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        match self.outgoing.poll(&mut self.stream, cx) {
            Poll::Ready(Err(broken)) => Err(broken),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Reads more of the answer.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        match ready!(self.incoming.poll_fill(&mut self.stream, cx)) {
            Ok(1..) => Poll::Ready(Ok(())),
            Ok(0) if self.incoming.ends_with_the_connection() => Poll::Ready(Ok(())),
            Ok(0) => Poll::Ready(Err(Broken::Gone(io::ErrorKind::UnexpectedEof.into()))),
            Err(error) => Poll::Ready(Err(Broken::Gone(error))),
        }
    }

    /// Whether the answer is over.
    pub(super) fn is_end_stream(&self) -> bool {
        self.incoming.is_over()
    }

    /// How much of the answer's body is still to come.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    /// The stream of a connection that has switched protocols, and what was read behind the 101. `None`
    /// of any other.
    pub(super) fn into_switched(self) -> Option<(Stream, Bytes)> {
        let early = if self.outgoing.is_whole() { self.incoming.into_early() } else { None };
        early.map(|early| (self.stream, early))
    }
}

impl fmt::Debug for Connection {
    /// Says nothing of what is said on it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("stream", &self.stream).finish_non_exhaustive()
    }
}

fn response(head: Head) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = head.status;
    *response.version_mut() = head.version;
    *response.headers_mut() = head.headers;
    if let Some(reason) = head.reason.and_then(|reason| ReasonPhrase::try_from(&*reason).ok()) {
        response.extensions_mut().insert(reason);
    }
    response
}
