//! Variables of OpenTelemetry that have nothing to set here. Whoever sets one shall know, and why.

use std::collections::BTreeMap;

use super::{Outside, word};

/// Names, where a `*` stands for whatever follows, the one word of each that is so anyway, and why there is
/// nothing to set.
const WITHOUT_EFFECT: [(&str, &str, &str); 16] = [
    ("OTEL_BSP_*", "", QUEUE),
    ("OTEL_BLRP_*", "", QUEUE),
    ("OTEL_METRIC_EXPORT_TIMEOUT", "", "`metrics.otlp.timeout` bounds an attempt"),
    ("OTEL_ATTRIBUTE_*", "", BOUNDED),
    ("OTEL_SPAN_*", "", BOUNDED),
    ("OTEL_EVENT_*", "", BOUNDED),
    ("OTEL_LINK_*", "", BOUNDED),
    ("OTEL_LOGRECORD_*", "", BOUNDED),
    ("OTEL_EXPORTER_PROMETHEUS_*", "", "`metrics.listen` says where metrics are scraped"),
    ("OTEL_EXPORTER_ZIPKIN_*", "", "spans leave by OTLP"),
    ("OTEL_EXPORTER_JAEGER_*", "", "spans leave by OTLP"),
    (
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "cumulative",
        "sums are pushed as they are scraped, cumulative",
    ),
    (
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "explicit_bucket_histogram",
        "histograms have explicit buckets",
    ),
    ("OTEL_LOG_LEVEL", "info", "`log.level` says what is logged"),
    ("OTEL_CONFIG_FILE", "", CONFIG),
    ("OTEL_EXPERIMENTAL_CONFIG_FILE", "", CONFIG),
];
const QUEUE: &str = "spans and log records wait in bounded queues that are not tuned; see [spool]";
const BOUNDED: &str = "what a span or a log record holds is bounded already";
const CONFIG: &str = "the sidecar has a configuration of its own";

impl Outside {
    /// Tells of variables that do nothing.
    pub(super) fn idle(&mut self, env: &BTreeMap<String, String>) {
        for (name, value) in env {
            let about = WITHOUT_EFFECT.iter().find(|(pattern, ..)| is_one(name, pattern));
            if let Some((_, already, why)) = about
                && word(value) != *already
            {
                self.note(format!("{name} is ignored: {why}."));
            }
        }
    }
}

/// Whether the pattern covers this name.
fn is_one(name: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(name == pattern, |family| name.starts_with(family))
}
