//! A bounded queue between the data path and one worker.
//!
//! Offering an item takes one short lock of the caller's own shard, never waits, and wakes nobody but
//! the worker, twice per filling (by the first item, and when a batch is there): waking a thread for every
//! request costs more than the rest of the telemetry together. Items of one shard leave in the order they came.
//! Everything offered is counted, and what finds no room is dropped and counted.
//!
//! It does not deliver: [`super::worker`] sweeps it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::books::Books;
use super::ledger::{Account, Book};
use super::sink::Delivery;

/// A bounded queue of `T` to one sink.
pub struct Lane<T> {
    signal: &'static str,
    sink: &'static str,
    weigh: fn(&T) -> u64,
    capacity: usize,
    shards: Box<[Shard<T>]>,
    /// Items in the shards and in the worker's hands: what the bound bounds.
    held: AtomicUsize,
    closed: AtomicBool,
    filled: Notify,
    /// Items that are worth a sweep before the sink's patience is over.
    plenty: usize,
    has_plenty: Notify,
    /// What became of what was swept.
    books: Arc<Books>,
}

/// On its own cache line, so that workers do not disturb each other.
#[repr(align(128))]
struct Shard<T>(Mutex<Queue<T>>);

struct Queue<T> {
    items: Vec<T>,
    weight: u64,
    accepted: u64,
    full: u64,
    closed: u64,
}

impl<T> Lane<T> {
    /// Opens a lane of at most `capacity` items for a signal (`spans`) to a sink (`otlp`), with one
    /// shard per runtime worker. `weigh` says what an item counts for in the ledger.
    pub fn new(
        signal: &'static str,
        sink: &'static str,
        capacity: usize,
        weigh: fn(&T) -> u64,
    ) -> Self {
        let shards = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_shards(signal, sink, capacity, weigh, shards)
    }

    /// Like [`Lane::new`], with this many shards, rounded up to a power of two of at least 2.
    pub fn with_shards(
        signal: &'static str,
        sink: &'static str,
        capacity: usize,
        weigh: fn(&T) -> u64,
        shards: usize,
    ) -> Self {
        let shards = shards.clamp(2, 1024).next_power_of_two();
        Self {
            signal,
            sink,
            weigh,
            capacity,
            shards: (0..shards).map(|_| Shard::new()).collect(),
            held: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            filled: Notify::new(),
            plenty: capacity.div_ceil(2),
            has_plenty: Notify::new(),
            books: Arc::default(),
        }
    }

    /// Offers an item. `false` means that it was dropped, and counted: the lane is full or closed.
    /// Never blocks on the sink.
    pub fn offer(&self, item: T) -> bool {
        let weight = (self.weigh)(&item);
        // Threads outside the runtime share the first shard: correct, only slower.
        let slot = tokio::runtime::worker_index().unwrap_or(0) & (self.shards.len() - 1);
        let mut queue = self.shards[slot].0.lock();
        queue.accepted += weight;
        // Read under the lock: a sweep after `close` sees everything that was let in.
        if self.closed.load(Ordering::Acquire) {
            queue.closed += weight;
            return false;
        }
        let before = self.held.fetch_add(1, Ordering::Relaxed);
        if before >= self.capacity {
            self.held.fetch_sub(1, Ordering::Relaxed);
            queue.full += weight;
            return false;
        }
        queue.weight += weight;
        queue.items.push(item);
        drop(queue);
        if before == 0 {
            self.filled.notify_one();
        }
        if before + 1 == self.plenty {
            self.has_plenty.notify_one();
        }
        true
    }

    /// Closes the lane: what is offered from now on is dropped as `closed`; the next sweep gets
    /// everything that was let in.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Waits until there is an item, or has been since the last time. Cancel safe.
    pub(super) async fn filled(&self) {
        // What came while the worker was busy told nobody.
        if self.held.load(Ordering::Relaxed) == 0 {
            self.filled.notified().await;
        }
    }

    /// Makes this many items worth a sweep; without it, half the capacity is. Fewer stay warm in the
    /// processor's cache from the thread that made them to the one that reads them.
    #[must_use]
    pub(super) fn swept_at(mut self, items: usize) -> Self {
        self.plenty = items.clamp(1, self.plenty.max(1));
        self
    }

    /// Keeps these books, which an outbox keeps too.
    #[must_use]
    pub(super) fn keeping(mut self, books: Arc<Books>) -> Self {
        self.books = books;
        self
    }

    /// Waits until so many items are there that they are worth a sweep, or have been since the last
    /// time. Cancel safe.
    pub(super) async fn has_plenty(&self) {
        if self.held.load(Ordering::Relaxed) < self.plenty {
            self.has_plenty.notified().await;
        }
    }

