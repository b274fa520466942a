//! The body of an HTTP/2 answer, and what is still being sent of its request.
//!
//! Window is given back as data is handed on, so a client that reads slowly holds the upstream back.
//! Dropped before its end, the stream is reset (`CANCEL`), which is how a leaving client cancels its
//! upstream request; the connection and its other streams go on.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};
use tokio::task::AbortHandle;

use super::pump::Pump;
use super::{Shared, Slot};

/// An answer's body.
pub(in super::super) struct Answer {
    stream: RecvStream,
    /// What is left of the announced length.
    left: Option<u64>,
    is_over: bool,
    request: Option<Sending>,
    slot: Option<Box<Slot>>,
}

/// A request body that is sent by a task of its own, because the answer came first. It must not wait
/// until the client has read: a client may send before it reads.
struct Sending(AbortHandle);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Answer {
    /// `length` is what the head announced.
    pub(super) fn new(
        stream: RecvStream,
        length: Option<u64>,
        pump: Option<Pump>,
        slot: Box<Slot>,
    ) -> Self {
        let request = pump.map(|pump| Sending(send(&slot.shared, pump)));
        // HEAD and 304 announce a length that does not come.
        let left = if stream.is_end_stream() { Some(0) } else { length };
        Self { stream, left, is_over: false, request, slot: Some(slot) }
    }

    /// Ends the body: the stream goes back to the connection.
    pub(in super::super) fn finish(&mut self) {
        self.request = None;
        self.slot = None;
    }

    fn end(&mut self) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        self.is_over = true;
        Poll::Ready(None)
    }
}

fn send(shared: &Shared, pump: Pump) -> AbortHandle {
    shared.tasks.spawn(pump).abort_handle()
}

impl Body for Answer {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        match ready!(this.stream.poll_data(cx)) {
            Some(Ok(data)) => {
                // It fails only on a stream that is gone, which the next poll tells.
                let _gone = this.stream.flow_control().release_capacity(data.len());
                this.left = this.left.map(|left| left.saturating_sub(data.len() as u64));
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => match ready!(this.stream.poll_trailers(cx)) {
                Ok(Some(trailers)) => {
                    this.is_over = true;
                    Poll::Ready(Some(Ok(Frame::trailers(trailers))))
                }
                Ok(None) => this.end(),
                Err(error) => Poll::Ready(Some(Err(error))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("slot", &self.slot).finish_non_exhaustive()
    }
}
