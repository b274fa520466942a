//! Spans to an OpenTelemetry collector: OTLP, over whichever transport is configured.
//!
//! What stands around the spans of a batch is `opentelemetry-otlp`'s (`envelope`); the spans are written
//! straight from the records (`spans`). The parcel is posted at an outbox, which never makes the encoder
//! wait; delivery, retries and every count from there on are its own (`export`).
//!
//! Whether a record is kept was decided before it came here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::encoder::Encoder;
use self::envelope::EnvelopeError;
use self::spans::Site;
use self::wire::Writer;
use crate::config::Config;
use crate::config::model::Signal;
use crate::record::Record;
use crate::telemetry::export::dispatch::Dispatch;
use crate::telemetry::export::outbox::{Clerk, Settings};
use crate::telemetry::export::spool::Spool;
use crate::telemetry::export::transport::{self, ConnectError};
use crate::telemetry::sink::{Delivery, Sink};

mod attribute;
mod details;
mod encoder;
mod envelope;
pub mod logs;
pub mod metrics;
pub mod spans;
mod wire;

/// How long a span or a log record waits for others, usually.
const PATIENCE: Duration = Duration::from_millis(500);

/// Sends the spans of records to a collector.
#[derive(Debug)]
pub struct Otlp {
    encoder: Encoder,
    site: Site,
    dispatch: Dispatch,
}

/// The sink cannot be made from this configuration.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The collector cannot be spoken to as configured.
    #[error("the collector of traces: {0}")]
    Target(#[from] ConnectError),
    /// The same of the logs' collector.
    #[error("the collector of logs: {0}")]
    Logs(ConnectError),
    /// The encoder refused its settings.
    #[error("setting up the OTLP encoder: {0}")]
    Encoder(#[from] EnvelopeError),
}

impl Otlp {
    /// Makes the sink and starts its clerk, or gives `None` where traces go nowhere. Connects to
    /// nobody yet. Needs a runtime.
    pub fn start(config: &Config, spool: Option<&Arc<Spool>>) -> Result<Option<Self>, OtlpError> {
        let Some(target) = &config.otlp.traces else { return Ok(None) };
        let carrier = transport::connect(target, Signal::Traces)?;
        let encoder = Encoder::new(&config.service)?;
        let settings = Settings::of(target, Signal::Traces);
        let dispatch = Dispatch::start(settings, spool, carrier, target.compress);
        Ok(Some(Self { encoder, site: Site::new(&config.upstream), dispatch }))
    }
}

#[async_trait]
impl Sink for Otlp {
    type Item = Arc<Record>;

    fn name(&self) -> &'static str {
        "otlp"
    }

    /// A request to the collector, and a compressor for it, cost as much as many spans.
    fn patience(&self) -> Duration {
        self.dispatch.patience(PATIENCE)
    }

    fn weight(record: &Arc<Record>) -> u64 {
        spans::count(record)
    }

    fn clerk(&mut self) -> Option<Clerk> {
        self.dispatch.clerk()
    }

    async fn deliver(&mut self, batch: Vec<Arc<Record>>) -> Delivery {
        let count = batch.iter().map(Self::weight).sum();
        let site = &self.site;
        let write = |record: &Arc<Record>, out: &mut Writer| spans::write(record, site, out);
        let body = self.encoder.encode(&batch, write).await;
        // Their memory is free again before they are compressed.
        drop(batch);
        self.dispatch.send(count, body).await
    }
}
