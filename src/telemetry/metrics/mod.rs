//! The numbers of the process: what was counted, and the pages and pushes that say it.
//!
//! An instrument is declared once (`catalogue`). Its live series are a `family`; `instruments` has the
//! families that are counted here, [`sources`] asks for what is counted elsewhere. All of them give a
//! `reading`, and every form in which numbers leave is written from that: the scraped pages
//! (`exposition`) and the pushed request (`otlp`).
//!
//! Beside them: `gates` counts what refused or would have, `scales` are the buckets of histograms, `slots`
//! find a resolved handle without a lock, `route` has the handles of one route, `tally` adds up series for
//! the alerts.
//!
//! A request pays for atomic additions on handles that its route resolved on first use; names,
//! labels and formats cost only the scrape. Labels are closed enums or names from the
//! configuration, so no client can make a series.
//!
//! It sends nothing anywhere by itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;

mod catalogue;
mod exposition;
mod family;
mod gates;
mod gauges;
mod genai;
mod histogram;
mod instrument;
mod instruments;
mod labels;
mod orchestrations;
mod otlp;
mod overhead;
mod process;
mod reading;
mod route;
mod scales;
mod slots;
pub mod sources;
mod tally;
#[cfg(test)]
mod tests;
mod upstream;

pub use exposition::{Exposition, Format};
pub use gates::{Decision, Gate};
pub use gauges::{ActiveGuard, ConnectionError};
pub use route::RouteMetrics;
pub use tally::Tally;

use super::resource;
use crate::config::defaults::MAX_SERIES;
use crate::config::model::Service;
use crate::http::method::Method;
use crate::record::{ConfigName, Record, RouteNames, StoreEnding};
use histogram::Witness;
use instruments::Instruments;
use labels::{Labels, key};
use orchestrations::{MODE, Orchestrations};
use otlp::Origin;
use overhead::Overhead;
use reading::Reading;
use sources::Source;
use upstream::UpstreamMetrics;

/// All metrics of the process. A clone counts into the same instruments.
#[derive(Clone, Debug)]
pub struct Metrics {
    shared: Arc<Shared>,
    upstream: Arc<UpstreamMetrics>,
}

/// A template, and the captured facts that are labels.
type RouteKey = (ConfigName, Box<[ConfigName]>);

/// What all clones share.
#[derive(Debug)]
struct Shared {
    origin: Origin,
    target: Vec<(String, String)>,
    max_series: usize,
    /// Whether no span leaves, so that an exemplar would lead nowhere.
    has_no_traces: AtomicBool,
    sources: Mutex<Vec<Source>>,
    instruments: Instruments,
    routes: Mutex<HashMap<RouteKey, Arc<RouteMetrics>>>,
    upstreams: Mutex<HashMap<(ConfigName, u16), Arc<UpstreamMetrics>>>,
    active: [OnceLock<Gauge>; Method::COUNT],
    in_use: Gauge,
    idle: Gauge,
    overhead: Overhead,
    orchestrations: Orchestrations,
}

impl Metrics {
    /// Makes every instrument, with the default bound of series.
    pub fn new(service: &Service) -> Self {
        Self::bounded(service, MAX_SERIES)
    }

    /// Makes every instrument; none will have more than `max_series` series. What finds no room is
    /// counted under the family's overflow series.
    pub fn bounded(service: &Service, max_series: usize) -> Self {
        let instruments = Instruments::new(max_series);
        let resource = resource::attributes(service);
        let state = |state| {
            let labels = Labels::default().closed(key::STATE, state);
            instruments.upstream_connections.series(&labels)
        };
        Self {
            upstream: Arc::new(UpstreamMetrics::new(&"".into(), 0)),
            shared: Arc::new(Shared {
                target: exposition::target::labels(&resource),
                origin: Origin {
                    resource,
                    scope: service.name.clone(),
                    started: SystemTime::now(),
                },
                max_series,
                has_no_traces: AtomicBool::new(false),
                sources: Mutex::default(),
                routes: Mutex::default(),
                upstreams: Mutex::default(),
                active: std::array::from_fn(|_| OnceLock::new()),
                in_use: state("in_use"),
                idle: state("idle"),
                overhead: Overhead::new(&instruments),
                orchestrations: Orchestrations::new(),
                instruments,
            }),
        }
    }

    /// From here on no observation comes with an exemplar: no span leaves this process, or none shall be named.
    pub fn leave_out_exemplars(&self) {
        self.shared.has_no_traces.store(true, Relaxed);
    }

    /// The same metrics, with `server_address` and `server_port` of this upstream on its legs.
    #[must_use]
    pub fn for_upstream(&self, host: &ConfigName, port: u16) -> Self {
        let mut upstreams = self.shared.upstreams.lock();
        let upstream = upstreams
            .entry((host.clone(), port))
            .or_insert_with(|| Arc::new(UpstreamMetrics::new(host, port)));
        Self { shared: Arc::clone(&self.shared), upstream: Arc::clone(upstream) }
    }

    /// The handles of a route that has no captured fact for a label.
    pub fn route(&self, names: &Arc<RouteNames>) -> Arc<RouteMetrics> {
        self.route_with(names, &[])
    }

    /// The handles of a route of which these captured facts are labels. Routes of the same template and
    /// labels, now or after a reload, share them; with other labels they still share series.
    pub fn route_with(&self, names: &Arc<RouteNames>, labels: &[ConfigName]) -> Arc<RouteMetrics> {
        let mut routes = self.shared.routes.lock();
        let make = || Arc::new(RouteMetrics::new(&names.template, labels));
        let key = (names.template.clone(), labels.into());
        Arc::clone(routes.entry(key).or_insert_with(make))
    }

