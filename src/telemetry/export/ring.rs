//! What an outbox remembers: parcels in the order they were posted, in bounded memory.
//!
//! What does not fit pushes out the oldest; the caller counts it. Nothing waits here, and nothing is
//! locked.

use std::collections::VecDeque;

use super::Parcel;

/// A parcel with its place in the order of everything posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Posted {
    /// Grows with every parcel of the process, whatever its signal.
    pub(super) order: u64,
    pub(super) parcel: Parcel,
}

/// How much is remembered at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Of all bodies together.
    pub bytes: usize,
    /// How many.
    pub parcels: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ring {
    bound: Bound,
    parcels: VecDeque<Posted>,
    bytes: usize,
}

impl Ring {
    pub(super) fn new(bound: Bound) -> Self {
        Self { bound, parcels: VecDeque::new(), bytes: 0 }
    }

    /// Adds one behind all others; gives back what had to leave.
    pub(super) fn push(&mut self, posted: Posted) -> Vec<Posted> {
        self.bytes += posted.parcel.body.len();
        self.parcels.push_back(posted);
        self.make_room()
    }

    /// Puts back what was taken, before all that is newer; gives back what had to leave.
    pub(super) fn put_back(&mut self, posted: Posted) -> Vec<Posted> {
        self.bytes += posted.parcel.body.len();
        let is_newer = |other: &Posted| other.order > posted.order;
        let place = self.parcels.iter().position(is_newer).unwrap_or(self.parcels.len());
        self.parcels.insert(place, posted);
        self.make_room()
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<Posted> {
        self.pop_but(None)
    }

    /// Takes the oldest but this one.
    pub(super) fn pop_but(&mut self, but: Option<u64>) -> Option<Posted> {
        let is_wanted = |posted: &Posted| Some(posted.order) != but;
        let posted = self.parcels.remove(self.parcels.iter().position(is_wanted)?)?;
        self.bytes -= posted.parcel.body.len();
        Some(posted)
    }

    /// Whether more than half of the room is taken.
    pub(super) fn is_crowded(&self) -> bool {
        self.parcels.len() > self.bound.parcels / 2 || self.bytes > self.bound.bytes / 2
    }

    fn make_room(&mut self) -> Vec<Posted> {
        let mut left = Vec::new();
        while self.parcels.len() > self.bound.parcels || self.bytes > self.bound.bytes {
            left.extend(self.pop());
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::export::Encoding;

    fn posted(order: u64, length: usize) -> Posted {
        let body = vec![0; length].into();
        Posted { order, parcel: Parcel { items: 1, encoding: Encoding::Identity, body } }
    }

    fn orders(posted: &[Posted]) -> Vec<u64> {
        posted.iter().map(|posted| posted.order).collect()
    }

    #[test]
    fn the_oldest_make_room_for_what_is_new() {
        let mut ring = Ring::new(Bound { bytes: 100, parcels: 3 });
        assert!((0..3).all(|order| ring.push(posted(order, 10)).is_empty()));
        assert_eq!(orders(&ring.push(posted(3, 10))), [0]);
        assert_eq!(orders(&ring.push(posted(4, 90))), [1, 2]);
        assert_eq!(orders(&ring.push(posted(5, 101))), [3, 4, 5], "what never fits leaves itself");
        assert_eq!(ring.pop(), None);
        assert_eq!(ring.bytes, 0);
    }

    #[test]
    fn what_is_put_back_is_the_oldest_again() {
        let mut ring = Ring::new(Bound { bytes: 100, parcels: 2 });
        ring.push(posted(0, 1));
        let first = ring.pop().unwrap();
        ring.push(posted(1, 1));
        assert!(ring.put_back(first.clone()).is_empty());
        assert_eq!(ring.pop().unwrap().order, 0);
        ring.push(posted(2, 1));
        assert_eq!(orders(&ring.put_back(first)), [0]);
    }

    #[test]
    fn what_was_taken_in_the_stead_of_another_comes_after_it_again() {
        let mut ring = Ring::new(Bound { bytes: 100, parcels: 3 });
        (0..3).for_each(|order| assert!(ring.push(posted(order, 1)).is_empty()));
        let second = ring.pop_but(Some(0)).unwrap();
        assert_eq!((second.order, ring.bytes), (1, 2));
        ring.put_back(second);
        let all: Vec<_> = std::iter::from_fn(|| ring.pop()).collect();
        assert_eq!(orders(&all), [0, 1, 2]);
        ring.push(posted(7, 1));
        assert_eq!(ring.pop_but(Some(7)), None);
    }
}
