//! The live families of what is counted here, and what all of them say at one moment.
//!
//! What is counted elsewhere (lanes, limits, the audit chain) comes in through `sources`.

use std::collections::HashMap;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::catalogue;
use super::family::{Bound, Family, Metric};
use super::genai::GenAi;
use super::histogram::Histogram;
use super::instrument::Instrument;
use super::labels::{Labels, key};
use super::reading::{Point, Reading};
use super::scales;

/// The families.
#[derive(Debug)]
pub(super) struct Instruments {
    pub(super) request_duration: Family<Histogram>,
    pub(super) active_requests: Family<Gauge>,
    pub(super) request_body: Family<Histogram>,
    pub(super) response_body: Family<Histogram>,
    pub(super) client_duration: Family<Histogram>,
    pub(super) first_byte: Family<Histogram>,
    pub(super) stream_duration: Family<Histogram>,
    pub(super) stream_events: Family<Counter>,
    pub(super) stream_gap: Family<Histogram>,
    pub(super) genai: GenAi,
    pub(super) orchestrations: Family<Counter>,
    pub(super) orchestration_duration: Family<Histogram>,
    pub(super) cache_hits: Family<Counter>,
    pub(super) cache_misses: Family<Counter>,
    pub(super) blocked: Family<Counter>,
    pub(super) errors: Family<Counter>,
    pub(super) overhead: Family<Histogram>,
    pub(super) connections: Gauge,
    pub(super) connection_errors: Family<Counter>,
    pub(super) upstream_connections: Family<Gauge>,
    pub(super) upstream_connect: Histogram,
    pub(super) limit_store: Family<Histogram>,
    pub(super) audit_commit: Histogram,
    pub(super) identity_headers_removed: Counter,
    pub(super) gate_decisions: Family<Counter>,
    pub(super) identity_rejections: Family<Counter>,
    pub(super) captures_unreadable: Counter,
    overflow: Counter,
    /// How many series of a family that others count found no room, at most.
    beyond: Mutex<HashMap<&'static str, usize>>,
}

impl Instruments {
    /// All families, without series. Each may have `max_series` of them.
    pub(super) fn new(max_series: usize) -> Self {
        let overflow = Counter::default();
        let bound = &Bound { max_series, overflow: overflow.clone() };
        let counter = |of| Family::new(of, Counter::default, bound);
        let gauge = |of| Family::new(of, Gauge::default, bound);
        let seconds = |of| Family::new(of, || Histogram::new(&scales::LATENCY), bound);
        let short = |of| Family::new(of, || Histogram::new(&scales::SHORT), bound);
        let milliseconds = |of| Family::new(of, || Histogram::new(&scales::MILLISECONDS), bound);
        let bytes = |of| Family::new(of, || Histogram::new(&scales::SIZE), bound);
        Self {
            request_duration: seconds(&catalogue::REQUEST_DURATION),
            active_requests: gauge(&catalogue::ACTIVE_REQUESTS),
            request_body: bytes(&catalogue::REQUEST_BODY),
            response_body: bytes(&catalogue::RESPONSE_BODY),
            client_duration: seconds(&catalogue::CLIENT_DURATION),
            first_byte: seconds(&catalogue::FIRST_BYTE),
            stream_duration: seconds(&catalogue::STREAM_DURATION),
            stream_events: counter(&catalogue::STREAM_EVENTS),
            stream_gap: Family::new(&catalogue::STREAM_GAP, || Histogram::new(&scales::GAP), bound),
            genai: GenAi::new(bound),
            orchestrations: counter(&catalogue::ORCHESTRATIONS),
            orchestration_duration: milliseconds(&catalogue::ORCHESTRATION_DURATION),
            cache_hits: counter(&catalogue::CACHE_HITS),
            cache_misses: counter(&catalogue::CACHE_MISSES),
            blocked: counter(&catalogue::BLOCKED),
            errors: counter(&catalogue::ERRORS),
            overhead: short(&catalogue::OVERHEAD),
            connections: Gauge::default(),
            connection_errors: counter(&catalogue::CONNECTION_ERRORS),
            upstream_connections: gauge(&catalogue::UPSTREAM_CONNECTIONS),
            upstream_connect: Histogram::new(&scales::SHORT),
            limit_store: short(&catalogue::LIMIT_STORE),
            audit_commit: Histogram::new(&scales::SHORT),
            identity_headers_removed: Counter::default(),
            gate_decisions: counter(&catalogue::GATE_DECISIONS),
            identity_rejections: counter(&catalogue::IDENTITY_REJECTIONS),
            captures_unreadable: Counter::default(),
            overflow,
            beyond: Mutex::default(),
        }
    }

    /// Counts series of a family that others count and that found no room in a reading: each once. The
    /// next reading shows it, so that who watches sees it grow.
    pub(super) fn note_beyond(&self, instrument: &Instrument, count: usize) {
        if count > 0 {
            let mut all = self.beyond.lock();
            let most = all.entry(instrument.name).or_default();
            self.overflow.inc_by(count.saturating_sub(*most) as u64);
            *most = count.max(*most);
        }
    }

    /// What all of them say now.
    pub(super) fn read(&self) -> Vec<Reading> {
        let version = Labels::default().closed(key::VERSION, env!("CARGO_PKG_VERSION"));
        let mut readings = vec![
            self.request_duration.read(),
            self.active_requests.read(),
            self.request_body.read(),
            self.response_body.read(),
            self.client_duration.read(),
            self.first_byte.read(),
            self.stream_duration.read(),
            self.stream_events.read(),
            self.stream_gap.read(),
            self.orchestrations.read(),
            self.orchestration_duration.read(),
            self.cache_hits.read(),
            self.cache_misses.read(),
            self.blocked.read(),
            self.errors.read(),
            self.overhead.read(),
            Reading::single(&catalogue::CONNECTIONS, self.connections.point()),
            self.connection_errors.read(),
            self.upstream_connections.read(),
            Reading::single(&catalogue::UPSTREAM_CONNECT, self.upstream_connect.point()),
            self.limit_store.read(),
            Reading::single(&catalogue::AUDIT_COMMIT, self.audit_commit.point()),
            Reading::single(&catalogue::IDENTITY_HEADERS, self.identity_headers_removed.point()),
            self.gate_decisions.read(),
            self.identity_rejections.read(),
            Reading::single(&catalogue::UNREADABLE, self.captures_unreadable.point()),
            Reading::single(&catalogue::OVERFLOW, self.overflow.point()),
            Reading::new(&catalogue::BUILD_INFO, [(version, Point::Count(1))]),
        ];
        readings.extend(self.genai.read());
        readings
    }
}
