//! How facts leave the process: metrics at once, all else through bounded lanes.
//!
//! [`Telemetry::emit`] takes each record once. It never waits and wakes nobody; sinks may fail, stall
//! or vanish, and traffic does not notice, but every item lost is counted.

use std::sync::Arc;

use crate::record::Record;

pub mod metrics;
pub mod sink;
pub mod sinks;

use metrics::{Metrics, RouteMetrics};

/// All voices of the process.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Metrics,
    observer: Option<tokio::sync::mpsc::Sender<Arc<Record>>>,
}

impl Telemetry {
    /// Telemetry that only counts.
    pub fn silent(metrics: Metrics) -> Self {
        Self { metrics, observer: None }
    }

    /// Also hands each record to `observer`, as long as it has room (tests; the live view).
    #[must_use]
    pub fn observed_by(mut self, observer: tokio::sync::mpsc::Sender<Arc<Record>>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The numbers.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Tells the world what happened in one exchange.
    pub fn emit(&self, record: Record, route: &RouteMetrics) {
        self.metrics.observe(&record, route);
        let record = Arc::new(record);
        if let Some(observer) = &self.observer {
            // An observer that does not keep up misses records; it asked to watch, not to stop us.
            drop(observer.try_send(Arc::clone(&record)));
        }
    }
}
