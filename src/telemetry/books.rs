//! The books of one account, from the moment something leaves the queue it was offered to.
//!
//! What is counted here is in one of three places: in a worker's *hands*, *posted* to an outbox (in
//! its memory or in the spool), or settled. Every move is one short lock, so that no snapshot sees an
//! item twice or not at all; and no move takes more from a place than is there, so that whoever
//! counts wrongly cannot unbalance the books.
//!
//! It does not know what was offered and found no room: a lane counts that in its shards.

use std::collections::BTreeMap;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::ledger::{Account, Failing};
use super::sink::Delivery;

/// The counts of one account. Lock nothing while calling in, but for what is locked before it in the
/// same order everywhere: a lane's shards, an outbox's ring, the spool.
#[derive(Debug, Default)]
pub struct Books(Mutex<Counts>);

/// Where the items of a parcel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the outbox's memory.
    Memory,
    /// In the spool, in a file of this many bytes.
    Spool {
        /// The whole file.
        bytes: u64,
    },
}

#[derive(Clone, Debug, Default)]
struct Counts {
    /// What no lane counted: recovered from the spool, or accepted here.
    accepted: u64,
    recovered: u64,
    in_hand: u64,
    /// In the outbox: in memory and in the spool.
    posted: u64,
    /// The part of `posted` that is in the spool.
    spooled: u64,
    /// `None` where there is no spool.
    spool_bytes: Option<u64>,
    exported: u64,
    dropped: BTreeMap<&'static str, u64>,
    attempts: BTreeMap<&'static str, u64>,
    last_success: Option<SystemTime>,
    failing: Option<Failing>,
    /// The worker is gone; what it still says comes too late.
    hand_is_over: bool,
    /// The clerk is gone.
    post_is_over: bool,
}

impl Books {
    /// What was counted as accepted elsewhere is in the worker's hands now.
    pub(super) fn take_in(&self, items: u64) {
        self.0.lock().in_hand += items;
    }

    /// For signals without a lane: items come into existence, in the caller's hands.
    pub fn accept(&self, items: u64) {
        let mut counts = self.0.lock();
        counts.accepted += items;
        counts.in_hand += items;
    }

    /// Books what became of a batch that weighed `weight`, but for what was handed over: that is the
    /// outbox's.
    pub fn settle(&self, delivery: &Delivery, weight: u64) {
        let mut counts = self.0.lock();
        if counts.hand_is_over {
            return; // Already booked as lost.
        }
        let kept = weight.saturating_sub(delivery.handed_over).min(counts.in_hand);
        let exported = delivery.exported.min(kept);
        let mut rest = kept - exported;
        counts.in_hand -= kept;
        for (reason, count) in &delivery.dropped {
            let count = (*count).min(rest);
            rest -= count;
            counts.lose(reason, count);
        }
        counts.lose("unaccounted", rest);
        counts.export(exported);
        if exported > 0 {
            counts.failing = None;
        }
        match delivery.requests {
            Some((made, failed)) => counts.requests(made.saturating_sub(failed), failed),
            None if delivery.handed_over == 0 => counts.attempt(weight, exported),
            None => {}
        }
    }

    /// Moves items from the worker's hands to the outbox. Says how many; `None` if the worker has been
    /// given up, and its items booked as lost.
    pub(super) fn hand_over(&self, items: u64) -> Option<u64> {
        let mut counts = self.0.lock();
        if counts.hand_is_over || counts.post_is_over {
            return None;
        }
        let items = items.min(counts.in_hand);
        counts.in_hand -= items;
        counts.posted += items;
        Some(items)
    }

    /// One attempt with a parcel ended: all of it arrived but what was rejected.
    pub(super) fn delivered(&self, items: u64, rejected: u64, place: Place) {
        let mut counts = self.0.lock();
        let items = counts.leave(items, place);
        let rejected = rejected.min(items);
        counts.export(items - rejected);
        counts.lose("rejected", rejected);
        counts.failing = None;
        counts.attempt(items, items - rejected);
    }

