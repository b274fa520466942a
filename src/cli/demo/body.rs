//! A response body that plays a script: pieces of data with a pause before each.
//!
//! It promises one piece per step, in order, and an exact length where the script knows it. The
//! pauses are timers inside the body, so no task stands behind it and dropping it ends everything.
//! It does not apply flow control of its own: hyper asks for the next piece when it has room.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// The body of every answer of the demo orchestrator.
pub(super) struct Script {
    steps: VecDeque<Step>,
    pause: Option<Pin<Box<Sleep>>>,
    /// Bytes still to come, where the answer announces a `Content-Length`.
    remaining: Option<u64>,
}

/// One piece and the pause before it.
struct Step {
    pause: Duration,
    piece: Piece,
}

enum Piece {
    Data(Bytes),
    /// Written when its turn comes, e.g. because it says how long everything before it took.
    Late(Box<dyn FnOnce() -> Bytes + Send>),
    /// Ends the connection in the middle of the body.
    Cut,
}

/// The script ended the connection on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the demo orchestrator cut this answer short")]
pub(super) struct CutShort;

impl Script {
    /// A body of known length, sent at once.
    pub(super) fn whole(data: impl Into<Bytes>) -> Self {
        let data = data.into();
        let length = data.len() as u64;
        if data.is_empty() {
            return Self { remaining: Some(0), ..Self::open() };
        }
        Self { remaining: Some(length), ..Self::open().then(Duration::ZERO, data) }
    }

    /// A body that announces all of `data` and breaks after half of it.
    pub(super) fn broken(data: impl Into<Bytes>, pause: Duration) -> Self {
        let data = data.into();
        let length = data.len() as u64;
        let half = data.slice(..data.len() / 2);
        Self { remaining: Some(length), ..Self::open().then(Duration::ZERO, half).cut(pause) }
    }

    /// A body of unknown length, empty so far.
    pub(super) fn open() -> Self {
        Self { steps: VecDeque::new(), pause: None, remaining: None }
    }

    /// Adds a piece after a pause.
    pub(super) fn then(self, pause: Duration, data: impl Into<Bytes>) -> Self {
        self.step(pause, Piece::Data(data.into()))
    }

    /// Adds a piece that is written when its turn comes.
    pub(super) fn then_late(
        self,
        pause: Duration,
        write: impl FnOnce() -> Bytes + Send + 'static,
    ) -> Self {
        self.step(pause, Piece::Late(Box::new(write)))
    }

    /// Ends the connection after a pause; what was added before is sent.
    pub(super) fn cut(self, pause: Duration) -> Self {
        self.step(pause, Piece::Cut)
    }

    fn step(mut self, pause: Duration, piece: Piece) -> Self {
        self.steps.push_back(Step { pause, piece });
        self
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        let this = &mut *self;
        let Some(next) = this.steps.front() else { return Poll::Ready(None) };
        if !next.pause.is_zero() {
            let length = next.pause;
            let pause = this.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(length)));
            ready!(pause.as_mut().poll(cx));
            this.pause = None;
        }
        let data = match this.steps.pop_front().map(|step| step.piece) {
            None => return Poll::Ready(None),
            Some(Piece::Cut) => return Poll::Ready(Some(Err(CutShort))),
            Some(Piece::Data(data)) => data,
            Some(Piece::Late(write)) => write(),
        };
        if let Some(remaining) = &mut this.remaining {
            *remaining = remaining.saturating_sub(data.len() as u64);
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("steps", &self.steps.len())
            .field("remaining", &self.remaining)
            .finish_non_exhaustive()
    }
}
