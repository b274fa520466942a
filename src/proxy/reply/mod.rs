//! The body that hyper sends to the client, and the exchange travelling inside it.
//!
//! hyper frames by `size_hint`, asks `is_end_stream` after each frame and does not poll again, and
//! drops empty bodies unpolled; so all three methods are forwarded and the exchange ends at whichever
//! comes first. A body that is dropped before its end takes its exchange, and so its upstream
//! connection, with it.
//!
//! "Served" means: handed to hyper's write buffer.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::classify;
use super::exchange::Exchange;
use super::upstream::lease::UpstreamBody;
use crate::record::{Failure, Outcome, Phase};

mod followed;
mod naming;
mod reading;
mod watch;

pub use followed::Followed;

/// A response body towards the client.
#[derive(Debug)]
pub enum ReplyBody {
    /// Nothing to send.
    Empty,
    /// An answer of our own; its exchange has already ended.
    Own(Option<Bytes>),
    /// The upstream's answer, followed to its end.
    Followed(Box<Followed>),
}

/// What trailers say about the ending: a gRPC status that names a server error is a failure.
pub fn ending(trailers: &HeaderMap) -> Outcome {
    match classify::grpc_failure(trailers) {
        Some(code) => Outcome::Failed(Failure::GrpcStatus(code)),
        None => Outcome::Served,
    }
}

impl ReplyBody {
    /// Follows an upstream's answer to its end. One without a body ends here.
    pub fn follow(body: UpstreamBody, mut exchange: Box<Exchange>, shape: classify::Shape) -> Self {
        exchange.phase = Phase::Response;
        if shape.has_no_body || body.is_end_stream() {
            let (mut body, now) = (body, Instant::now());
            exchange.end_at(now, shape.ending.unwrap_or(Outcome::Served));
            if body.is_end_stream() {
                body.finish(now);
            }
            return Self::Empty;
        }
        Self::Followed(Box::new(Followed::new(body, exchange, shape)))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = CutAnswer;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutAnswer>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Followed(followed) => followed.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Own(bytes) => bytes.is_none(),
            Self::Followed(followed) => followed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Followed(followed) => followed.size_hint(),
        }
    }
}

/// The answer broke after its head: hyper cuts the client's connection, so the client can tell.
#[derive(Debug)]
pub struct CutAnswer;

impl fmt::Display for CutAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer was cut before its end")
    }
}

impl Error for CutAnswer {}