    /// Counts all that a record says. Never waits but for the first use of a series.
    pub fn observe(&self, record: &Record, route: &RouteMetrics) {
        let shared = &*self.shared;
        let witness = self.shared.witness(record);
        route.observe(record, witness, &shared.instruments);
        self.upstream.observe(record, witness, &shared.instruments);
        shared.overhead.observe(record);
        if let Some(rejection) = record.rejection {
            let labels = Labels::default().closed(key::REASON, rejection.as_str());
            shared.instruments.identity_rejections.series(&labels).inc();
        }
        shared.orchestrations.observe(record, route.is_label(MODE), witness, &shared.instruments);
        if record.is_error()
            && let Some(error_type) = record.error_type()
        {
            let labels = Labels::default().error(key::TYPE, &error_type);
            shared.instruments.errors.series(&labels).inc();
        }
    }

    /// Counts what a record's facts say by the OpenTelemetry `GenAI` conventions. Nothing without facts.
    pub fn observe_genai(&self, record: &Record) {
        self.shared.instruments.genai.observe(record);
    }

    /// Shows a class of errors from now on, also while there are none.
    pub fn expect_error(&self, class: &ConfigName) {
        let labels = Labels::default().named(key::TYPE, class);
        self.shared.instruments.errors.series(&labels);
    }

    /// Counts a request as active until the guard is dropped.
    pub fn active(&self, method: Method) -> ActiveGuard {
        let shared = &*self.shared;
        let resolve = || {
            let labels = Labels::default().closed(key::METHOD, method.as_str());
            shared.instruments.active_requests.series(&labels)
        };
        match shared.active.get(method.index()) {
            Some(slot) => ActiveGuard::enter(slot.get_or_init(resolve)),
            None => ActiveGuard::enter(&resolve()),
        }
    }

    /// Counts a client connection as open until the guard is dropped.
    pub fn connection(&self) -> ActiveGuard {
        ActiveGuard::enter(&self.shared.instruments.connections)
    }

    /// How many client connections are open.
    pub fn open_connections(&self) -> i64 {
        self.shared.instruments.connections.get()
    }

    /// Counts a client connection that ended in an error.
    pub fn connection_error(&self, error: ConnectionError) {
        let labels = Labels::default().closed(key::REASON, error.as_str());
        self.shared.instruments.connection_errors.series(&labels).inc();
    }

    /// Counts an upstream connection as in use until the guard is dropped.
    pub fn upstream_in_use(&self) -> ActiveGuard {
        ActiveGuard::enter(&self.shared.in_use)
    }

    /// Counts an upstream connection as idle until the guard is dropped.
    pub fn upstream_idle(&self) -> ActiveGuard {
        ActiveGuard::enter(&self.shared.idle)
    }

    /// Counts the time of one connect to the upstream.
    pub fn upstream_connected(&self, took: Duration) {
        self.shared.instruments.upstream_connect.observe_duration(took);
    }

    /// Counts one call to the shared rate-limit store.
    pub fn rate_limit_store_asked(&self, took: Duration, ending: StoreEnding) {
        let labels = Labels::default().closed(key::RESULT, ending.as_str());
        self.shared.instruments.limit_store.series(&labels).observe_duration(took);
    }

    /// Counts the time in which a group of audit records became durable.
    pub fn audit_committed(&self, took: Duration) {
        self.shared.instruments.audit_commit.observe_duration(took);
    }

    /// Counts identity headers that were taken out of a client's head.
    pub fn identity_headers_removed(&self, count: u64) {
        self.shared.instruments.identity_headers_removed.inc_by(count);
    }

    /// Counts a body whose configured facts could not be read.
    pub fn capture_unreadable(&self) {
        self.shared.instruments.captures_unreadable.inc();
    }

    /// Shows the numbers of a source on every page from now on (see [`sources`]). It is asked while
    /// the list of sources is locked, so it must not call [`Self::register`] or [`Self::expose`].
    pub fn register(&self, source: Source) {
        self.shared.sources.lock().push(source);
    }

    /// The page. Fails only if a number cannot be written.
    pub fn expose(&self, format: Format) -> Result<Exposition, std::fmt::Error> {
        exposition::encode(&self.read(), &self.shared.target, format)
    }

    /// The same numbers as an OTLP export request, and how many data points are in it.
    pub fn export(&self) -> (Vec<u8>, u64) {
        otlp::encode(&self.read(), &self.shared.origin, SystemTime::now())
    }

    /// What all instruments say now.
    fn read(&self) -> Vec<Reading> {
        let mut readings = self.shared.instruments.read();
        readings.extend(process::read());
        readings.extend(self.shared.sources.lock().iter().flat_map(Source::read));
        let mut readings = reading::join(readings);
        for reading in &mut readings {
            let beyond = reading.bound(self.shared.max_series);
            self.shared.instruments.note_beyond(reading.instrument, beyond);
        }
        readings
    }
}

impl Shared {
    /// Where the observations of a record can be looked at: its trace, if that was kept and left.
    fn witness(&self, record: &Record) -> Option<Witness> {
        let is_there = record.is_kept() && !self.has_no_traces.load(Relaxed);
        is_there.then(|| Witness {
            trace: record.trace.trace_id,
            span: record.trace.server_span,
            at: record.started + record.duration,
        })
    }
}
