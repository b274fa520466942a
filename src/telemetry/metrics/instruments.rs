//! Every instrument, declared once: its name, its unit, its help and its buckets.
//!
//! The encoder adds units and `_total` to the names. What is counted elsewhere (lanes, limits, the
//! audit chain) is declared in `sources`.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::histogram::{Histogram, Scale};
use super::labels::Labels;
use crate::record::Gaps;

type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// The registered families.
#[derive(Debug)]
pub(super) struct Instruments {
    pub(super) request_duration: Histograms,
    pub(super) active_requests: Family<Labels, Gauge>,
    pub(super) request_body: Histograms,
    pub(super) response_body: Histograms,
    pub(super) client_duration: Histograms,
    pub(super) first_byte: Histograms,
    pub(super) stream_duration: Histograms,
    pub(super) stream_events: Family<Labels, Counter>,
    pub(super) stream_gap: Histograms,
    pub(super) orchestrations: Family<Labels, Counter>,
    pub(super) orchestration_duration: Histograms,
    pub(super) cache_hits: Family<Labels, Counter>,
    pub(super) cache_misses: Family<Labels, Counter>,
    pub(super) blocked: Family<Labels, Counter>,
    pub(super) errors: Family<Labels, Counter>,
    pub(super) overhead: Histograms,
    pub(super) connections: Gauge,
    pub(super) connection_errors: Family<Labels, Counter>,
    pub(super) upstream_connections: Family<Labels, Gauge>,
    pub(super) upstream_connect: Histogram,
    pub(super) audit_commit: Histogram,
    pub(super) identity_headers_removed: Counter,
    pub(super) captures_unreadable: Counter,
}

impl Instruments {
    /// Makes them all and registers them.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let it = Self::empty();
        it.register_http(registry);
        it.register_plan(registry);
        it.register_own(registry);
        it
    }

    fn empty() -> Self {
        let seconds = || Family::new_with_constructor(new_latency as fn() -> Histogram);
        let bytes = || Family::new_with_constructor(new_size as fn() -> Histogram);
        Self {
            request_duration: seconds(),
            active_requests: Family::default(),
            request_body: bytes(),
            response_body: bytes(),
            client_duration: seconds(),
            first_byte: seconds(),
            stream_duration: seconds(),
            stream_events: Family::default(),
            stream_gap: Family::new_with_constructor(|| Histogram::new(&GAP)),
            orchestrations: Family::default(),
            orchestration_duration: Family::new_with_constructor(|| Histogram::new(&MILLISECONDS)),
            cache_hits: Family::default(),
            cache_misses: Family::default(),
            blocked: Family::default(),
            errors: Family::default(),
            overhead: Family::new_with_constructor(|| Histogram::new(&SHORT)),
            connections: Gauge::default(),
            connection_errors: Family::default(),
            upstream_connections: Family::default(),
            upstream_connect: Histogram::new(&SHORT),
            audit_commit: Histogram::new(&SHORT),
            identity_headers_removed: Counter::default(),
            captures_unreadable: Counter::default(),
        }
    }

    /// Names of the OpenTelemetry HTTP semantic conventions.
    fn register_http(&self, to: &mut Registry) {
        let (s, by) = (|| Unit::Seconds, || Unit::Bytes);
        to.register_with_unit(
            "http_server_request_duration",
            "Duration of HTTP server requests",
            s(),
            self.request_duration.clone(),
        );
        to.register(
            "http_server_active_requests",
            "Number of active HTTP server requests",
            self.active_requests.clone(),
        );
        to.register_with_unit(
            "http_server_request_body_size",
            "Size of HTTP server request bodies",
            by(),
            self.request_body.clone(),
        );
        to.register_with_unit(
            "http_server_response_body_size",
            "Size of HTTP server response bodies",
            by(),
            self.response_body.clone(),
        );
        to.register_with_unit(
            "http_client_request_duration",
            "Duration of requests to the upstream, to the last byte of the answer",
            s(),
            self.client_duration.clone(),
        );
    }

    /// The names that the service's own plan gave.
    fn register_plan(&self, to: &mut Registry) {
        to.register(
            "orchestration_requests",
            "Number of orchestration requests",
            self.orchestrations.clone(),
        );
        to.register_with_unit(
            "orchestration_duration",
            "Orchestration request duration in milliseconds",
            Unit::Other("milliseconds".to_owned()),
            self.orchestration_duration.clone(),
        );
        to.register("cache_hits", "Number of cache hits", self.cache_hits.clone());
        to.register("cache_misses", "Number of cache misses", self.cache_misses.clone());
        to.register("rate_limit_blocked", "Number of rate limited requests", self.blocked.clone());
        to.register("errors", "Number of errors by type", self.errors.clone());
    }

    fn register_own(&self, to: &mut Registry) {
        let seconds = [
            (
                "sidecar_response_time_to_first_byte",
                "Time from the request's head to the first byte of the answer",
                &self.first_byte,
            ),
            ("sidecar_stream_duration", "Duration of streamed answers", &self.stream_duration),
            (
                "sidecar_stream_gap",
                "Time from one message of a stream to the next, counted at its end",
                &self.stream_gap,
            ),
            ("sidecar_overhead", "Time spent in the sidecar, not in the upstream", &self.overhead),
        ];
        for (name, help, family) in seconds {
            to.register_with_unit(name, help, Unit::Seconds, family.clone());
        }
        to.register("sidecar_stream_events", "Events passed on", self.stream_events.clone());
        to.register("sidecar_connections", "Open client connections", self.connections.clone());
        to.register(
            "sidecar_connection_errors",
            "Client connections that ended in an error, by reason",
            self.connection_errors.clone(),
        );
        to.register(
            "sidecar_upstream_connections",
            "Connections to the upstream, by state",
            self.upstream_connections.clone(),
        );
        let single = [
            (
                "sidecar_upstream_connect_duration",
                "Time to connect to the upstream",
                &self.upstream_connect,
            ),
            ("sidecar_audit_commit", "Time to make a group of records durable", &self.audit_commit),
        ];
        for (name, help, histogram) in single {
            to.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        }
        to.register(
            "sidecar_identity_headers_removed",
            "Identity headers taken out of client requests",
            self.identity_headers_removed.clone(),
        );
        to.register(
            "sidecar_capture_unreadable",
            "Bodies whose configured facts could not be read",
            self.captures_unreadable.clone(),
        );
    }
}

