//! HTTP/2 towards the upstream: few connections, shared by many exchanges.
//!
//! An exchange takes a [`Slot`], which is the right to one stream. The connection used first is filled
//! first; when all are full, another one is opened, one attempt at a time. Promises: never more streams
//! on a connection than the upstream allows (nor than [`MAX_STREAMS`]); whoever waits for an attempt
//! that fails fails with it; a connection that is going away gets no new streams.
//!
//! Bodies and heads are in [`exchange`] and [`body`].

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod body;
mod connection;
pub(super) mod exchange;
mod pump;

pub(super) use body::Answer;
use connection::{Opened, Strings};

use super::NoConnection;
use super::outage::Trouble;
use super::stream::Stream;
use crate::telemetry::metrics::{ActiveGuard, Metrics};

/// Streams that one connection carries at once, at most.
pub(super) const MAX_STREAMS: usize = 100;

/// The connections, and the tasks that drive them.
#[derive(Debug)]
pub(super) struct Shared {
    crowd: Mutex<Crowd>,
    /// Notified when a stream has become free, and when an attempt to connect is over.
    pub(super) changed: Notify,
    tasks: TaskTracker,
    closing: CancellationToken,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Crowd {
    members: Vec<Member>,
    next_id: u64,
    is_dialling: bool,
    /// How many attempts have failed so far, and why the last one did.
    failed: (u64, Option<NoConnection>),
}

struct Member {
    id: u64,
    sender: SendRequest<Bytes>,
    streams: usize,
    idle_since: Instant,
    strings: Strings,
    /// Goes with the state: in use, or idle.
    counted: ActiveGuard,
}

/// What there is for an exchange that wants a stream.
pub(super) enum Found {
    /// A stream.
    Slot(Box<Slot>),
    /// Nothing; the caller may connect, and nobody else meanwhile.
    Vacancy(Dialling),
    /// Nothing, and somebody is connecting. The number is that of the failed attempts so far.
    Wait(u64),
}

/// Finds out whether HTTP/2 is spoken on a stream, and closes it.
pub(super) async fn try_out(stream: Stream, deadline: Instant) -> Result<(), Trouble> {
    connection::open(stream, deadline).await.map(drop)
}

impl Shared {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            crowd: Mutex::default(),
            changed: Notify::new(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            metrics: metrics.clone(),
        }
    }

    /// Takes a stream where one is free.
    pub(super) fn find(self: &Arc<Self>) -> Found {
        let mut crowd = self.crowd.lock();
        for member in &mut crowd.members {
            if member.has_room() {
                if member.streams == 0 {
                    member.counted = self.metrics.upstream_in_use();
                }
                member.streams += 1;
                return Found::Slot(Box::new(Slot {
                    sender: member.sender.clone(),
                    id: member.id,
                    doubt: Arc::clone(&member.strings.doubt),
                    shared: Arc::clone(self),
                }));
            }
        }
        if crowd.is_dialling {
            return Found::Wait(crowd.failed.0);
        }
        crowd.is_dialling = true;
        let shared = Arc::clone(self);
        Found::Vacancy(Dialling { shared, failure: None, is_silent: false })
    }

    /// Why an attempt failed after the first `before`, if one did.
    pub(super) fn failure_since(&self, before: u64) -> Option<NoConnection> {
        let (count, reason) = self.crowd.lock().failed;
        reason.filter(|_| count > before)
    }

    /// Makes a connection of a stream and takes the first slot of it. The place in the pool is kept
    /// until the connection has ended.
    pub(super) async fn join(
        self: &Arc<Self>,
        stream: Stream,
        place: OwnedSemaphorePermit,
        deadline: Instant,
    ) -> Result<Box<Slot>, Trouble> {
        let opened = connection::open(stream, deadline).await?;
        let strings =
            Strings { closing: self.closing.child_token(), doubt: Arc::new(Notify::new()) };
        let slot = self.enter(&opened, &strings);
        let (shared, id) = (Arc::clone(self), slot.id);
        self.tasks.spawn(async move {
            opened.run(strings, || shared.leave(id)).await;
            drop(place);
            shared.changed.notify_waiters();
        });
        self.changed.notify_waiters();
        Ok(Box::new(slot))
    }

