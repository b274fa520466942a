//! What stands between requests and the writer: one bounded queue, and who wakes whom.
//!
//! Only a beginning wakes the writer, and only if it rests: ends and refusals wait for the next
//! commit or the next sweep. After a second without work the writer rests until the next item, so an
//! idle sidecar costs nothing and a busy one is not woken per request.
//!
//! The bound: every beginning and end belongs to a place of the semaphore, refusals have a budget.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use super::seat::Unavailable;
use super::stats::Counters;
use super::voice::Voice;
use crate::audit::Draft;

/// How long an end or a refusal waits for the writer at most.
const SWEEP: Duration = Duration::from_millis(20);
/// Refusals held at once.
pub(super) const DENIALS: usize = 1024;
/// Refusals taken per second, in the long run.
const DENIALS_PER_SECOND: u128 = 100;

/// Joins the beginning and the end of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Item {
    /// Make it durable, then tell; dropping the waiter says no.
    Begin { ticket: Ticket, draft: Box<Draft>, waiter: oneshot::Sender<()> },
    /// The end; without a draft the seat was dropped. The place is free when it is durable.
    End { ticket: Option<Ticket>, draft: Option<Box<Draft>>, place: Option<OwnedSemaphorePermit> },
    /// A refusal.
    Deny(Box<Draft>),
}

/// How the writer rests when there is nothing urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Until the next beginning, one sweep at most.
    Light,
    /// Until the next item of any kind.
    Deep,
}

/// Shared by seats and the writer.
#[derive(Debug)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// Free places for exchanges.
    pub(super) places: Arc<Semaphore>,
    /// Numbers for everybody.
    pub(super) counters: Counters,
    /// What the log is told.
    pub(super) voice: Voice,
}

#[derive(Debug)]
struct Queue {
    items: Vec<Item>,
    begins: usize,
    rest: Option<Rest>,
    is_closed: bool,
    tickets: u64,
    denials: usize,
    refilled: Instant,
}

impl Shared {
    pub(super) fn new(places: usize) -> Self {
        let queue = Queue {
            items: Vec::with_capacity(256),
            begins: 0,
            rest: None,
            is_closed: false,
            tickets: 0,
            denials: DENIALS,
            refilled: Instant::now(),
        };
        Self {
            queue: Mutex::new(queue),
            wake: Condvar::new(),
            places: Arc::new(Semaphore::new(places)),
            counters: Counters::default(),
            voice: Voice::default(),
        }
    }

    /// Queues a beginning and wakes the writer if it rests.
    pub(super) fn begin(
        &self,
        draft: Box<Draft>,
        waiter: oneshot::Sender<()>,
    ) -> Result<Ticket, Unavailable> {
        let mut queue = self.queue.lock();
        if queue.is_closed || !self.counters.is_writable() {
            return Err(Unavailable::NotWritable);
        }
        queue.tickets += 1;
        queue.begins += 1;
        let ticket = Ticket(queue.tickets);
        queue.items.push(Item::Begin { ticket, draft, waiter });
        if queue.rest.take().is_some() {
            self.wake.notify_one();
        }
        Ok(ticket)
    }

    /// Queues an end. After the close it is lost, and counted.
    pub(super) fn end(
        &self,
        ticket: Option<Ticket>,
        draft: Option<Box<Draft>>,
        place: OwnedSemaphorePermit,
    ) {
        let mut queue = self.queue.lock();
        if queue.is_closed {
            self.counters.lost(1);
            return;
        }
        queue.items.push(Item::End { ticket, draft, place: Some(place) });
        self.wake_from_depth(&mut queue);
    }

    /// Queues a refusal if the budget allows.
    pub(super) fn deny(&self, draft: Draft) {
        let mut queue = self.queue.lock();
        if queue.is_closed || queue.denials == 0 {
            self.counters.denied_dropped(1);
            return;
        }
        queue.denials -= 1;
        queue.items.push(Item::Deny(Box::new(draft)));
        self.wake_from_depth(&mut queue);
    }

    /// Takes no more items; the writer sweeps what is there and ends.
    pub(super) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.is_closed = true;
        queue.rest = None;
        self.wake.notify_one();
    }

    /// Rests as asked, unless something urgent is there.
    pub(super) fn rest(&self, rest: Rest) {
        let mut queue = self.queue.lock();
        if queue.begins > 0 || queue.is_closed {
            return;
        }
        if rest == Rest::Deep && queue.items.is_empty() {
            queue.rest = Some(Rest::Deep);
            self.wake.wait(&mut queue);
        } else {
            queue.rest = Some(Rest::Light);
            self.wake.wait_for(&mut queue, SWEEP);
        }
        queue.rest = None;
    }

    /// Moves all items to the end of `pending`; answers whether the queue is closed.
    pub(super) fn take(&self, pending: &mut Vec<Item>) -> bool {
        let mut queue = self.queue.lock();
        pending.append(&mut queue.items);
        queue.begins = 0;
        let refill = queue.refilled.elapsed().as_millis() * DENIALS_PER_SECOND / 1000;
        if refill > 0 {
            let refill = usize::try_from(refill).unwrap_or(DENIALS);
            queue.denials = queue.denials.saturating_add(refill).min(DENIALS);
            queue.refilled = Instant::now();
        }
        queue.is_closed
    }

    fn wake_from_depth(&self, queue: &mut Queue) {
        if queue.rest == Some(Rest::Deep) {
            queue.rest = None;
            self.wake.notify_one();
        }
    }
}
