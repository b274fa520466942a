//! Spans to an OpenTelemetry collector: OTLP, over whichever transport is configured.
//!
//! What stands around the spans of a batch is `opentelemetry-otlp`'s (`envelope`); the spans are written
//! straight from the records (`spans`). Compression, delivery, retries, partial success and every count
//! are our own.
//!
//! While a configured collector is away, a batch is held for up to `otlp.timeout` and the lane fills
//! behind it; then spans are dropped, counted. Nobody waits for the default one.
//!
//! Whether a record is kept was decided before it came here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::spawn_blocking;

use self::client::Sender;
use self::encoder::Encoder;
use self::envelope::EnvelopeError;
use crate::config::Config;
use crate::config::model::Signal;
use crate::record::Record;
use crate::telemetry::export::gzip;
use crate::telemetry::export::transport::{self, ConnectError};
use crate::telemetry::sink::{Delivery, Sink};

mod attribute;
mod client;
mod encoder;
mod envelope;
pub mod spans;
mod wire;

/// How long a span waits for others.
const PATIENCE: Duration = Duration::from_millis(500);

/// Sends the spans of records to a collector.
#[derive(Debug)]
pub struct Otlp {
    encoder: Encoder,
    compress: bool,
    sender: Sender,
}

/// The sink cannot be made from this configuration.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The collector cannot be spoken to as configured.
    #[error("the collector of traces: {0}")]
    Target(#[from] ConnectError),
    /// The encoder refused its settings.
    #[error("setting up the OTLP encoder: {0}")]
    Encoder(#[from] EnvelopeError),
}

impl Otlp {
    /// Makes the sink, or `None` where traces go nowhere. Connects to nobody yet.
    pub fn new(config: &Config) -> Result<Option<Self>, OtlpError> {
        let Some(target) = &config.otlp.traces else { return Ok(None) };
        let carrier = transport::connect(target, Signal::Traces)?;
        let encoder = Encoder::new(&config.service, &config.upstream)?;
        Ok(Some(Self { encoder, compress: target.compress, sender: Sender::new(carrier, target) }))
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
        PATIENCE
    }

    fn weight(record: &Arc<Record>) -> u64 {
        spans::count(record)
    }

    async fn deliver(&mut self, batch: Vec<Arc<Record>>) -> Delivery {
        let count = batch.iter().map(Self::weight).sum();
        let body = self.encoder.encode(&batch).await;
        // Their memory is free again before the collector is waited for.
        drop(batch);
        let parcel = if self.compress {
            // It takes several times longer than encoding, which no request waits for.
            match spawn_blocking(move || gzip::pack(count, body, true)).await {
                Ok(parcel) => parcel,
                Err(_) => return Delivery { exported: 0, dropped: vec![("panic", count)] },
            }
        } else {
            gzip::pack(count, body, false)
        };
        self.sender.send(&parcel).await
    }
}
