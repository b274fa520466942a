//! Spans to an OpenTelemetry collector: a record becomes the spans of its exchange.
//!
//! They are written straight from the records (`exchange`); what stands around them is
//! `opentelemetry-otlp`'s (`envelope`). The parcel is posted at an outbox, which never makes the encoder
//! wait; delivery, retries and every count from there on are its own (`export`).
//!
//! Whether a record is kept was decided before it came here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::exchange::{count, encode};
pub use self::site::Site;
use super::encoder::Encoder;
use super::wire::Writer;
use super::{OtlpError, PATIENCE};
use crate::config::Config;
use crate::config::model::Signal;
use crate::record::Record;
use crate::telemetry::export::dispatch::Dispatch;
use crate::telemetry::export::outbox::{Clerk, Settings};
use crate::telemetry::export::spool::Spool;
use crate::telemetry::export::transport;
use crate::telemetry::sink::{Delivery, Sink};

mod exchange;
mod frame;
mod proto;
#[cfg(test)]
mod reference;
mod site;
mod store_call;
#[cfg(test)]
pub(super) mod tests;

/// Sends the spans of records to a collector.
#[derive(Debug)]
pub struct OtlpSpans {
    encoder: Encoder,
    site: Site,
    dispatch: Dispatch,
}

impl OtlpSpans {
    /// Makes the sink and starts its clerk, or gives `None` where traces go nowhere. Connects to
    /// nobody yet. Needs a runtime.
    pub fn start(config: &Config, spool: Option<&Arc<Spool>>) -> Result<Option<Self>, OtlpError> {
        let Some(target) = &config.otlp.traces else { return Ok(None) };
        let carrier = transport::connect(target, Signal::Traces)?;
        let encoder = Encoder::new(&config.service)?;
        let settings = Settings::of(target, Signal::Traces);
        let dispatch = Dispatch::start(settings, spool, carrier);
        Ok(Some(Self { encoder, site: Site::new(&config.upstream), dispatch }))
    }
}

#[async_trait]
impl Sink for OtlpSpans {
    type Item = Arc<Record>;

    fn name(&self) -> &'static str {
        "otlp"
    }

    /// A request to the collector, and a compressor for it, cost as much as many spans.
    fn patience(&self) -> Duration {
        self.dispatch.patience(PATIENCE)
    }

    fn weight(record: &Arc<Record>) -> u64 {
        count(record)
    }

    fn clerk(&mut self) -> Option<Clerk> {
        self.dispatch.clerk()
    }

    async fn deliver(&mut self, batch: Vec<Arc<Record>>) -> Delivery {
        let count = batch.iter().map(Self::weight).sum();
        let site = &self.site;
        let write = |record: &Arc<Record>, out: &mut Writer| exchange::write(record, site, out);
        let body = self.encoder.encode(&batch, write).await;
        // Their memory is free again before they are compressed.
        drop(batch);
        self.dispatch.send(count, body).await
    }
}
