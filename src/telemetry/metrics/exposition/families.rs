//! Readings as the families of Prometheus, which all its forms are written from.
//!
//! They come sorted, families by name and series by labels. It writes no page.

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;

use super::labels;
use crate::record::name::spell;
use crate::telemetry::metrics::instrument::Kind;
use crate::telemetry::metrics::reading::{Distribution, Exemplar, Point, Reading, as_float};

/// The families by name, their series by labels. A family without series is left out.
pub(super) fn of(readings: &[Reading], target: &[(String, String)]) -> Vec<model::MetricFamily> {
    let live = readings.iter().filter(|reading| !reading.series.is_empty());
    let mut families: Vec<_> = live.map(family).chain([target_info(target)]).collect();
    families.sort_by(|a, b| a.name.cmp(&b.name));
    for family in &mut families {
        family.metric.sort_by(|a, b| labels(a).cmp(labels(b)));
    }
    families
}

fn family(reading: &Reading) -> model::MetricFamily {
    let instrument = reading.instrument;
    let kind = match instrument.kind {
        Kind::Counter => model::MetricType::Counter,
        Kind::UpDownCounter | Kind::Gauge => model::MetricType::Gauge,
        Kind::Histogram => model::MetricType::Histogram,
    };
    let metric = reading.series.iter().map(|series| {
        let pairs = series.labels.pairs();
        let label = pairs.map(|(key, value)| pair(spell(key), value.to_string())).collect();
        metric(label, &series.point, kind)
    });
    model::MetricFamily {
        name: instrument.prometheus_name(),
        help: instrument.help.to_owned(),
        r#type: kind.into(),
        unit: instrument.prometheus_unit().to_owned(),
        metric: metric.collect(),
    }
}

/// The resource, as one series that says 1 (OpenTelemetry, "Prometheus and OpenMetrics
/// Compatibility").
fn target_info(target: &[(String, String)]) -> model::MetricFamily {
    let label = target.iter().map(|(name, value)| pair(name.clone(), value.clone())).collect();
    model::MetricFamily {
        name: "target_info".to_owned(),
        help: "Who this is".to_owned(),
        r#type: model::MetricType::Gauge.into(),
        metric: vec![metric(label, &Point::Count(1), model::MetricType::Gauge)],
        ..Default::default()
    }
}

fn metric(label: Vec<model::LabelPair>, point: &Point, kind: model::MetricType) -> model::Metric {
    let mut metric = model::Metric { label, ..Default::default() };
    let value = match point {
        Point::Distribution(distribution) => {
            metric.histogram = Some(histogram(distribution));
            return metric;
        }
        Point::Count(count) => as_float(*count),
        Point::Level(level) => as_float(level.unsigned_abs()).copysign(sign(*level)),
        Point::Real(value) => *value,
    };
    if kind == model::MetricType::Counter {
        metric.counter = Some(model::Counter { value, ..Default::default() });
    } else {
        metric.gauge = Some(model::Gauge { value });
    }
    metric
}

fn histogram(distribution: &Distribution) -> model::Histogram {
    let mut cumulative_count = 0;
    let bounds = distribution.bounds.iter().copied().chain([f64::INFINITY]);
    let buckets = bounds.zip(&distribution.counts).enumerate().map(|(index, (bound, count))| {
        cumulative_count += count;
        let seen = distribution.exemplars.get(index).copied().flatten();
        model::Bucket {
            cumulative_count,
            upper_bound: bound,
            exemplar: seen.as_ref().map(exemplar),
            ..Default::default()
        }
    });
    model::Histogram {
        bucket: buckets.collect(),
        sample_count: distribution.count(),
        sample_sum: distribution.sum,
        ..Default::default()
    }
}

fn exemplar(seen: &Exemplar) -> model::Exemplar {
    model::Exemplar {
        label: vec![
            pair("trace_id".to_owned(), hex(&seen.trace.hex())),
            pair("span_id".to_owned(), hex(&seen.span.hex())),
        ],
        value: seen.value,
        timestamp: Some(seen.at.into()),
    }
}

fn hex(digits: &[u8]) -> String {
    String::from_utf8_lossy(digits).into_owned()
}

fn pair(name: String, value: String) -> model::LabelPair {
    model::LabelPair { name, value }
}

fn sign(level: i64) -> f64 {
    if level < 0 { -1.0 } else { 1.0 }
}
