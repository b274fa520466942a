//! A sliding window over sums that grow: what they grew by within it.
//!
//! It keeps at most some sixty samples however long it is, so it is exact to a hundred-and-twentieth of it. A sum that falls has begun again, and so does the window.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry::metrics::Tally;

/// Samples of a window.
const SAMPLES: u32 = 60;

/// What some sums were, at some moments of the last while.
#[derive(Debug)]
pub(super) struct Window {
    over: Duration,
    samples: VecDeque<Sample>,
}

#[derive(Debug)]
struct Sample {
    at: Instant,
    sums: Vec<Sums>,
}

/// A tally without its bounds, which do not change.
#[derive(Clone, Debug, Default)]
struct Sums {
    count: u64,
    buckets: Vec<u64>,
}

/// What a tally grew by.
#[derive(Debug, PartialEq)]
pub(super) struct Growth {
    pub(super) count: u64,
    pub(super) buckets: Vec<u64>,
}

impl Window {
    /// A window that begins where these tallies are seen first.
    pub(super) fn new(over: Duration) -> Self {
        Self { over, samples: VecDeque::new() }
    }

    /// A window over sums that were 0 at this moment.
    pub(super) fn from_zero(over: Duration, at: Instant) -> Self {
        let zero = Sample { at, sums: Vec::new() };
        Self { over, samples: VecDeque::from([zero]) }
    }

    /// Notes what the sums are now; gives what they grew by. `None` where there is nothing to compare
    /// them with.
    pub(super) fn slide(&mut self, now: Instant, tallies: &[Tally]) -> Option<Vec<Growth>> {
        let sums = || {
            let sums = tallies.iter();
            sums.map(|tally| Sums { count: tally.count, buckets: tally.buckets.clone() }).collect()
        };
        let spacing = self.over / SAMPLES;
        // A clock ticks a little late or early.
        let is_old = |sample: &Sample| now - sample.at + spacing / 2 >= self.over;
        while self.samples.get(1).is_some_and(is_old) {
            self.samples.pop_front();
        }
        let fell = self.samples.back().is_some_and(|last| last.exceeds(tallies));
        if fell {
            self.samples.clear();
        }
        let growth = self.samples.front().map(|first| first.growth(tallies));
        if self.samples.back().is_none_or(|last| now - last.at >= spacing) {
            self.samples.push_back(Sample { at: now, sums: sums() });
        }
        growth
    }
}

impl Sample {
    fn growth(&self, tallies: &[Tally]) -> Vec<Growth> {
        let grown = tallies.iter().enumerate().map(|(index, tally)| {
            let before = self.sums.get(index);
            let bucket = |at: usize| before.and_then(|sums| sums.buckets.get(at)).copied();
            let buckets = tally.buckets.iter().enumerate();
            Growth {
                count: tally.count.saturating_sub(before.map_or(0, |sums| sums.count)),
                buckets: buckets
                    .map(|(at, now)| now.saturating_sub(bucket(at).unwrap_or(0)))
                    .collect(),
            }
        });
        grown.collect()
    }

    fn exceeds(&self, tallies: &[Tally]) -> bool {
        self.sums.iter().zip(tallies).any(|(before, now)| before.count > now.count)
    }
}

/// The value below which this share of the observations lies, as Prometheus estimates it: evenly
/// spread within a bucket, and never beyond the last bound. `None` without observations.
#[expect(clippy::cast_precision_loss, reason = "an estimate anyway")]
pub(super) fn quantile(share: f64, bounds: &[f64], buckets: &[u64]) -> Option<f64> {
    let total: u64 = buckets.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = share * total as f64;
    let (mut below, mut lower) = (0_u64, 0.0);
    for (count, upper) in buckets.iter().zip(bounds) {
        let up_to = below + count;
        if up_to as f64 >= rank {
            return Some(lower + (upper - lower) * (rank - below as f64) / (*count).max(1) as f64);
        }
        (below, lower) = (up_to, *upper);
    }
    bounds.last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const TICK: Duration = Duration::from_secs(5);

    fn tally(count: u64) -> [Tally; 1] {
        [Tally { count, ..Tally::default() }]
    }

    fn grown(window: &mut Window, now: Instant, count: u64) -> Option<u64> {
        window.slide(now, &tally(count)).map(|growth| growth[0].count)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_counted_leaves_the_window_when_it_is_old() {
        let start = Instant::now();
        let mut window = Window::from_zero(MINUTE, start);
        assert_eq!(grown(&mut window, start, 0), Some(0));
        assert_eq!(grown(&mut window, start + TICK, 3), Some(3));
        for tick in 2..=13 {
            assert_eq!(
                grown(&mut window, start + tick * TICK, 3),
                Some(if tick < 13 { 3 } else { 0 })
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_over_sums_that_were_there_begins_with_them() {
        let start = Instant::now();
        let mut window = Window::new(MINUTE);
        assert_eq!(grown(&mut window, start, 100), None);
        assert_eq!(grown(&mut window, start + TICK, 101), Some(1));
        assert_eq!(grown(&mut window, start + 2 * TICK, 5), None, "it has begun again");
        assert_eq!(grown(&mut window, start + 3 * TICK, 7), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_window_keeps_few_samples_and_still_reaches_back() {
        let start = Instant::now();
        let hour = 60 * MINUTE;
        let mut window = Window::from_zero(hour, start);
        for tick in 0..5000_u32 {
            let now = start + tick * TICK;
            let growth = grown(&mut window, now, u64::from(tick)).unwrap();
            let off = u64::from(tick.min(720)).abs_diff(growth);
            assert!(off <= 6, "{tick}: {growth}");
            assert!(window.samples.len() <= 62, "{}", window.samples.len());
        }
    }

    #[test]
    fn quantiles_are_estimated_within_their_bucket() {
        let bounds = [1.0, 5.0, 7.5];
        assert_eq!(quantile(0.95, &bounds, &[0, 0, 0, 0]), None);
        assert_eq!(quantile(0.95, &bounds, &[]), None);
        let close = |share, buckets: &[u64], expected: f64| {
            let found = quantile(share, &bounds, buckets).unwrap();
            assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
        };
        close(0.5, &[0, 10, 0, 0], 3.0);
        close(0.95, &[95, 0, 5, 0], 1.0);
        close(0.95, &[94, 0, 6, 0], 5.0 + 2.5 / 6.0);
        close(0.95, &[0, 0, 0, 1], 7.5);
    }
}
