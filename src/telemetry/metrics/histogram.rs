//! A histogram whose observation is one search and two atomic additions.
//!
//! It counts whole ticks (nanoseconds, bytes), so that no floating point and no lock is needed on
//! the way of a request. The sum and the buckets are read one after the other: a scrape may see an
//! observation in one and not yet in the other, never a count that disagrees with the buckets.
//!
//! It carries no exemplars: the registry's encoder takes none from other people's metrics.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// The upper bounds of a histogram, in ticks, and how many ticks make the unit of its name.
#[derive(Debug)]
pub(super) struct Scale {
    /// Ticks per exposed unit, e.g. 1e9 for seconds kept as nanoseconds.
    pub(super) ticks_per_unit: f64,
    /// Inclusive upper bounds, ascending; the bucket above them is implied.
    pub(super) bounds: &'static [u64],
}

/// A histogram. A clone observes into the same buckets.
#[derive(Clone, Debug)]
pub(super) struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    scale: &'static Scale,
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// Makes an empty one.
    pub(super) fn new(scale: &'static Scale) -> Self {
        let counts = (0..=scale.bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Buckets { scale, counts, sum: AtomicU64::new(0) }))
    }

    /// Counts a value given in ticks.
    pub(super) fn observe(&self, ticks: u64) {
        let buckets = &*self.0;
        // From the left: most values are small, and the list is too short for a search by halves.
        let bounds = buckets.scale.bounds;
        let index = bounds.iter().position(|bound| *bound >= ticks).unwrap_or(bounds.len());
        if let Some(count) = buckets.counts.get(index) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        buckets.sum.fetch_add(ticks, Ordering::Relaxed);
    }

    /// Counts a duration, where ticks are nanoseconds.
    pub(super) fn observe_duration(&self, duration: Duration) {
        self.observe(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let scale = self.0.scale;
        let in_units = |ticks: u64| as_float(ticks) / scale.ticks_per_unit;
        let sum = in_units(self.0.sum.load(Ordering::Relaxed));
        let bounds = scale.bounds.iter().map(|b| in_units(*b)).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> =
            bounds.zip(self.0.counts.iter().map(|c| c.load(Ordering::Relaxed))).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// A count as the exposition formats show it: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "the formats carry floats and nothing else")]
pub(super) fn as_float(value: u64) -> f64 {
    value as f64
}
