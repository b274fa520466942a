//! Numbers that are counted elsewhere and shown here: a closure is asked at each scrape.
//!
//! The types are plain, so that lanes, limits and the audit writer need to know nothing of the
//! registry. A closure is called on the scrape's thread: it takes a snapshot and must not wait.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::histogram::as_float;
use super::labels::Labels;
use crate::record::ConfigName;

/// The account of one sink, as the ledger keeps it.
#[derive(Clone, Debug, Default)]
pub struct SinkCounts {
    /// `traces`, `logs`, `errors`, `audit`.
    pub signal: &'static str,
    /// The sink's name, e.g. `otlp`.
    pub sink: &'static str,
    /// Items taken.
    pub accepted: u64,
    /// Items that arrived.
    pub exported: u64,
    /// Items lost, by reason from a closed set.
    pub dropped: Vec<(&'static str, u64)>,
    /// Items on their way.
    pub in_flight: u64,
    /// Items the queue can hold.
    pub capacity: u64,
    /// Export attempts by result, from a closed set; empty where the sink makes none.
    pub attempts: Vec<(&'static str, u64)>,
    /// When a batch last arrived.
    pub last_success: Option<SystemTime>,
}

/// The decisions of one rate limit.
#[derive(Clone, Debug)]
pub struct RuleCounts {
    /// Its configured name.
    pub rule: ConfigName,
    /// Requests let through.
    pub allowed: u64,
    /// Requests refused.
    pub denied: u64,
    /// Requests that shadow mode let through.
    pub would_deny: u64,
    /// Buckets held now.
    pub keys: u64,
}

/// The state of the audit chain.
#[derive(Clone, Debug, Default)]
pub struct AuditCounts {
    /// Records by event and result, both from closed sets.
    pub records: Vec<(&'static str, &'static str, u64)>,
    /// Records that could not be made durable.
    pub failures: u64,
    /// The last durable sequence number.
    pub sequence: u64,
}

/// Shows the ledger's accounts.
pub fn sinks(ask: impl Fn() -> Vec<SinkCounts> + Send + Sync + 'static) -> Box<dyn Collector> {
    source("sinks", move || ask().iter().flat_map(sink_samples).collect())
}

/// Shows the decisions of the rate limits.
pub fn rules(ask: impl Fn() -> Vec<RuleCounts> + Send + Sync + 'static) -> Box<dyn Collector> {
    source("rules", move || ask().iter().flat_map(rule_samples).collect())
}

/// Shows where the breaker is: one number per state, 1 for the one it is in.
pub fn breaker(
    ask: impl Fn() -> Vec<(&'static str, bool)> + Send + Sync + 'static,
) -> Box<dyn Collector> {
    source("breaker", move || {
        let sample = |(state, is_here)| Sample {
            name: "sidecar_breaker_state",
            help: "1 for the state the breaker is in",
            kind: Kind::Gauge,
            labels: Labels::default().closed("state", state),
            value: f64::from(u8::from(is_here)),
        };
        ask().into_iter().map(sample).collect()
    })
}

/// Shows the state of the audit chain.
pub fn audit(ask: impl Fn() -> AuditCounts + Send + Sync + 'static) -> Box<dyn Collector> {
    source("audit", move || audit_samples(&ask()))
}

/// Shows how the last reload went: whether it succeeded, and when one last did.
pub fn reloads(ask: impl Fn() -> (bool, SystemTime) + Send + Sync + 'static) -> Box<dyn Collector> {
    source("reloads", move || reload_samples(ask()))
}

/// What a sample is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Only grows; the encoder adds `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One number with its name.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: Labels,
    pub(super) value: f64,
}

impl Sample {
    /// A number without labels.
    pub(super) fn plain(name: &'static str, help: &'static str, kind: Kind, value: f64) -> Self {
        Self { name, help, kind, labels: Labels::default(), value }
    }
}

/// Writes samples; those of one name are joined into one family by `exposition::families`.
pub(super) fn encode(mut encoder: DescriptorEncoder<'_>, samples: &[Sample]) -> fmt::Result {
    for sample in samples {
        let kind = match sample.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
        };
        let mut family = encoder.encode_descriptor(sample.name, sample.help, None, kind)?;
        let mut metric = family.encode_family(&sample.labels)?;
        match sample.kind {
            Kind::Counter => metric.encode_counter::<NoLabelSet, _, u64>(&sample.value, None)?,
            Kind::Gauge => metric.encode_gauge(&sample.value)?,
        }
    }
    Ok(())
}

struct Source<F> {
    name: &'static str,
    ask: F,
}

fn source<F>(name: &'static str, ask: F) -> Box<dyn Collector>
where
    F: Fn() -> Vec<Sample> + Send + Sync + 'static,
{
    Box::new(Source { name, ask })
}

impl<F> fmt::Debug for Source<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.name).finish()
    }
}