    fn enter(self: &Arc<Self>, opened: &Opened, strings: &Strings) -> Slot {
        let mut crowd = self.crowd.lock();
        let id = crowd.next_id;
        crowd.next_id += 1;
        crowd.members.push(Member {
            id,
            sender: opened.sender.clone(),
            streams: 1,
            idle_since: Instant::now(),
            strings: strings.clone(),
            counted: self.metrics.upstream_in_use(),
        });
        Slot {
            sender: opened.sender.clone(),
            id,
            doubt: Arc::clone(&strings.doubt),
            shared: Arc::clone(self),
        }
    }

    fn leave(&self, id: u64) {
        self.crowd.lock().members.retain(|member| member.id != id);
    }

    /// Closes connections on which nothing has run for `idle_timeout`, and all idle ones but
    /// `max_idle`, the oldest first.
    pub(super) fn reap(&self, idle_timeout: Duration, max_idle: usize) {
        let mut crowd = self.crowd.lock();
        let mut idle = crowd.members.iter().filter(|member| member.streams == 0).count();
        crowd.members.retain(|member| {
            let is_old = member.idle_since.elapsed() >= idle_timeout;
            if member.streams > 0 || !(is_old || idle > max_idle) {
                return true;
            }
            idle -= 1;
            member.strings.closing.cancel();
            false
        });
    }

    /// Closes every connection, and waits until `deadline` for that.
    pub(super) async fn close(&self, deadline: Instant) {
        self.closing.cancel();
        self.tasks.close();
        drop(tokio::time::timeout_at(deadline, self.tasks.wait()).await);
    }

    /// Closes every connection on which nothing runs.
    pub(super) fn begin_to_close(&self) {
        self.closing.cancel();
    }

    fn give_back(&self, id: u64) {
        {
            let mut crowd = self.crowd.lock();
            let Some(member) = crowd.members.iter_mut().find(|member| member.id == id) else {
                return;
            };
            member.streams = member.streams.saturating_sub(1);
            if member.streams == 0 {
                member.idle_since = Instant::now();
                member.counted = self.metrics.upstream_idle();
            }
        }
        self.changed.notify_one();
    }
}

impl Member {
    /// Whether another stream fits: the connection is not going away, and neither the upstream's bound
    /// nor ours is reached.
    fn has_room(&mut self) -> bool {
        let bound = self.sender.current_max_send_streams().clamp(1, MAX_STREAMS);
        let quiet = &mut Context::from_waker(Waker::noop());
        self.streams < bound && matches!(self.sender.poll_ready(quiet), Poll::Ready(Ok(())))
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("streams", &self.streams).finish_non_exhaustive()
    }
}

/// The right to make one attempt to connect. However it ends, those who wait for it are told.
#[derive(Debug)]
#[must_use = "others wait for it"]
pub(super) struct Dialling {
    shared: Arc<Shared>,
    failure: Option<NoConnection>,
    is_silent: bool,
}

impl Dialling {
    /// Ends the attempt; `failure` is shared by all who wait for it.
    pub(super) fn end(mut self, failure: Option<NoConnection>) {
        self.failure = failure;
    }

    /// Makes no attempt. Nothing has changed, so nobody is told.
    pub(super) fn give_up(mut self) {
        self.is_silent = true;
    }
}

impl Drop for Dialling {
    fn drop(&mut self) {
        {
            let mut crowd = self.shared.crowd.lock();
            crowd.is_dialling = false;
            if let Some(reason) = self.failure {
                crowd.failed = (crowd.failed.0 + 1, Some(reason));
            }
        }
        if !self.is_silent {
            self.shared.changed.notify_waiters();
        }
    }
}

/// The right to one stream of a connection, until it is dropped.
pub(super) struct Slot {
    sender: SendRequest<Bytes>,
    id: u64,
    doubt: Arc<Notify>,
    shared: Arc<Shared>,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("connection", &self.id).finish_non_exhaustive()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.give_back(self.id);
    }
}
