//! A request body on its way into a stream, as fast as the upstream's window allows.
//!
//! At most one piece of the body is held here. Room is asked for only once there is a piece to send, so
//! that a client that sends nothing takes no window from the others on the connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;

use crate::proxy::request_body::RequestBody;

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
            if let Some((data, is_last)) = self.held.take() {
                if self.stream.capacity() == 0 {
                    match self.stream.poll_capacity(cx) {
                        Poll::Pending => {
                            self.held = Some((data, is_last));
                            return Poll::Pending;
                        }
                        Poll::Ready(Some(Ok(room))) => {
                            if room == 0 {
                                self.held = Some((data, is_last));
                                continue;
                            }
                        }
                        Poll::Ready(_) => return Poll::Ready(Sent::Refused),
                    }
                }
                if let Some(end) = self.send(data, is_last) {
                    return Poll::Ready(end);
                }
                continue;
            }
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            self.is_begun = true;
            match frame {
                None => {
                    let end = self.send(Bytes::new(), true);
                    return Poll::Ready(end.unwrap_or(Sent::Whole));
                }
                Some(Err(_)) => {
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(Sent::Broken);
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() && !self.body.is_end_stream() => {}
                    Ok(data) => {
                        if !data.is_empty() {
                            self.stream.reserve_capacity(1);
                            self.held = Some((data, self.body.is_end_stream()));
                        } else if let Some(end) = self.send(data, true) {
                            return Poll::Ready(end);
                        }
                    }
                    Err(frame) => {
                        let Ok(trailers) = frame.into_trailers() else { continue };
                        self.stream.reserve_capacity(0);
                        let sent = self.stream.send_trailers(trailers);
                        return Poll::Ready(sent.map_or(Sent::Refused, |()| Sent::Whole));
                    }
                },
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
