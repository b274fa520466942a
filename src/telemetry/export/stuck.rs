//! Whether it is the parcel that cannot be delivered, or the collector that takes nothing.
//!
//! The oldest parcel fails again and again: in an outage every other would, too, and none may overtake
//! it. Only where another gets through meanwhile is it the parcel's fault, and the others go first from
//! then on. So after enough failures one other is tried. It neither waits nor delivers.

/// The parcel that failed last, and how often it did in a row.
#[derive(Debug)]
pub(super) struct Stuck {
    order: u64,
    points: u32,
    /// So many points, and another parcel is tried.
    enough: u32,
    /// Another parcel arrived since it failed first.
    is_overtaken: bool,
}

impl Stuck {
    /// So many points, and another is tried.
    const ENOUGH: u32 = 20;
    /// The same where an old parcel that comes after a new one may be refused: a quarter of an hour or more.
    const ENOUGH_IN_ORDER: u32 = 200;
    /// Of an answer: the collector is there, and might take another parcel.
    const ANSWERED: u32 = 5;

    /// Nothing has failed yet.
    pub(super) fn new(keeps_order: bool) -> Self {
        let enough = if keeps_order { Self::ENOUGH_IN_ORDER } else { Self::ENOUGH };
        Self { order: 0, points: 0, enough, is_overtaken: false }
    }

    /// The parcel in whose stead another is to be tried.
    pub(super) fn doubted(&self) -> Option<u64> {
        (self.points >= self.enough && !self.is_overtaken).then_some(self.order)
    }

    /// Notes that a parcel arrived, or was settled in another way.
    pub(super) fn settled(&mut self, order: u64) {
        if self.order == order {
            self.points = 0;
        } else {
            self.is_overtaken = true;
        }
    }

    /// Notes that a parcel failed. Says whether the others shall go first, now and after each further
    /// failure.
    pub(super) fn failed(&mut self, order: u64, reason: &str) -> bool {
        if self.order != order && self.doubted().is_some() {
            // No other gets through either.
            self.points = 0;
            return false;
        }
        if self.order != order || self.points == 0 {
            *self = Self { order, points: 0, is_overtaken: false, ..*self };
        }
        let points = if reason == "refused" { Self::ANSWERED } else { 1 };
        self.points = self.points.saturating_add(points);
        self.points >= self.enough && self.is_overtaken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubted(keeps_order: bool) -> Stuck {
        let mut stuck = Stuck::new(keeps_order);
        while stuck.doubted().is_none() {
            assert!(!stuck.failed(1, "refused"));
        }
        stuck
    }

    #[test]
    fn in_an_outage_nothing_is_stuck() {
        let mut stuck = doubted(false);
        for _ in 0..10 {
            assert_eq!(stuck.doubted(), Some(1));
            assert!(!stuck.failed(2, "refused"), "the other fails, too");
            (0..3).for_each(|_| assert!(!stuck.failed(1, "refused")));
            assert_eq!(stuck.doubted(), None);
            assert!(!stuck.failed(1, "refused"));
        }
    }

    #[test]
    fn what_another_overtakes_is_stuck_from_its_next_failure_on() {
        let mut stuck = doubted(false);
        stuck.settled(2);
        assert_eq!(stuck.doubted(), None, "one is enough");
        assert!(stuck.failed(1, "refused") && stuck.failed(1, "timeout"));
    }

    #[test]
    fn what_arrives_after_all_was_not_stuck() {
        let mut stuck = doubted(false);
        stuck.settled(1);
        assert_eq!(stuck.doubted(), None);
        stuck.settled(2);
        assert!(!stuck.failed(3, "refused"));
    }

    #[test]
    fn an_answer_weighs_more_than_none_and_order_more_than_either() {
        let tries = |keeps_order, reason| {
            let mut stuck = Stuck::new(keeps_order);
            (1..1000).find(|_| {
                stuck.failed(1, reason);
                stuck.doubted().is_some()
            })
        };
        assert_eq!((tries(false, "refused"), tries(false, "unreachable")), (Some(4), Some(20)));
        assert_eq!((tries(true, "refused"), tries(true, "unreachable")), (Some(40), Some(200)));
    }
}
