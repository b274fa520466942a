//! Metrics to an OpenTelemetry collector: pushed by the clock, posted at an outbox of their own, and
//! delivered by its clerk.
//!
//! Every data point is in the ledger from the moment it is encoded, under the signal `metrics`. While
//! the collector is away, pushes wait as spans do; each says all that was counted so far, so the last
//! one to arrive loses nothing but resolution.

use std::sync::Arc;

use tokio::time::Instant;

use crate::config::Config;
use crate::config::model::Signal;
use crate::telemetry::books::Books;
use crate::telemetry::deadline::{Deadline, half_since};
use crate::telemetry::export::gzip;
use crate::telemetry::export::outbox::{self, Clerk};
use crate::telemetry::export::spool::Spool;
use crate::telemetry::export::transport::{self, ConnectError};
use crate::telemetry::ledger::{Account, Book};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::push::{Push, Pusher};
use crate::telemetry::sink::Delivery;

/// A running push of metrics.
#[derive(Debug)]
pub struct MetricsPush {
    pusher: Pusher,
    clerk: Clerk,
    books: Arc<Books>,
}

impl MetricsPush {
    /// Starts pushing, or gives `None` where nobody asked for it or metrics go nowhere. Connects to
    /// nobody yet. Needs a runtime.
    pub fn start(
        config: &Config,
        metrics: &Metrics,
        spool: Option<&Arc<Spool>>,
    ) -> Result<Option<Self>, ConnectError> {
        let target = config.otlp.metrics.as_ref().filter(|_| config.metrics.push);
        let Some(target) = target else { return Ok(None) };
        let carrier = transport::connect(target, Signal::Metrics)?;
        // Whoever switched the push on asked for the collector, also for the default one.
        let is_configured = true;
        let settings =
            outbox::Settings { is_configured, ..outbox::Settings::of(target, Signal::Metrics) };
        let encoding = settings.encoding;
        let (outbox, clerk) = outbox::start(settings, spool, carrier);
        let books = outbox.books();
        let kept = Arc::clone(&books);
        let hand_on = move |push: Push| {
            kept.accept(push.points);
            let handed_over = outbox.post(gzip::pack(push.points, push.body.into(), encoding));
            // A push that comes too late for the clerk ends with it.
            let late = push.points - handed_over.min(push.points);
            let dropped = vec![("shutdown", late)];
            kept.settle(&Delivery { dropped, handed_over, ..Delivery::default() }, push.points);
        };
        let pusher = Pusher::start(metrics.clone(), config.metrics.interval, hand_on);
        Ok(Some(Self { pusher, clerk, books }))
    }

    /// What becomes of the data points.
    pub fn book(&self) -> Arc<dyn Book> {
        Arc::new(Points(Arc::clone(&self.books)))
    }

    /// Pushes for the last time, and delivers what waits, both by `deadline`. What is not delivered by
    /// then is spooled, or dropped as `shutdown`.
    pub async fn stop(self, deadline: Deadline) {
        // Encoding takes milliseconds; the rest of the time is the clerk's.
        let half = half_since(Instant::now());
        let pushing = self.pusher.stop(half(deadline.at()));
        let _in_time = deadline.bound(half, pushing).await;
        self.clerk.stop(deadline).await;
        self.books.give_up_hand();
    }
}

/// The account of the data points. Its queue is bounded in bytes, so it has no capacity in points.
struct Points(Arc<Books>);

impl Book for Points {
    fn account(&self) -> Account {
        self.0.account(Signal::Metrics.as_str(), "otlp", 0)
    }
}
