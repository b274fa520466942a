//! The memory that all inspected bodies may take together.
//!
//! It counts what was promised, not what is used: reserve before the first byte is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A bound in bytes, shared by all requests.
#[derive(Clone, Debug)]
pub struct Budget {
    reserved: Arc<AtomicUsize>,
    limit: usize,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { reserved: Arc::default(), limit }
    }

    /// The same budget with another limit, for a reload: what is reserved now stays counted.
    #[must_use]
    pub fn with_limit(&self, limit: usize) -> Self {
        Self { reserved: Arc::clone(&self.reserved), limit }
    }

    /// Reserves `bytes`, or `None` where so many are not left. It never waits.
    pub fn reserve(&self, bytes: usize) -> Option<Reservation> {
        let more = |reserved: usize| reserved.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.reserved.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Reservation { reserved: Arc::clone(&self.reserved), bytes })
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
    fn a_smaller_limit_counts_what_was_reserved_before() {
        let before = Budget::new(10);
        let held = before.reserve(8);
        let after = before.with_limit(5);
        assert!(after.reserve(1).is_none());
        drop(held);
        assert!(after.reserve(5).is_some());
    }
}