impl<F: Fn() -> Vec<Sample> + Send + Sync + 'static> Collector for Source<F> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encode(encoder, &(self.ask)())
    }
}

fn sink_samples(counts: &SinkCounts) -> Vec<Sample> {
    let labels = Labels::default().closed("signal", counts.signal).closed("sink", counts.sink);
    let sample = |name, help, kind, value, labels: Labels| Sample {
        name,
        help,
        kind,
        labels,
        value: as_float(value),
    };
    let mut samples = vec![
        sample(
            "sidecar_telemetry_accepted",
            "Items taken by a sink",
            Kind::Counter,
            counts.accepted,
            labels.clone(),
        ),
        sample(
            "sidecar_telemetry_exported",
            "Items that arrived",
            Kind::Counter,
            counts.exported,
            labels.clone(),
        ),
        sample(
            "sidecar_telemetry_in_flight",
            "Items on their way",
            Kind::Gauge,
            counts.in_flight,
            labels.clone(),
        ),
        sample(
            "sidecar_telemetry_queue_capacity",
            "Items a sink's queue can hold",
            Kind::Gauge,
            counts.capacity,
            labels.clone(),
        ),
    ];
    samples.extend(counts.dropped.iter().map(|(reason, count)| {
        let labels = labels.clone().closed("reason", reason);
        sample("sidecar_telemetry_dropped", "Items lost, by reason", Kind::Counter, *count, labels)
    }));
    samples.extend(counts.attempts.iter().map(|(result, count)| {
        let labels = labels.clone().closed("result", result);
        let name = "sidecar_telemetry_export_attempts";
        sample(name, "Export requests, by result", Kind::Counter, *count, labels)
    }));
    let last = counts.last_success.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    samples.extend(last.map(|since| Sample {
        name: "sidecar_telemetry_last_success_timestamp_seconds",
        help: "When a batch last arrived",
        kind: Kind::Gauge,
        labels,
        value: since.as_secs_f64(),
    }));
    samples
}

fn rule_samples(counts: &RuleCounts) -> Vec<Sample> {
    let labels = Labels::default().named("rule", &counts.rule);
    let decisions =
        [("allow", counts.allowed), ("deny", counts.denied), ("would_deny", counts.would_deny)];
    let mut samples: Vec<Sample> = decisions
        .into_iter()
        .map(|(decision, count)| Sample {
            name: "sidecar_rate_limit_decisions",
            help: "Decisions of a rate limit",
            kind: Kind::Counter,
            labels: labels.clone().closed("decision", decision),
            value: as_float(count),
        })
        .collect();
    samples.push(Sample {
        name: "sidecar_rate_limit_keys",
        help: "Buckets a rate limit holds",
        kind: Kind::Gauge,
        labels,
        value: as_float(counts.keys),
    });
    samples
}

fn audit_samples(counts: &AuditCounts) -> Vec<Sample> {
    let mut samples = vec![
        Sample::plain(
            "sidecar_audit_failures",
            "Audit records that could not be made durable",
            Kind::Counter,
            as_float(counts.failures),
        ),
        Sample::plain(
            "sidecar_audit_sequence",
            "Last durable sequence number of the audit chain",
            Kind::Gauge,
            as_float(counts.sequence),
        ),
    ];
    samples.extend(counts.records.iter().map(|(event, result, count)| Sample {
        name: "sidecar_audit_records",
        help: "Audit records, by event and result",
        kind: Kind::Counter,
        labels: Labels::default().closed("event", event).closed("result", result),
        value: as_float(*count),
    }));
    samples
}

fn reload_samples((is_successful, last_success): (bool, SystemTime)) -> Vec<Sample> {
    let since = last_success.duration_since(UNIX_EPOCH).unwrap_or_default();
    vec![
        Sample::plain(
            "sidecar_config_last_reload_successful",
            "Whether the last attempt to load the configuration succeeded",
            Kind::Gauge,
            f64::from(u8::from(is_successful)),
        ),
        Sample::plain(
            "sidecar_config_last_reload_success_timestamp_seconds",
            "When the configuration in force was loaded",
            Kind::Gauge,
            since.as_secs_f64(),
        ),
    ]
}
