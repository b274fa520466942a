//! How long to leave a collector alone that could not take a parcel.
//!
//! Pauses double from 100 ms to 30 s, give or take a quarter, so that many sidecars do not come back
//! together. A collector that names a pause gets it, up to ten minutes; one that names none worth the
//! word gets ours, or it could have itself asked a hundred times a second. Counts nothing, waits for
//! nothing.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
/// A collector that asks for more is asked sooner than it likes; a typing error must not silence us
/// for a year.
const LONGEST_ASKED: Duration = Duration::from_mins(10);

/// The pauses of one outage.
#[derive(Debug)]
pub(super) struct Retry {
    next: Duration,
    is_hurrying: bool,
}

impl Retry {
    pub(super) fn new() -> Self {
        Self { next: FIRST, is_hurrying: false }
    }

    /// The outage is over.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// Who must leave does not wait half a minute to find the collector back: pauses begin again, once.
    /// Gives the first of them, if this is the first time.
    pub(super) fn hurry(&mut self) -> Option<Duration> {
        let is_first = !std::mem::replace(&mut self.is_hurrying, true);
        is_first.then(|| {
            self.reset();
            self.pause(None)
        })
    }

    /// What a collector asks for, as far as it is a wish: "0" means no more than that we may retry.
    pub(super) fn wish(asked: Option<Duration>) -> Option<Duration> {
        asked.filter(|asked| *asked >= FIRST).map(|asked| asked.min(LONGEST_ASKED))
    }

    /// How long to wait after a failed attempt, where the collector may have asked for a pause.
    pub(super) fn pause(&mut self, asked: Option<Duration>) -> Duration {
        let own = self.next.mul_f64(0.75 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(LONGEST);
        Self::wish(asked).unwrap_or(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_half_a_minute_and_begin_again() {
        let mut retry = Retry::new();
        let mut expected = FIRST;
        for _ in 0..12 {
            let pause = retry.pause(None);
            assert!(
                pause >= expected.mul_f64(0.75) && pause <= expected.mul_f64(1.25),
                "{pause:?}"
            );
            expected = (expected * 2).min(LONGEST);
        }
        assert_eq!(expected, LONGEST);
        retry.reset();
        assert!(retry.pause(None) <= FIRST.mul_f64(1.25));
    }

    #[test]
    fn the_collectors_wish_is_honoured_within_reason() {
        let mut retry = Retry::new();
        assert_eq!(retry.pause(Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(retry.pause(Some(Duration::MAX)), LONGEST_ASKED);
    }

    #[test]
    fn a_collector_that_asks_for_no_pause_is_still_asked_less_and_less_often() {
        let mut retry = Retry::new();
        for _ in 0..12 {
            retry.pause(Some(Duration::ZERO));
        }
        assert!(retry.pause(Some(Duration::ZERO)) >= LONGEST.mul_f64(0.75));
        assert_eq!(Retry::wish(Some(Duration::from_millis(99))), None);
    }
}