fn new_latency() -> Histogram {
    Histogram::new(&LATENCY)
}

fn new_size() -> Histogram {
    Histogram::new(&SIZE)
}

const MS: u64 = 1_000_000;
const US: u64 = 1_000;

/// The bounds of the semantic conventions, and two more for slow orchestrations. In nanoseconds.
static LATENCY: Scale = Scale {
    ticks_per_unit: 1e9,
    bounds: &[
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        75 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        750 * MS,
        1_000 * MS,
        2_500 * MS,
        5_000 * MS,
        7_500 * MS,
        10_000 * MS,
        30_000 * MS,
        60_000 * MS,
    ],
};

/// What the gaps of a stream are sorted into as it passes. In nanoseconds.
pub(super) static GAP: Scale = Scale { ticks_per_unit: 1e9, bounds: Gaps::BOUNDS };

/// 10 µs to 100 ms: what a healthy sidecar, a local connect or an fsync takes. In nanoseconds.
static SHORT: Scale = Scale {
    ticks_per_unit: 1e9,
    bounds: &[
        10 * US,
        25 * US,
        50 * US,
        100 * US,
        250 * US,
        500 * US,
        MS,
        2_500 * US,
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        100 * MS,
    ],
};

/// The plan's own unit; kept in nanoseconds.
static MILLISECONDS: Scale = Scale {
    ticks_per_unit: 1e6,
    bounds: &[
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        1_000 * MS,
        2_500 * MS,
        5_000 * MS,
        10_000 * MS,
        30_000 * MS,
        60_000 * MS,
    ],
};

/// Powers of four from 256 B to 1 GiB.
static SIZE: Scale = Scale {
    ticks_per_unit: 1.0,
    bounds: &[
        1 << 8,
        1 << 10,
        1 << 12,
        1 << 14,
        1 << 16,
        1 << 18,
        1 << 20,
        1 << 22,
        1 << 24,
        1 << 26,
        1 << 28,
        1 << 30,
    ],
};