    /// One attempt with a parcel failed, for this reason; the parcel is where it was.
    pub(super) fn failed(&self, error: &str) {
        let mut counts = self.0.lock();
        counts.attempt(1, 0);
        counts.fail(error);
    }

    /// What was settled last did not arrive, for this reason.
    pub(super) fn fails(&self, error: &str) {
        self.0.lock().fail(error);
    }

    /// A parcel will not be delivered.
    pub(super) fn lost(&self, items: u64, reason: &'static str, place: Place) {
        let mut counts = self.0.lock();
        let items = counts.leave(items, place);
        counts.lose(reason, items);
    }

    /// From here on the account shows what is in the spool.
    pub(super) fn open_spool(&self) {
        self.0.lock().spool_bytes.get_or_insert_default();
    }

    /// A parcel that another process left in the spool.
    pub(super) fn recovered(&self, items: u64, bytes: u64) {
        let mut counts = self.0.lock();
        counts.accepted += items;
        counts.recovered += items;
        counts.posted += items;
        counts.enter_spool(items, bytes);
    }

    /// A parcel of the outbox's memory is in the spool now. `false` if it has been booked as lost.
    pub(super) fn spooled(&self, items: u64, bytes: u64) -> bool {
        let mut counts = self.0.lock();
        if !counts.post_is_over {
            counts.enter_spool(items, bytes);
        }
        !counts.post_is_over
    }

    /// Whether there is something in the spool.
    pub(super) fn is_spooling(&self) -> bool {
        self.0.lock().spool_bytes.is_some_and(|bytes| bytes > 0)
    }

    /// Gives up on what is in the worker's hands, as `shutdown`.
    pub(super) fn give_up_hand(&self) {
        let mut counts = self.0.lock();
        let lost = std::mem::take(&mut counts.in_hand);
        counts.lose("shutdown", lost);
        counts.hand_is_over = true;
    }

    /// Gives up on what is in the outbox's memory, as `shutdown`. What is in the spool stays there.
    pub(super) fn give_up_post(&self) {
        let mut counts = self.0.lock();
        let lost = counts.posted - counts.spooled;
        counts.posted = counts.spooled;
        counts.lose("shutdown", lost);
        counts.post_is_over = true;
    }

    /// The account of these books alone.
    pub fn account(&self, signal: &'static str, sink: &'static str, capacity: usize) -> Account {
        let counts = self.0.lock().clone();
        Account {
            signal,
            sink,
            accepted: counts.accepted,
            recovered: counts.recovered,
            exported: counts.exported,
            dropped: counts.dropped,
            in_flight: counts.in_hand + counts.posted,
            spooled: counts.spooled,
            spool_bytes: counts.spool_bytes,
            capacity,
            attempts: counts.attempts,
            last_success: counts.last_success,
            failing: counts.failing,
        }
    }
}

impl Counts {
    /// Takes items out of the outbox; says how many were there.
    fn leave(&mut self, items: u64, place: Place) -> u64 {
        let items = match place {
            Place::Memory => items.min(self.posted - self.spooled),
            Place::Spool { bytes } => {
                let items = items.min(self.spooled);
                self.spooled -= items;
                self.spool_bytes = self.spool_bytes.map(|all| all.saturating_sub(bytes));
                items
            }
        };
        self.posted -= items;
        items
    }

    fn enter_spool(&mut self, items: u64, bytes: u64) {
        self.spooled += items.min(self.posted - self.spooled);
        *self.spool_bytes.get_or_insert_default() += bytes;
    }

    fn export(&mut self, items: u64) {
        self.exported += items;
        if items > 0 {
            self.last_success = Some(SystemTime::now());
        }
    }

