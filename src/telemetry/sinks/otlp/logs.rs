//! Log records to an OpenTelemetry collector: an entry of the log becomes one `LogRecord`.
//!
//! They are written straight from the entries (`record`), stand in the same envelope as spans, and go
//! the same way: an outbox of their own, with memory, spool and retries (`export`). Which entries
//! there are was decided by the log, and what may be in one by the record.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::encoder::Encoder;
use super::{OtlpError, PATIENCE};
use crate::config::Config;
use crate::config::model::Signal;
use crate::telemetry::export::dispatch::Dispatch;
use crate::telemetry::export::outbox::{Clerk, Settings};
use crate::telemetry::export::spool::Spool;
use crate::telemetry::export::transport;
use crate::telemetry::log::Entry;
use crate::telemetry::sink::{Delivery, Sink};

mod proto;
mod record;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

/// Sends the entries of the log to a collector.
#[derive(Debug)]
pub struct OtlpLogs {
    encoder: Encoder,
    dispatch: Dispatch,
}

impl OtlpLogs {
    /// Makes the sink and starts its clerk, or gives `None` where logs are not pushed. Connects to
    /// nobody yet. Needs a runtime.
    pub fn start(config: &Config, spool: Option<&Arc<Spool>>) -> Result<Option<Self>, OtlpError> {
        let Some(target) = &config.otlp.logs else { return Ok(None) };
        let carrier = transport::connect(target, Signal::Logs).map_err(OtlpError::Logs)?;
        let encoder = Encoder::new(&config.service)?;
        let settings = Settings::of(target, Signal::Logs);
        let dispatch = Dispatch::start(settings, spool, carrier);
        Ok(Some(Self { encoder, dispatch }))
    }
}

#[async_trait]
impl Sink for OtlpLogs {
    type Item = Entry;

    fn name(&self) -> &'static str {
        "otlp"
    }

    fn patience(&self) -> Duration {
        self.dispatch.patience(PATIENCE)
    }

    fn clerk(&mut self) -> Option<Clerk> {
        self.dispatch.clerk()
    }

    async fn deliver(&mut self, batch: Vec<Entry>) -> Delivery {
        let count = batch.len() as u64;
        let body = self.encoder.encode(&batch, record::write).await;
        // Their memory is free again before they are compressed.
        drop(batch);
        self.dispatch.send(count, body).await
    }
}
