//! The series of one instrument, made on first use and never more than so many.
//!
//! Whoever observes keeps the handle it got: only the first use of a series comes here. Where a family
//! is full, what finds no room shares one overflow series, and each time that happens is counted. A
//! family never grows past its bound and never refuses a count.

use std::collections::HashMap;

use parking_lot::RwLock;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::histogram::Histogram;
use super::instrument::Instrument;
use super::labels::Labels;
use super::reading::{Point, Reading};

/// The live series of one instrument.
#[derive(Debug)]
pub(super) struct Family<M> {
    instrument: &'static Instrument,
    make: fn() -> M,
    bound: Bound,
    series: RwLock<HashMap<Labels, M>>,
}

/// How many series each family may have, the overflow series included, and what counts those that
/// found no room.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) max_series: usize,
    pub(super) overflow: Counter,
}

/// What a family is made of.
pub(super) trait Metric: Clone {
    /// The value now.
    fn point(&self) -> Point;
}

impl<M: Metric> Family<M> {
    /// A family without series.
    pub(super) fn new(instrument: &'static Instrument, make: fn() -> M, bound: &Bound) -> Self {
        Self { instrument, make, bound: bound.clone(), series: RwLock::default() }
    }

    /// The series of these labels, made if it is not there; the overflow series where there is no
    /// room for it.
    pub(super) fn series(&self, labels: &Labels) -> M {
        if let Some(found) = self.series.read().get(labels) {
            return found.clone();
        }
        debug_assert!(
            labels.declared().all(|key| self.instrument.keys.contains(&key)),
            "{} declares no such label: {labels:?}",
            self.instrument.name
        );
        let mut all = self.series.write();
        // The last place is the overflow series' own.
        if all.len() + 1 >= self.bound.max_series && !all.contains_key(labels) {
            self.bound.overflow.inc();
            return all.entry(Labels::overflow()).or_insert_with(self.make).clone();
        }
        all.entry(labels.clone()).or_insert_with(self.make).clone()
    }

    /// What all of it says now.
    pub(super) fn read(&self) -> Reading {
        let all = self.series.read();
        let series = all.iter().map(|(labels, metric)| (labels.clone(), metric.point()));
        Reading::new(self.instrument, series)
    }
}

impl Metric for Counter {
    fn point(&self) -> Point {
        Point::Count(self.get())
    }
}

impl Metric for Gauge {
    fn point(&self) -> Point {
        Point::Level(self.get())
    }
}

impl Metric for Histogram {
    fn point(&self) -> Point {
        Point::Distribution(self.read())
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::ERRORS;
    use super::super::labels::key;
    use super::*;

    const WORDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

    fn labels(word: &'static str) -> Labels {
        Labels::default().closed(key::TYPE, word)
    }

    #[test]
    fn what_finds_no_room_is_counted_under_the_overflow_series() {
        let bound = Bound { max_series: 4, overflow: Counter::default() };
        let family = Family::new(&ERRORS, Counter::default, &bound);
        for _ in 0..2 {
            for word in WORDS {
                family.series(&labels(word)).inc();
            }
        }
        let series = family.read().series;
        assert_eq!(series.len(), 4);
        let value = |labels: &Labels| {
            series.iter().find(|series| series.labels == *labels).map(|series| series.point.clone())
        };
        assert_eq!(value(&labels("a")), Some(Point::Count(2)));
        assert_eq!(value(&labels("c")), Some(Point::Count(2)));
        assert_eq!(value(&labels("d")), None);
        assert_eq!(value(&Labels::overflow()), Some(Point::Count(6)));
        assert_eq!(bound.overflow.get(), 6);
    }

    #[test]
    fn a_family_with_room_never_overflows() {
        let bound = Bound { max_series: WORDS.len() + 1, overflow: Counter::default() };
        let family = Family::new(&ERRORS, Counter::default, &bound);
        for word in WORDS {
            family.series(&labels(word)).inc();
        }
        assert_eq!((family.read().series.len(), bound.overflow.get()), (WORDS.len(), 0));
    }

    #[test]
    fn two_handles_of_one_series_count_together() {
        let bound = Bound { max_series: 9, overflow: Counter::default() };
        let family = Family::new(&ERRORS, Counter::default, &bound);
        family.series(&labels("a")).inc();
        family.series(&labels("a")).inc();
        assert_eq!(family.series(&labels("a")).get(), 2);
    }
}