    fn fail(&mut self, error: &str) {
        let began = || Failing { since: SystemTime::now(), error: String::new() };
        error.clone_into(&mut self.failing.get_or_insert_with(began).error);
    }

    fn lose(&mut self, reason: &'static str, items: u64) {
        if items > 0 {
            *self.dropped.entry(reason).or_default() += items;
        }
    }

    fn requests(&mut self, succeeded: u64, failed: u64) {
        for (result, count) in [("success", succeeded), ("failure", failed)] {
            if count > 0 {
                *self.attempts.entry(result).or_default() += count;
            }
        }
    }

    fn attempt(&mut self, items: u64, exported: u64) {
        let result = match exported {
            _ if exported == items => "success",
            0 => "failure",
            _ => "partial",
        };
        *self.attempts.entry(result).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(books: &Books) -> Account {
        let account = books.account("traces", "otlp", 0);
        assert!(account.is_balanced(), "{account}");
        account
    }

    #[test]
    fn a_batch_of_several_requests_counts_each_of_them() {
        let books = Books::default();
        books.accept(2);
        let (exported, dropped) = (1, vec![("refused", 1)]);
        let requests = Some((5, 4));
        books.settle(&Delivery { exported, dropped, requests, ..Delivery::default() }, 2);
        assert_eq!(account(&books).attempts, BTreeMap::from([("failure", 4), ("success", 1)]));
    }

    #[test]
    fn an_item_is_in_one_place_from_the_hand_to_the_collector() {
        let books = Books::default();
        books.accept(10);
        assert_eq!(books.hand_over(8), Some(8));
        books.settle(
            &Delivery { handed_over: 8, dropped: vec![("unencodable", 2)], ..Delivery::default() },
            10,
        );
        assert_eq!(account(&books).attempts, BTreeMap::new(), "nobody has tried yet");
        assert!(books.spooled(5, 100));
        assert_eq!((account(&books).in_flight, account(&books).spooled), (8, 5));
        books.failed("connection refused");
        books.failed("503");
        assert_eq!(account(&books).failing.map(|failing| failing.error), Some("503".to_owned()));
        books.delivered(5, 1, Place::Spool { bytes: 100 });
        assert_eq!(account(&books).failing, None);
        books.lost(3, "ring_full", Place::Memory);
        let account = account(&books);
        assert_eq!((account.exported, account.in_flight, account.spool_bytes), (4, 0, Some(0)));
        let dropped = [("rejected", 1), ("ring_full", 3), ("unencodable", 2)];
        assert_eq!(account.dropped, BTreeMap::from(dropped));
        assert_eq!(account.attempts, BTreeMap::from([("failure", 2), ("partial", 1)]));
    }

    #[test]
    fn what_is_spooled_outlives_its_clerk_and_what_was_only_remembered_does_not() {
        let books = Books::default();
        books.recovered(7, 70);
        books.accept(5);
        assert_eq!(books.hand_over(3), Some(3));
        books.give_up_hand();
        assert_eq!(books.hand_over(2), None);
        assert!(books.spooled(1, 10));
        books.give_up_post();
        assert!(!books.spooled(2, 20), "it has been booked as lost");
        let account = account(&books);
        assert_eq!((account.accepted, account.recovered), (12, 7));
        assert_eq!((account.in_flight, account.spooled), (8, 8));
        assert_eq!(account.dropped, BTreeMap::from([("shutdown", 4)]));
    }

    #[test]
    fn whoever_counts_wrongly_cannot_unbalance_the_books() {
        let books = Books::default();
        books.accept(2);
        assert_eq!(books.hand_over(9), Some(2));
        books.settle(&Delivery::all(2), 2);
        assert_eq!(account(&books).exported, 0, "they were handed over");
        books.lost(9, "ring_full", Place::Spool { bytes: 9 });
        books.delivered(9, 10, Place::Memory);
        assert_eq!(account(&books).dropped, BTreeMap::from([("rejected", 2)]));
    }
}
