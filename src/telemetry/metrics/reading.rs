//! What the books say at one moment: families, their series, their values.
//!
//! Every form in which numbers leave (two text formats, protobuf, OTLP) is written from this, so they
//! cannot disagree. It knows none of them.

use std::time::SystemTime;

use super::instrument::{Instrument, Kind};
use super::labels::Labels;
use crate::http::traceparent::{SpanId, TraceId};

/// One family at one moment.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) instrument: &'static Instrument,
    pub(super) series: Vec<Series>,
}

/// One series at one moment.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) labels: Labels,
    pub(super) point: Point,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Point {
    /// Of a counter.
    Count(u64),
    /// Of something that may also be negative.
    Level(i64),
    /// Of what is not counted in whole numbers.
    Real(f64),
    /// Of a histogram.
    Distribution(Distribution),
}

/// The value of a histogram. There is one bucket more than there are bounds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Distribution {
    /// Inclusive upper bounds, ascending.
    pub(super) bounds: Vec<f64>,
    /// How many observations fell into each bucket.
    pub(super) counts: Vec<u64>,
    /// The sum of all observations.
    pub(super) sum: f64,
    /// The last observation with a trace, of each bucket; empty where there was none at all.
    pub(super) exemplars: Vec<Option<Exemplar>>,
}

/// An observation whose trace was kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    /// In the unit of the histogram.
    pub(super) value: f64,
    pub(super) at: SystemTime,
}

impl Reading {
    /// A family of series.
    pub(super) fn new(
        instrument: &'static Instrument,
        series: impl IntoIterator<Item = (Labels, Point)>,
    ) -> Self {
        let series = series.into_iter().map(|(labels, point)| Series { labels, point }).collect();
        Self { instrument, series }
    }

    /// Keeps at most `max_series`: what is beyond is added up in the overflow series; of a gauge, of
    /// which a sum would say nothing, that has the largest. Says how many series found no room.
    /// Families that bound themselves never come so far; it is for those that a configuration names
    /// without end.
    pub(super) fn bound(&mut self, max_series: usize) -> usize {
        if self.series.len() <= max_series {
            return 0;
        }
        let is_shared = |series: &Series| series.labels == Labels::overflow();
        let (shared, mut own): (Vec<_>, Vec<_>) = self.series.drain(..).partition(is_shared);
        let beyond = own.split_off(own.len().min(max_series.saturating_sub(1)));
        let count = beyond.len();
        let is_gauge = self.instrument.kind == Kind::Gauge;
        let points = shared.into_iter().chain(beyond).map(|series| series.point);
        let point = points.reduce(|a, b| if is_gauge { a.or_larger(b) } else { a.plus(b) });
        self.series = own;
        self.series.extend(point.map(|point| Series { labels: Labels::overflow(), point }));
        count
    }

    /// A family that has no labels.
    pub(super) fn single(instrument: &'static Instrument, point: Point) -> Self {
        Self::new(instrument, [(Labels::default(), point)])
    }
}

impl Point {
    /// The sum of two of a kind. A family has one kind; whatever is of another adds nothing.
    fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Count(a), Self::Count(b)) => Self::Count(a.saturating_add(b)),
            (Self::Level(a), Self::Level(b)) => Self::Level(a.saturating_add(b)),
            (Self::Real(a), Self::Real(b)) => Self::Real(a + b),
            (Self::Distribution(a), Self::Distribution(b)) => Self::Distribution(a.plus(b)),
            (a, _) => a,
        }
    }

    /// The larger of two of a kind.
    fn or_larger(self, other: Self) -> Self {
        match (self, other) {
            (Self::Count(a), Self::Count(b)) => Self::Count(a.max(b)),
            (Self::Level(a), Self::Level(b)) => Self::Level(a.max(b)),
            (Self::Real(a), Self::Real(b)) => Self::Real(a.max(b)),
            (a, _) => a,
        }
    }
}

/// Makes one of the readings of one family, which two sources may both have.
pub(super) fn join(readings: impl IntoIterator<Item = Reading>) -> Vec<Reading> {
    let mut joined: Vec<Reading> = Vec::new();
    for mut reading in readings {
        let same = |other: &&mut Reading| std::ptr::eq(other.instrument, reading.instrument);
        match joined.iter_mut().find(same) {
            Some(first) => first.series.append(&mut reading.series),
            None => joined.push(reading),
        }
    }
    joined
}

/// A count as the formats of Prometheus show it: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "these formats carry floats and nothing else")]
pub(super) fn as_float(value: u64) -> f64 {
    value as f64
}

impl Distribution {
    /// How many observations there are.
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Both together, where their buckets are the same. Each bucket has the exemplar of one of them.
    fn plus(mut self, other: Self) -> Self {
        if self.bounds == other.bounds {
            self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
            self.sum += other.sum;
            if self.exemplars.is_empty() {
                self.exemplars = other.exemplars;
            } else {
                let exemplars = self.exemplars.iter_mut().zip(other.exemplars);
                exemplars.for_each(|(a, b)| *a = a.take().or(b));
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::{ALERT_FIRING, DECISIONS, LIMIT_KEYS, REQUEST_DURATION};
    use super::super::labels::key;
    use super::*;

    #[test]
    fn what_a_source_has_too_much_of_is_added_up() {
        let words = ["a", "b", "c", "d"];
        let series = (1..).zip(words).map(|(count, word)| {
            (Labels::default().closed(key::DECISION, word), Point::Count(count))
        });
        let mut reading = Reading::new(&DECISIONS, series);
        assert_eq!(reading.bound(4), 0);
        assert_eq!(reading.series.len(), 4);
        assert_eq!(reading.bound(3), 2);
        assert_eq!(reading.series.len(), 3);
        let last = &reading.series[2];
        assert_eq!((&last.labels, &last.point), (&Labels::overflow(), &Point::Count(3 + 4)));
        assert_eq!(reading.bound(2), 1);
        let points: Vec<_> = reading.series.into_iter().map(|series| series.point).collect();
        assert_eq!(points, [Point::Count(1), Point::Count(2 + 3 + 4)], "one overflow series");
    }

    #[test]
    fn nothing_of_any_kind_is_lost_beyond_the_bound() {
        let distribution = |counts: [u64; 2], sum| {
            let (bounds, counts) = (vec![1.0], counts.to_vec());
            Point::Distribution(Distribution { bounds, counts, sum, exemplars: Vec::new() })
        };
        let rest = |instrument, points: [Point; 3]| {
            let mut reading =
                Reading::new(instrument, points.map(|point| (Labels::default(), point)));
            assert_eq!(reading.bound(1), 3);
            reading.series.remove(0).point
        };
        let levels = [1, -5, 7].map(Point::Level);
        assert_eq!(rest(&LIMIT_KEYS, levels.clone()), Point::Level(3));
        assert_eq!(rest(&ALERT_FIRING, levels), Point::Level(7), "of a gauge the largest");
        assert_eq!(rest(&DECISIONS, [0.5, 1.0, 2.0].map(Point::Real)), Point::Real(3.5));
        let distributions = [([1, 0], 0.5), ([2, 1], 4.0), ([0, 3], 9.0)];
        let distributions = distributions.map(|(counts, sum)| distribution(counts, sum));
        assert_eq!(rest(&REQUEST_DURATION, distributions), distribution([3, 4], 13.5));
    }
}