    /// Moves all queued items to `into`; from here on they are in the worker's hands. Says how much was
    /// dropped for want of room since the lane was opened, if it looked.
    pub(super) fn sweep(&self, into: &mut Vec<T>) -> Option<u64> {
        let closed = self.closed.load(Ordering::Acquire);
        if !closed && self.held.load(Ordering::Relaxed) == 0 {
            return None; // An idle lane costs one read.
        }
        let mut full = 0;
        for shard in &self.shards {
            let mut queue = shard.0.lock();
            full += queue.full;
            if queue.items.is_empty() {
                continue;
            }
            into.append(&mut queue.items);
            // Both locks are held: no snapshot can see the items in neither place, or in both.
            self.books.take_in(std::mem::take(&mut queue.weight));
        }
        Some(full)
    }

    /// The weight of items in the worker's hands.
    pub(super) fn weight_of(&self, items: &[T]) -> u64 {
        items.iter().map(self.weigh).sum()
    }

    /// Books what became of a batch of `items` items that weighed `weight`, and frees their places:
    /// what was handed over has its bound elsewhere.
    pub(super) fn settle(&self, delivery: &Delivery, items: usize, weight: u64) {
        self.books.settle(delivery, weight);
        self.held.fetch_sub(items, Ordering::Relaxed);
    }

    /// Nothing arrives at present, for this reason.
    pub(super) fn is_failing(&self, error: &str) {
        self.books.fails(error);
    }

    /// Gives up on everything that is left, in the shards and in the worker's hands, as `shutdown`.
    /// The lane must be closed.
    pub(super) fn abandon(&self) {
        let mut left = Vec::new();
        self.sweep(&mut left);
        self.books.give_up_hand();
    }
}

impl<T> Shard<T> {
    fn new() -> Self {
        let queue = Queue { items: Vec::new(), weight: 0, accepted: 0, full: 0, closed: 0 };
        Self(Mutex::new(queue))
    }
}

impl<T: Send> Book for Lane<T> {
    /// Locks the shards, then the books, so the equation of the ledger holds exactly.
    fn account(&self) -> Account {
        let queues: Vec<_> = self.shards.iter().map(|shard| shard.0.lock()).collect();
        let mut account = self.books.account(self.signal, self.sink, self.capacity);
        for queue in &queues {
            account.accepted += queue.accepted;
            account.in_flight += queue.weight;
            for (reason, count) in [("queue_full", queue.full), ("closed", queue.closed)] {
                if count > 0 {
                    *account.dropped.entry(reason).or_default() += count;
                }
            }
        }
        account
    }
}

impl<T> fmt::Debug for Lane<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("signal", &self.signal)
            .field("sink", &self.sink)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn lane(capacity: usize) -> Lane<u64> {
        Lane::with_shards("spans", "test", capacity, |_| 1, 2)
    }

    #[test]
    fn items_leave_in_the_order_they_came() {
        let lane = lane(10);
        assert!((0..10).all(|item| lane.offer(item)));
        let mut items = Vec::new();
        lane.sweep(&mut items);
        assert_eq!(items, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn a_full_lane_drops_and_counts_until_the_worker_has_settled() {
        let lane = lane(2);
        assert!(lane.offer(0) && lane.offer(1) && !lane.offer(2));
        let mut items = Vec::new();
        lane.sweep(&mut items);
        assert!(!lane.offer(3), "what the worker holds still counts towards the bound");
        lane.settle(&Delivery::all(2), 2, 2);
        assert!(lane.offer(4));
        let account = lane.account();
        assert_eq!((account.accepted, account.exported, account.in_flight), (5, 2, 1));
        assert_eq!(account.dropped, BTreeMap::from([("queue_full", 2)]));
    }

    #[test]
    fn a_closed_lane_refuses_and_gives_out_what_it_held() {
        let lane = lane(10);
        lane.offer(0);
        lane.close();
        assert!(!lane.offer(1));
        let mut items = Vec::new();
        lane.sweep(&mut items);
        assert_eq!(items, [0]);
        lane.abandon();
        let account = lane.account();
        assert_eq!(account.dropped, BTreeMap::from([("closed", 1), ("shutdown", 1)]));
        assert!(account.is_balanced());
    }

    #[test]
    fn a_sink_that_counts_wrongly_cannot_unbalance_the_books() {
        let lane = lane(10);
        (0..4).for_each(|item| assert!(lane.offer(item)));
        lane.sweep(&mut Vec::new());
        lane.settle(
            &Delivery { exported: 1, dropped: vec![("io", 9)], ..Delivery::default() },
            2,
            2,
        );
        lane.settle(&Delivery::default(), 2, 2);
        let account = lane.account();
        assert_eq!(account.dropped, BTreeMap::from([("io", 1), ("unaccounted", 2)]));
        assert!(account.is_balanced());
    }
}
