//! The metrics that an alert can be about, by the names of Prometheus; and short names for the usual ones.
//!
//! What is counted is declared by the voices, above us; a test of theirs compares the two lists.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A metric of which an alert can ask.
#[derive(Debug, PartialEq, Eq)]
pub struct Book {
    /// Its name.
    pub metric: &'static str,
    /// What its values are.
    pub kind: BookKind,
    /// Every label that a series of it may have.
    pub labels: &'static [&'static str],
}

/// What the values of a metric are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookKind {
    /// A sum that only grows.
    Count,
    /// A distribution of something that is no time.
    Spread,
    /// A distribution of times.
    Time {
        /// The highest bound of a bucket: beyond it nothing is known of a quantile.
        last: Duration,
    },
}

/// A short name.
#[derive(Debug)]
pub struct Short {
    /// The name.
    pub name: &'static str,
    /// The metric it stands for.
    pub metric: &'static str,
    /// The statuses it is confined to.
    pub statuses: Option<RangeInclusive<u16>>,
}

/// All short names.
pub const SHORT: &[Short] = &[
    short("requests", "http_server_request_duration_seconds", None),
    short("errors", "errors_total", None),
    short("status_4xx", "http_server_request_duration_seconds", Some(400..=499)),
    short("status_5xx", "http_server_request_duration_seconds", Some(500..=599)),
    short("rate_limit_blocked", "rate_limit_blocked_total", None),
    short("cache_hits", "cache_hits_total", None),
    short("cache_misses", "cache_misses_total", None),
    short("orchestrations", "orchestration_requests_total", None),
    short("duration", "http_server_request_duration_seconds", None),
    short("ttfb", "sidecar_response_time_to_first_byte_seconds", None),
    short("upstream_duration", "http_client_request_duration_seconds", None),
    short("orchestration_duration", "orchestration_duration_milliseconds", None),
];

/// Short names of labels, and what they stand for.
pub const LABELS: [(&str, &str); 4] = [
    ("method", "http_request_method"),
    ("route", "http_route"),
    ("status", "http_response_status_code"),
    ("stream", "sidecar_stream"),
];

/// All metrics.
pub static BOOKS: &[Book] = &[
    time(
        "http_server_request_duration_seconds",
        60000,
        &[
            "http_request_method",
            "http_route",
            "http_response_status_code",
            "error_type",
            "sidecar_stream",
        ],
    ),
    spread("http_server_request_body_size_bytes", &["http_request_method", "http_route"]),
    spread("http_server_response_body_size_bytes", &["http_request_method", "http_route"]),
    time(
        "http_client_request_duration_seconds",
        60000,
        &[
            "http_request_method",
            "http_response_status_code",
            "error_type",
            "server_address",
            "server_port",
        ],
    ),
    spread(
        "gen_ai_client_token_usage",
        &[
            "gen_ai_operation_name",
            "gen_ai_provider_name",
            "gen_ai_request_model",
            "gen_ai_response_model",
            "gen_ai_token_type",
        ],
    ),
    time(
        "gen_ai_client_operation_time_to_first_chunk_seconds",
        81920,
        &[
            "gen_ai_operation_name",
            "gen_ai_provider_name",
            "gen_ai_request_model",
            "gen_ai_response_model",
        ],
    ),
    time(
        "gen_ai_client_operation_time_per_output_chunk_seconds",
        81920,
        &[
            "gen_ai_operation_name",
            "gen_ai_provider_name",
            "gen_ai_request_model",
            "gen_ai_response_model",
        ],
    ),
    count("orchestration_requests_total", &["status", "mode"]),
    time("orchestration_duration_milliseconds", 60000, &["mode"]),
    count("cache_hits_total", &["http_route"]),
    count("cache_misses_total", &["http_route"]),
    count("rate_limit_blocked_total", &["rule", "http_route"]),
    count("errors_total", &["type"]),
    time("sidecar_response_time_to_first_byte_seconds", 60000, &["http_route"]),
    time("sidecar_stream_duration_seconds", 60000, &["http_route"]),
    count("sidecar_stream_events_total", &["http_route"]),
    time("sidecar_stream_gap_seconds", 81920, &["http_route"]),
    time("sidecar_overhead_seconds", 100, &["phase"]),
    count("sidecar_connection_errors_total", &["reason"]),
    time("sidecar_upstream_connect_duration_seconds", 100, &[]),
    count("sidecar_identity_headers_removed_total", &[]),
    count("sidecar_capture_unreadable_total", &[]),
    count("sidecar_gate_decisions_total", &["gate", "decision", "http_route"]),
    count("sidecar_identity_rejections_total", &["reason"]),
    count("sidecar_rate_limit_decisions_total", &["rule", "decision"]),
    time("sidecar_rate_limit_store_seconds", 100, &["result"]),
    count("sidecar_audit_records_total", &["event", "result"]),
    count("sidecar_audit_failures_total", &[]),
    time("sidecar_audit_commit_seconds", 100, &[]),
    count("sidecar_telemetry_accepted_total", &["signal", "sink"]),
    count("sidecar_telemetry_exported_total", &["signal", "sink"]),
    count("sidecar_telemetry_dropped_total", &["signal", "sink", "reason"]),
    count("sidecar_telemetry_export_attempts_total", &["signal", "sink", "result"]),
    count("sidecar_metrics_overflow_total", &[]),
];

impl Book {
    /// The metric of this name. That of a distribution may end in `_count`, as its count does.
    pub fn find(name: &str) -> Option<&'static Self> {
        let is_it = |book: &&Self| match book.kind {
            BookKind::Count => book.metric == name,
            _ => book.metric == name.strip_suffix("_count").unwrap_or(name),
        };
        BOOKS.iter().find(is_it)
    }
}

const fn short(
    name: &'static str,
    metric: &'static str,
    statuses: Option<RangeInclusive<u16>>,
) -> Short {
    Short { name, metric, statuses }
}

const fn count(metric: &'static str, labels: &'static [&'static str]) -> Book {
    Book { metric, kind: BookKind::Count, labels }
}

const fn spread(metric: &'static str, labels: &'static [&'static str]) -> Book {
    Book { metric, kind: BookKind::Spread, labels }
}

const fn time(metric: &'static str, last: u64, labels: &'static [&'static str]) -> Book {
    Book { metric, kind: BookKind::Time { last: Duration::from_millis(last) }, labels }
}
