//! What the books say at one moment: families, their series, their values.
//!
//! Every form in which numbers leave (two text formats, protobuf, OTLP) is written from this, so they
//! cannot disagree. It knows none of them.

use std::time::SystemTime;

use super::instrument::Instrument;
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

    /// Keeps at most `max_series`: what is beyond is added up in the overflow series. Families that
    /// bound themselves never come so far; it is for those that a configuration names without end.
    pub(super) fn bound(&mut self, max_series: usize) {
        if self.series.len() <= max_series {
            return;
        }
        let beyond = self.series.drain(max_series.saturating_sub(1)..);
        let sum = beyond.map(|series| match series.point {
            Point::Count(count) => count,
            _ => 0,
        });
        let point = Point::Count(sum.sum());
        self.series.push(Series { labels: Labels::overflow(), point });
    }

    /// A family that has no labels.
    pub(super) fn single(instrument: &'static Instrument, point: Point) -> Self {
        Self::new(instrument, [(Labels::default(), point)])
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
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::DECISIONS;
    use super::super::labels::key;
    use super::*;

    #[test]
    fn what_a_source_has_too_much_of_is_added_up() {
        let words = ["a", "b", "c", "d"];
        let series = (1..).zip(words).map(|(count, word)| {
            (Labels::default().closed(key::DECISION, word), Point::Count(count))
        });
        let mut reading = Reading::new(&DECISIONS, series);
        reading.bound(4);
        assert_eq!(reading.series.len(), 4);
        reading.bound(3);
        assert_eq!(reading.series.len(), 3);
        let last = &reading.series[2];
        assert_eq!((&last.labels, &last.point), (&Labels::overflow(), &Point::Count(3 + 4)));
    }
}
