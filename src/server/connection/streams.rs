//! The streams of one HTTP/2 connection: each in a task of its own, with clocks of its own, counted.
//!
//! A stream's exchange knows nothing of the other streams: it has its own [`Link`], so its own timer.
//! What hyper does not time is timed here: a client that keeps the connection alive and does not read
//! a stream's answer. What it does not count is counted here: streams that are begun only to be reset.
//!
//! The tasks belong to the tracker of the entrance, and end with their connection.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::proxy::peer::Link;
use crate::proxy::reply::{CutAnswer, ReplyBody};

/// A stream that is reset this early cost the client nothing and us an exchange.
const PREMATURE: Duration = Duration::from_secs(1);
/// So many of them, if they are also most of a connection's streams, are an attack (CVE-2023-44487).
const MOST_PREMATURE: u64 = 100;

/// The streams of a connection; also hyper's executor for them.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    tasks: TaskTracker,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// How long an answer may wait for its client to read on.
    patience: Duration,
    counts: Mutex<Counts>,
    /// The stream whose service was called last: hyper hands its task over next.
    newest: Mutex<Option<Arc<Stream>>>,
}

#[derive(Debug)]
struct Counts {
    open: u64,
    begun: u64,
    premature: u64,
    quiet_since: Instant,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) link: Arc<Link>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    began: Instant,
    is_answered: bool,
    /// When the client was given something to read that it has not taken.
    handed_over: Option<Instant>,
}

impl Streams {
    /// No streams yet. An answer may wait for `patience` for its client to read on.
    pub(super) fn new(tasks: TaskTracker, patience: Duration) -> Self {
        let quiet_since = Instant::now();
        let counts = Mutex::new(Counts { open: 0, begun: 0, premature: 0, quiet_since });
        Self { tasks, shared: Arc::new(Shared { patience, counts, newest: Mutex::default() }) }
    }

    /// A stream for the request that has just come.
    pub(super) fn begin(&self) -> Arc<Stream> {
        let began = Instant::now();
        let state = State { began, is_answered: false, handed_over: None };
        let stream = Arc::new(Stream { link: Arc::default(), state: Mutex::new(state) });
        *self.shared.newest.lock() = Some(Arc::clone(&stream));
        stream
    }

    /// How many streams were begun.
    pub(super) fn begun(&self) -> u64 {
        self.shared.counts.lock().begun
    }

    /// Since when no stream has been open; `None` while one is.
    pub(super) fn quiet_since(&self) -> Option<Instant> {
        let counts = self.shared.counts.lock();
        (counts.open == 0).then_some(counts.quiet_since)
    }

    /// Whether the client resets most of what it begins, and has done so often.
    pub(super) fn is_flooded(&self) -> bool {
        let counts = self.shared.counts.lock();
        counts.premature > MOST_PREMATURE && counts.premature * 2 > counts.begun
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, task: F) {
        let stream = self.shared.newest.lock().take();
        let open = Open::new(Arc::clone(&self.shared), stream.clone());
        let patience = self.shared.patience;
        self.tasks.spawn(async move {
            let mut task = pin!(task);
            std::future::poll_fn(|cx| {
                if task.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                // Dropping the task resets the stream; its exchange ends as one whose client left.
                stream.as_ref().map_or(Poll::Pending, |stream| stream.poll_stall(patience, cx))
            })
            .await;
            drop(open);
        });
    }
}

/// Counts a stream as open until it drops.
struct Open {
    shared: Arc<Shared>,
    stream: Option<Arc<Stream>>,
}

impl Open {
    fn new(shared: Arc<Shared>, stream: Option<Arc<Stream>>) -> Self {
        let mut counts = shared.counts.lock();
        counts.open += 1;
        counts.begun += 1;
        drop(counts);
        Self { shared, stream }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let now = Instant::now();
        let is_premature = self.stream.as_ref().is_some_and(|stream| {
            let state = stream.state.lock();
            !state.is_answered && now < state.began + PREMATURE
        });
        let mut counts = self.shared.counts.lock();
        counts.open -= 1;
        counts.premature += u64::from(is_premature);
        counts.quiet_since = now;
    }
}

impl Stream {
    /// Notes that there is an answer.
    pub(super) fn note_answer(&self) {
        self.state.lock().is_answered = true;
    }

    fn poll_stall(&self, patience: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let handed_over = self.state.lock().handed_over;
        self.link.poll_due(handed_over.map(|since| since + patience), cx)
    }
}

/// An answer on its way into a stream. hyper takes the next frame only when the client has taken, or
/// made room for, the last one.
#[derive(Debug)]
pub(super) struct Answer {
    body: ReplyBody,
    stream: Arc<Stream>,
}

impl Answer {
    /// The answer of this stream.
    pub(super) fn new(body: ReplyBody, stream: Arc<Stream>) -> Self {
        Self { body, stream }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = CutAnswer;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutAnswer>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        let is_handed_over = matches!(frame, Poll::Ready(Some(Ok(_))));
        this.stream.state.lock().handed_over = is_handed_over.then(Instant::now);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
