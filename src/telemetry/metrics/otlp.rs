//! Readings as an OTLP export request: what Prometheus would scrape, for who is pushed to.
//!
//! Sums and histograms are cumulative since the start of the process, so a push that is lost costs
//! resolution and no counts. Counters are monotonic sums, what comes and goes is a sum that is not, and
//! a reading of which a sum would say nothing is a gauge. The overflow attribute is the specification's.
//!
//! It neither compresses nor sends.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::instrument::Kind;
use super::labels::{Labels, Value};
use super::reading::{Distribution, Exemplar as Seen, Point, Reading, Series};

/// Who the readings are of, and since when they count.
#[derive(Debug)]
pub(super) struct Origin {
    /// The resource attributes.
    pub(super) resource: Vec<(String, String)>,
    /// The name of the scope: the service's.
    pub(super) scope: String,
    /// When counting began.
    pub(super) started: SystemTime,
}

/// From when to when the readings count, in nanoseconds since the epoch.
#[derive(Clone, Copy)]
struct Window {
    start: u64,
    end: u64,
}

/// One encoded export request, and how many data points are in it. Families without series are left out.
pub(super) fn encode(readings: &[Reading], origin: &Origin, now: SystemTime) -> (Vec<u8>, u64) {
    let start = nanoseconds(origin.started);
    // A clock that was set back must not make the end the earlier one.
    let window = Window { start, end: nanoseconds(now).max(start) };
    let live = || readings.iter().filter(|reading| !reading.series.is_empty());
    let points = live().map(|reading| reading.series.len() as u64).sum();
    let attributes = origin.resource.iter().map(|(key, value)| text(key, value.clone())).collect();
    let scope = InstrumentationScope { name: origin.scope.clone(), ..Default::default() };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes, ..Default::default() }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope),
                metrics: live().map(|reading| metric(reading, window)).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    (request.encode_to_vec(), points)
}

fn metric(reading: &Reading, window: Window) -> Metric {
    let instrument = reading.instrument;
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    let numbers =
        |window| reading.series.iter().map(move |series| number(series, window)).collect();
    let data = match instrument.kind {
        Kind::Counter | Kind::UpDownCounter => metric::Data::Sum(Sum {
            data_points: numbers(window),
            aggregation_temporality,
            is_monotonic: instrument.kind == Kind::Counter,
        }),
        // What is only read has no beginning.
        Kind::Gauge => {
            metric::Data::Gauge(Gauge { data_points: numbers(Window { start: 0, ..window }) })
        }
        Kind::Histogram => metric::Data::Histogram(Histogram {
            data_points: reading
                .series
                .iter()
                .filter_map(|series| histogram(series, window))
                .collect(),
            aggregation_temporality,
        }),
    };
    Metric {
        name: instrument.name.to_owned(),
        description: instrument.help.to_owned(),
        unit: instrument.unit.to_owned(),
        metadata: Vec::new(),
        data: Some(data),
    }
}

fn number(series: &Series, window: Window) -> NumberDataPoint {
    use number_data_point::Value::{AsDouble, AsInt};
    let value = match series.point {
        Point::Count(count) => AsInt(i64::try_from(count).unwrap_or(i64::MAX)),
        Point::Level(level) => AsInt(level),
        Point::Real(value) => AsDouble(value),
        Point::Distribution(ref distribution) => AsDouble(distribution.sum),
    };
    NumberDataPoint {
        attributes: attributes(&series.labels),
        start_time_unix_nano: window.start,
        time_unix_nano: window.end,
        value: Some(value),
        ..Default::default()
    }
}

/// `None` of what is no histogram, which no instrument of that kind has.
fn histogram(series: &Series, window: Window) -> Option<HistogramDataPoint> {
    let Point::Distribution(distribution) = &series.point else { return None };
    let Distribution { bounds, counts, sum, exemplars } = distribution;
    Some(HistogramDataPoint {
        attributes: attributes(&series.labels),
        start_time_unix_nano: window.start,
        time_unix_nano: window.end,
        count: distribution.count(),
        sum: Some(*sum),
        bucket_counts: counts.clone(),
        explicit_bounds: bounds.clone(),
        exemplars: exemplars.iter().flatten().map(exemplar).collect(),
        ..Default::default()
    })
}

fn exemplar(seen: &Seen) -> Exemplar {
    Exemplar {
        filtered_attributes: Vec::new(),
        time_unix_nano: nanoseconds(seen.at),
        span_id: seen.span.0.into(),
        trace_id: seen.trace.0.into(),
        value: Some(exemplar::Value::AsDouble(seen.value)),
    }
}

fn attributes(labels: &Labels) -> Vec<KeyValue> {
    let attribute = |(key, value): (&str, &Value)| match value {
        Value::Closed(word) => text(key, (*word).to_owned()),
        Value::Named(name) => text(key, name.to_string()),
        Value::Flag(flag) => pair(key, any_value::Value::BoolValue(*flag)),
        Value::Number(number) => pair(key, any_value::Value::IntValue(i64::from(*number))),
    };
    labels.pairs().map(attribute).collect()
}

fn text(key: &str, value: String) -> KeyValue {
    pair(key, any_value::Value::StringValue(value))
}

fn pair(key: &str, value: any_value::Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..Default::default() }
}

fn nanoseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
