//! The memory that all inspected bodies may take together.
//!
//! It counts what was promised, not what is used: reserve before the first byte is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A bound in bytes, shared by all requests.
#[derive(Debug)]
pub struct Budget {
    reserved: Arc<AtomicUsize>,
    limit: AtomicUsize,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { reserved: Arc::default(), limit: AtomicUsize::new(limit) }
    }

    /// Another limit from now on, for a reload. What is reserved stays counted.
    pub fn resize(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
    }

    /// Reserves `bytes`, or `None` where so many are not left. It never waits.
    pub fn reserve(&self, bytes: usize) -> Option<Reservation> {
        let limit = self.limit.load(Relaxed);
        let more = |reserved: usize| reserved.checked_add(bytes).filter(|sum| *sum <= limit);
        self.reserved.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Reservation { reserved: Arc::clone(&self.reserved), bytes })
    }

    /// Lets a reservation grow to `bytes`. `false` where so many are not left: then it stays as it is.
    pub fn grow(&self, reservation: &mut Reservation, bytes: usize) -> bool {
        let Some(mut more) = self.reserve(bytes.saturating_sub(reservation.bytes)) else {
            return false;
        };
        reservation.bytes += std::mem::take(&mut more.bytes);
        true
    }

    /// Bytes reserved now.
    pub fn reserved(&self) -> usize {
        self.reserved.load(Relaxed)
    }
}

/// Bytes of a [`Budget`], given back when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Reservation {
    reserved: Arc<AtomicUsize>,
    bytes: usize,
}

impl Reservation {
    /// How many bytes it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back all but `bytes`. One that holds no more stays as it is.
    pub fn shrink(&mut self, bytes: usize) {
        let spare = self.bytes.saturating_sub(bytes);
        if spare > 0 {
            self.reserved.fetch_sub(spare, Relaxed);
            self.bytes -= spare;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.reserved.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_comes_back() {
        let budget = Budget::new(10);
        let six = budget.reserve(6).unwrap();
        assert!(budget.reserve(5).is_none() && budget.reserve(usize::MAX).is_none());
        let four = budget.reserve(4).unwrap();
        assert_eq!((six.bytes(), budget.reserved()), (6, 10));
        drop((six, four));
        assert_eq!(budget.reserved(), 0);
    }

    #[test]
    fn a_reservation_grows_while_there_is_room() {
        let budget = Budget::new(10);
        let mut one = budget.reserve(0).unwrap();
        assert!(budget.grow(&mut one, 4) && budget.grow(&mut one, 3));
        let rest = budget.reserve(6);
        assert!(!budget.grow(&mut one, 5));
        assert_eq!((one.bytes(), budget.reserved()), (4, 10));
        drop((one, rest));
        assert_eq!(budget.reserved(), 0);
    }

    #[test]
    fn a_reservation_shrinks_and_never_gives_back_twice() {
        let budget = Budget::new(10);
        let mut one = budget.reserve(8).unwrap();
        one.shrink(9);
        assert_eq!((one.bytes(), budget.reserved()), (8, 8));
        one.shrink(3);
        assert_eq!((one.bytes(), budget.reserved()), (3, 3));
        drop(one);
        assert_eq!(budget.reserved(), 0);
    }

    #[test]
    fn a_smaller_limit_counts_what_was_reserved_before() {
        let budget = Budget::new(10);
        let held = budget.reserve(8);
        budget.resize(5);
        assert!(budget.reserve(1).is_none());
        drop(held);
        assert!(budget.reserve(6).is_none() && budget.reserve(5).is_some());
    }
}
