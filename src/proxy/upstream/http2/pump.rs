//! A request body on its way into a stream, as fast as the upstream's window allows.
//!
//! At most one piece of the body is held here. Room is asked for only once there is a piece to send, so
//! that a client that sends nothing takes no window from the others on the connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body, Frame};

use crate::proxy::request_body::{BrokenRequest, RequestBody};

/// A body being sent. As a future it ends when there is nothing more to send.
pub(super) struct Pump {
    body: RequestBody,
    stream: SendStream<Bytes>,
    held: Option<(Bytes, bool)>,
    is_begun: bool,
}

/// How the sending of a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// All of it.
    Whole,
    /// The upstream wants no more of it; what it answers says why.
    Refused,
    /// The body broke; its meter says why. The stream has been reset.
    Broken,
}

impl Pump {
    pub(super) fn new(body: RequestBody, stream: SendStream<Bytes>) -> Self {
        Self { body, stream, held: None, is_begun: false }
    }

    /// The body, if nothing of it has been read yet.
    pub(super) fn into_untouched(self) -> Option<RequestBody> {
        (!self.is_begun).then_some(self.body)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Sent> {
        loop {
            if self.stream.poll_reset(cx).is_ready() {
                return Poll::Ready(Sent::Refused);
            }
            let end = if self.held.is_some() {
                ready!(self.poll_held(cx))
            } else {
                let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
                self.is_begun = true;
                self.take(frame)
            };
            if let Some(end) = end {
                return Poll::Ready(end);
            }
        }
    }

    /// Sends the piece that is held, once there is room for some of it; the rest waits in the stream.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Option<Sent>> {
        if self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(0)) => return Poll::Ready(None),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Some(Sent::Refused)),
            }
        }
        let held = self.held.take();
        Poll::Ready(held.and_then(|(data, is_last)| self.send(data, is_last)))
    }

    /// Takes what the body gave: sends it, or holds it until there is room.
    fn take(&mut self, frame: Option<Result<Frame<Bytes>, BrokenRequest>>) -> Option<Sent> {
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => {
                self.stream.send_reset(Reason::CANCEL);
                return Some(Sent::Broken);
            }
            None => return self.send(Bytes::new(), true),
        };
        match frame.into_data() {
            Ok(data) => {
                let is_last = self.body.is_end_stream();
                if data.is_empty() {
                    return if is_last { self.send(data, true) } else { None };
                }
                self.stream.reserve_capacity(1);
                self.held = Some((data, is_last));
                None
            }
            Err(frame) => {
                let trailers = frame.into_trailers().ok()?;
                self.stream.reserve_capacity(0);
                let sent = self.stream.send_trailers(trailers);
                Some(sent.map_or(Sent::Refused, |()| Sent::Whole))
            }
        }
    }

    fn send(&mut self, data: Bytes, is_last: bool) -> Option<Sent> {
        match self.stream.send_data(data, is_last) {
            Ok(()) => is_last.then_some(Sent::Whole),
            Err(_) => Some(Sent::Refused),
        }
    }
}

impl Future for Pump {
    type Output = Sent;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Sent> {
        self.get_mut().poll_send(cx)
    }
}
