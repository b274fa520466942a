//! How the demo orchestrator behaves: how fast it answers, how often it fails, and from which seed.
//!
//! Every request draws from its own generator, made from the seed and the request's number, so that
//! the n-th request meets the same luck in every run, however the requests overlap.

use std::time::Duration;

use fastrand::Rng;

/// How the orchestrator behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Whether some answers fail.
    pub failures: Failures,
    /// Whether answers take their time.
    pub pace: Pace,
    /// Where all chance comes from.
    pub seed: u64,
}

/// Whether some answers fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failures {
    /// None does.
    Never,
    /// About 3 % are a 500, 1 % a 503 and 1 % break in the middle of the body.
    Some,
}

/// Whether answers take their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as the machine allows; for tests.
    Immediate,
    /// 20 to 200 ms, 3 % of them 1.0 to 2.5 s; a streamed token every 20 to 40 ms.
    Lifelike,
}

/// What chance decided for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// A good answer.
    Answer,
    /// A 500.
    Broken,
    /// A good head, then the connection breaks.
    Cut,
    /// A 503 whose body says that the database has no connection left.
    Exhausted,
}

impl Behaviour {
    /// The generator of the request with this number.
    pub(super) fn dice(&self, number: u64) -> Rng {
        // An odd constant spreads neighbouring numbers over the whole range.
        Rng::with_seed(self.seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// Decides how a request ends.
    pub(super) fn fate(&self, dice: &mut Rng) -> Fate {
        match (self.failures, dice.u32(..1000)) {
            (Failures::Never, _) | (Failures::Some, 50..) => Fate::Answer,
            (Failures::Some, 0..30) => Fate::Broken,
            (Failures::Some, 30..40) => Fate::Exhausted,
            (Failures::Some, 40..50) => Fate::Cut,
        }
    }

    /// How long the orchestrator thinks before it answers.
    pub(super) fn thinking(&self, dice: &mut Rng) -> Duration {
        let millis = if dice.u32(..100) < 3 { dice.u64(1000..=2500) } else { dice.u64(20..=200) };
        self.paced(millis)
    }

    /// How long it takes to find a cached answer.
    pub(super) fn recalling(&self, dice: &mut Rng) -> Duration {
        self.paced(dice.u64(5..=20))
    }

    /// The pause before one streamed token.
    pub(super) fn between_tokens(&self, dice: &mut Rng) -> Duration {
        self.paced(dice.u64(20..=40))
    }

    fn paced(&self, millis: u64) -> Duration {
        match self.pace {
            Pace::Immediate => Duration::ZERO,
            Pace::Lifelike => Duration::from_millis(millis),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFELIKE: Behaviour =
        Behaviour { failures: Failures::Some, pace: Pace::Lifelike, seed: 7 };

    #[test]
    fn the_same_seed_and_number_bring_the_same_luck() {
        let draw = |number| {
            let mut dice = LIFELIKE.dice(number);
            (LIFELIKE.fate(&mut dice), LIFELIKE.thinking(&mut dice))
        };
        assert!((0..100).all(|number| draw(number) == draw(number)));
        assert!((0..100).any(|number| draw(number) != draw(0)));
    }

    #[test]
    fn about_five_of_a_hundred_fail_in_each_of_three_ways_and_none_when_told_so() {
        let count = |behaviour: Behaviour, fate| {
            (0..10_000).filter(|n| behaviour.fate(&mut behaviour.dice(*n)) == fate).count()
        };
        assert!((200..400).contains(&count(LIFELIKE, Fate::Broken)));
        assert!((50..150).contains(&count(LIFELIKE, Fate::Exhausted)));
        assert!((50..150).contains(&count(LIFELIKE, Fate::Cut)));
        let calm = Behaviour { failures: Failures::Never, ..LIFELIKE };
        assert_eq!(count(calm, Fate::Answer), 10_000);
    }

    #[test]
    fn thinking_takes_twenty_to_two_hundred_milliseconds_and_sometimes_more_than_a_second() {
        let times: Vec<_> =
            (0..1000).map(|n| LIFELIKE.thinking(&mut LIFELIKE.dice(n)).as_millis()).collect();
        assert!(times.iter().all(|ms| (20..=200).contains(ms) || (1000..=2500).contains(ms)));
        let slow = times.iter().filter(|ms| **ms >= 1000).count();
        assert!((10..80).contains(&slow), "{slow}");
    }
}
