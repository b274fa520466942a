//! A histogram whose observation is one search and two atomic additions.
//!
//! It counts whole ticks (nanoseconds, bytes), so that no floating point and no lock is needed on
//! the way of a request. The sum and the buckets are read one after the other: a scrape may see an
//! observation in one and not yet in the other, never a count that disagrees with the buckets.
//!
//! With an observation whose trace was kept goes a [`Witness`]; each bucket remembers its last. Two
//! at the same moment do not wait for each other: one of them is not remembered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::reading::{Distribution, Exemplar, as_float};
use crate::http::traceparent::{SpanId, TraceId};
use crate::record::Gaps;

/// The upper bounds of a histogram, in ticks, and how many ticks make the unit of its name.
#[derive(Debug)]
pub(super) struct Scale {
    /// Ticks per exposed unit, e.g. 1e9 for seconds kept as nanoseconds.
    pub(super) ticks_per_unit: f64,
    /// Inclusive upper bounds, ascending; the bucket above them is implied.
    pub(super) bounds: &'static [u64],
}

/// Where an observation can be looked at more closely.
#[derive(Clone, Copy, Debug)]
pub(super) struct Witness {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    /// When the observation ended.
    pub(super) at: SystemTime,
}

/// A histogram. A clone observes into the same buckets.
#[derive(Clone, Debug)]
pub(super) struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    scale: &'static Scale,
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
    /// Made with the first witness: most histograms never see one.
    exemplars: OnceLock<Box<[Slot]>>,
}

/// The last witness of a bucket, and the ticks it saw.
type Slot = Mutex<Option<(Witness, u64)>>;

impl Histogram {
    /// Makes an empty one.
    pub(super) fn new(scale: &'static Scale) -> Self {
        let counts = (0..=scale.bounds.len()).map(|_| AtomicU64::new(0)).collect();
        let exemplars = OnceLock::new();
        Self(Arc::new(Buckets { scale, counts, sum: AtomicU64::new(0), exemplars }))
    }

    /// Counts a value given in ticks.
    pub(super) fn observe(&self, ticks: u64) {
        self.count(ticks);
    }

    /// Counts a duration, where ticks are nanoseconds.
    pub(super) fn observe_duration(&self, duration: Duration) {
        self.count(nanoseconds(duration));
    }

    /// Counts a duration and remembers its witness, if it has one.
    pub(super) fn observe_with(&self, duration: Duration, witness: Option<Witness>) {
        let ticks = nanoseconds(duration);
        let index = self.count(ticks);
        if let Some(witness) = witness {
            self.remember(index, witness, ticks);
        }
    }

    /// Counts the gaps of a stream, where ticks are nanoseconds and the bounds are those of
    /// [`Gaps`]: whole buckets at a time.
    pub(super) fn add_gaps(&self, gaps: &Gaps) {
        let buckets = &*self.0;
        debug_assert_eq!(buckets.scale.bounds, Gaps::BOUNDS, "the same buckets");
        for (count, more) in buckets.counts.iter().zip(gaps.counts()).filter(|(_, more)| **more > 0)
        {
            count.fetch_add(u64::from(*more), Ordering::Relaxed);
        }
        buckets.sum.fetch_add(nanoseconds(gaps.sum()), Ordering::Relaxed);
    }

    /// What it says now.
    pub(super) fn read(&self) -> Distribution {
        let Buckets { scale, counts, sum, exemplars } = &*self.0;
        let in_units = |ticks: u64| as_float(ticks) / scale.ticks_per_unit;
        let exemplars = exemplars.get().map_or(Vec::new(), |slots| {
            let exemplar = |(witness, ticks): (Witness, u64)| Exemplar {
                trace: witness.trace,
                span: witness.span,
                value: in_units(ticks),
                at: witness.at,
            };
            slots.iter().map(|slot| slot.lock().map(exemplar)).collect()
        });
        Distribution {
            bounds: scale.bounds.iter().map(|bound| in_units(*bound)).collect(),
            sum: in_units(sum.load(Ordering::Relaxed)),
            counts: counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            exemplars,
        }
    }

    /// Counts a value; says in which bucket.
    fn count(&self, ticks: u64) -> usize {
        let buckets = &*self.0;
        // From the left: most values are small, and the list is too short for a search by halves.
        let bounds = buckets.scale.bounds;
        let index = bounds.iter().position(|bound| *bound >= ticks).unwrap_or(bounds.len());
        if let Some(count) = buckets.counts.get(index) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        buckets.sum.fetch_add(ticks, Ordering::Relaxed);
        index
    }

    fn remember(&self, index: usize, witness: Witness, ticks: u64) {
        let buckets = &*self.0;
        let slots = buckets
            .exemplars
            .get_or_init(|| buckets.counts.iter().map(|_| Mutex::new(None)).collect());
        if let Some(mut slot) = slots.get(index).and_then(Mutex::try_lock) {
            *slot = Some((witness, ticks));
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    static SCALE: Scale = Scale { ticks_per_unit: 1e9, bounds: &[1_000_000, 1_000_000_000] };

    fn witness(id: u8) -> Witness {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(id));
        Witness { trace: TraceId([id; 16]), span: SpanId([id; 8]), at }
    }

    #[test]
    fn each_bucket_remembers_its_last_witness_and_no_other_observation() {
        let histogram = Histogram::new(&SCALE);
        assert!(histogram.read().exemplars.is_empty());
        histogram.observe_with(Duration::from_millis(500), Some(witness(1)));
        histogram.observe_with(Duration::from_millis(250), Some(witness(2)));
        histogram.observe_with(Duration::from_millis(900), None);
        histogram.observe_with(Duration::from_secs(9), Some(witness(3)));
        let read = histogram.read();
        assert_eq!((read.counts.as_slice(), read.count()), (&[0, 3, 1][..], 4));
        let traces: Vec<_> =
            read.exemplars.iter().map(|e| e.map(|e| (e.trace.0[0], e.value))).collect();
        assert_eq!(traces, [None, Some((2, 0.25)), Some((3, 9.0))]);
    }

    #[test]
    fn a_value_on_a_bound_belongs_below_it() {
        let histogram = Histogram::new(&SCALE);
        histogram.observe(1_000_000);
        histogram.observe(1_000_001);
        assert_eq!(histogram.read().counts, [1, 1, 0]);
    }
}
