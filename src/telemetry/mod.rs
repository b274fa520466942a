//! How facts leave the process: metrics at once, all else through bounded lanes.
//!
//! [`Telemetry::emit`] takes each record once. It never waits and wakes nobody; sinks may fail, stall
//! or vanish, and traffic does not notice, but every item lost is counted in the [`ledger`]. What goes
//! to a collector is encoded into parcels, which [`export`] keeps until they are delivered.
//!
//! - Who speaks: [`metrics`] counts, [`log`] says lines (`recent` remembers the last exchanges for
//!   `explain`), [`sampling`] chooses whose spans leave, [`alerts`] watch the metrics, [`diagnostics`]
//!   is the sidecar speaking of itself.
//! - How it gets there: a [`lane`] and its [`worker`] carry items to a [`sink`]; what goes to a collector
//!   goes on by [`export`]; [`push`] is the clock of pushed metrics.
//! - What became of it: [`books`] count for one account, the [`ledger`] shows them all.
//!
//! The audit is not a voice but a commit protocol; it stands among the [`sinks`] because it writes
//! ([`sinks::audit`]).

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::config::model::LogLevel;
use crate::record::Record;

pub mod alerts;
pub mod books;
pub mod deadline;
pub mod diagnostics;
mod directory;
pub mod export;
pub mod export_client;
mod json;
pub mod lane;
pub mod ledger;
pub mod log;
pub mod metrics;
pub mod post;
pub mod push;
mod recent;
pub mod resource;
pub mod sampling;
pub mod sink;
pub mod sinks;
mod start;
pub(crate) mod timestamp;
pub mod worker;

use alerts::{Alerts, Standing};
use deadline::Deadline;
use export::spool::Spool;
use lane::Lane;
use ledger::Ledger;
use log::{Entry, Log};
use metrics::{Metrics, RouteMetrics};
use recent::Recent;
use sinks::access_log::Reopen;
use sinks::otlp::metrics::MetricsPush;
pub use start::{Console, Opened, StartError};
use worker::Worker;

/// A lane of shared records.
type Records = Lane<Arc<Record>>;

/// All voices of the process.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Metrics,
    ledger: Arc<Ledger>,
    log: Arc<Log>,
    log_files: Reopen,
    spans: Option<Arc<Records>>,
    errors: Option<Arc<Records>>,
    recent: Recent,
    observer: Option<mpsc::Sender<Arc<Record>>>,
    workers: Mutex<Vec<Worker>>,
    push: Mutex<Option<MetricsPush>>,
    alerts: Option<Alerts>,
    /// Its directory is ours until the last worker has stopped, also where nothing is exported.
    spool: Mutex<Option<Arc<Spool>>>,
}

impl Telemetry {
    /// Telemetry that only counts.
    pub fn silent(metrics: Metrics) -> Self {
        Self {
            metrics,
            ledger: Arc::default(),
            log: Arc::new(Log::silent(LogLevel::Info)),
            log_files: Reopen::default(),
            spans: None,
            errors: None,
            recent: Recent::new(),
            observer: None,
            workers: Mutex::default(),
            push: Mutex::default(),
            alerts: None,
            spool: Mutex::default(),
        }
    }

    /// Also hands each record to `observer`, as long as it has room.
    #[must_use]
    pub fn observed_by(mut self, observer: mpsc::Sender<Arc<Record>>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The numbers.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The log, for who has more to say than that an exchange ended.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// How to have the log's files opened again.
    pub fn log_files(&self) -> &Reopen {
        &self.log_files
    }

    /// What became of everything that was to leave.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// What the gates said to one of the last exchanges, by its id. It searches hundreds of records.
    pub fn explain(&self, id: &str) -> Option<serde_json::Value> {
        self.recent.explain(id)
    }

    /// Tells the world what happened in one exchange. Never waits, wakes nobody.
    pub fn emit(&self, record: Arc<Record>, route: &RouteMetrics) {
        self.metrics.observe(&record, route);
        self.recent.keep(&record);
        self.log.say(&Entry::Completed(Arc::clone(&record)));
        let lanes = [
            self.spans.as_ref().filter(|_| record.is_kept()),
            self.errors.as_ref().filter(|_| record.is_reported()),
        ];
        for lane in lanes.into_iter().flatten() {
            // A full lane drops the record and counts it.
            lane.offer(Arc::clone(&record));
        }
        if let Some(observer) = &self.observer {
            // An observer that does not keep up misses records; it asked to watch, not to stop us.
            drop(observer.try_send(record));
        }
    }

    /// Puts in force what another configuration says of what can change while they speak: the level of
    /// the log, the alerts.
    pub fn adopt(&self, config: &Config) {
        self.log.listen_from(config.log.level);
        if let Some(alerts) = &self.alerts {
            alerts.adopt(config);
        }
    }

    /// Where the alerts stand.
    pub fn alerts(&self) -> Vec<Standing> {
        self.alerts.as_ref().map(Alerts::standing).unwrap_or_default()
    }

    /// Closes every lane and delivers what they hold. All sinks share the one deadline, also when it
    /// is brought forward; what is not delivered by then is spooled, or counted as dropped.
    pub async fn stop(&self, deadline: impl Into<Deadline>) {
        let deadline = deadline.into();
        let stop_alerts = async {
            if let Some(alerts) = &self.alerts {
                alerts.stop(deadline.clone()).await;
            }
        };
        let mut stopping = tokio::task::JoinSet::new();
        for worker in std::mem::take(&mut *self.workers.lock()) {
            stopping.spawn(worker.stop(deadline.clone()));
        }
        if let Some(push) = self.push.lock().take() {
            stopping.spawn(push.stop(deadline.clone()));
        }
        let stop_others = async { while stopping.join_next().await.is_some() {} };
        tokio::join!(stop_alerts, stop_others);
        self.spool.lock().take();
    }
}
