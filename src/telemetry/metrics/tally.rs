//! What an alert asks of the books: some series of one metric, added up.
//!
//! It reads what a scrape reads. Counts and histograms are added up; of what comes and goes a sum would
//! say nothing.

use super::Metrics;
use super::labels::Labels;
use super::reading::{Point, Reading, Series as Counted};
use super::sources::Source;
use crate::config::model::Series;
use crate::record::name::spell;

/// Series added up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// What was counted; of a histogram, how many observations.
    pub count: u64,
    /// Of a histogram: how many fell into each bucket. There is one more than there are bounds. Empty
    /// before the first.
    pub buckets: Vec<u64>,
    /// Of a histogram of times: inclusive upper bounds in seconds.
    pub bounds: Vec<f64>,
}

/// The label in which Prometheus shows a status.
const STATUS: &str = "http_response_status_code";

impl Metrics {
    /// Adds these series up, in their order. It reads every family once, as a scrape does.
    pub fn tally(&self, asked: &[Series]) -> Vec<Tally> {
        let mut readings = self.shared.instruments.read();
        readings.extend(self.shared.sources.lock().iter().flat_map(Source::read));
        let named: Vec<_> = readings
            .iter()
            .map(|reading| (reading.instrument.prometheus_name(), reading))
            .collect();
        let tally = |series: &Series| {
            let mut tally = Tally::default();
            for (_, reading) in named.iter().filter(|(name, _)| *name == series.book.metric) {
                tally.add(reading, series);
            }
            tally
        };
        asked.iter().map(tally).collect()
    }
}

impl Tally {
    fn add(&mut self, reading: &Reading, asked: &Series) {
        let per_second = if reading.instrument.unit == "ms" { 1000.0 } else { 1.0 };
        for Counted { labels, point } in &reading.series {
            if !is_asked(labels, asked) {
                continue;
            }
            match point {
                Point::Count(count) => self.count += count,
                Point::Distribution(distribution) => {
                    self.count += distribution.count();
                    self.buckets.resize(distribution.counts.len(), 0);
                    let pairs = self.buckets.iter_mut().zip(&distribution.counts);
                    pairs.for_each(|(sum, more)| *sum += more);
                    let bounds = distribution.bounds.iter();
                    self.bounds = bounds.map(|bound| bound / per_second).collect();
                }
                Point::Level(_) | Point::Real(_) => {}
            }
        }
    }
}

fn is_asked(labels: &Labels, asked: &Series) -> bool {
    let value = |name: &str| {
        let mut pairs = labels.pairs();
        pairs.find(|(key, _)| spell(key) == name).map(|(_, value)| value.to_string())
    };
    let has_status = asked.statuses.as_ref().is_none_or(|statuses| {
        value(STATUS)
            .and_then(|status| status.parse().ok())
            .is_some_and(|status| statuses.contains(&status))
    });
    let mut named = asked.labels.iter();
    has_status && named.all(|(name, wanted)| value(name).is_some_and(|value| value == **wanted))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::super::catalogue::ALL;
    use super::super::instrument::Kind;
    use super::super::instruments::Instruments;
    use super::*;
    use crate::config::model::{BOOKS, BookKind};

    #[test]
    fn an_alert_can_be_about_every_counter_and_histogram_there_is() {
        // `process_cpu_seconds_total` is not counted in whole numbers.
        let asked = ALL.iter().filter(|one| {
            matches!(one.kind, Kind::Counter | Kind::Histogram) && one.name != "process.cpu"
        });
        let declared: BTreeMap<_, _> = asked
            .map(|one| {
                let keys: Vec<_> = one.keys.iter().map(|key| spell(key)).collect();
                (one.prometheus_name(), (one.kind == Kind::Counter, keys))
            })
            .collect();
        let listed: BTreeMap<_, _> = BOOKS
            .iter()
            .map(|book| {
                let keys: Vec<_> = book.labels.iter().map(|&label| label.to_owned()).collect();
                (book.metric.to_owned(), (book.kind == BookKind::Count, keys))
            })
            .collect();
        assert_eq!(declared, listed, "the metrics, and `config/model/books.rs`");
    }

    #[test]
    fn the_last_buckets_end_where_the_configuration_says() {
        let instruments = Instruments::new(100);
        let labels = Labels::default();
        instruments.request_duration.series(&labels);
        instruments.orchestration_duration.series(&labels);
        instruments.stream_gap.series(&labels);
        instruments.overhead.series(&labels);
        let mut seen = 0;
        for reading in instruments.read() {
            let name = reading.instrument.prometheus_name();
            let Some(book) = BOOKS.iter().find(|book| book.metric == name) else { continue };
            let BookKind::Time { last } = book.kind else { continue };
            for series in &reading.series {
                let Point::Distribution(distribution) = &series.point else { panic!("{name}") };
                let unit = if reading.instrument.unit == "ms" { 1000.0 } else { 1.0 };
                let bound = distribution.bounds.last().copied().unwrap_or_default() / unit;
                assert_eq!(Duration::from_secs_f64(bound), last, "{name}");
                seen += 1;
            }
        }
        assert!(seen >= 4, "{seen}");
    }
}
