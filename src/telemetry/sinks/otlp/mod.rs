//! What leaves by OTLP, over whichever transport is configured.
//!
//! [`spans`], [`logs`] and [`metrics`] have one signal each, with an outbox of its own. Spans and log
//! records are written by hand (`wire`, `attribute`, `details`) into one `envelope` a batch (`encoder`);
//! the request of metrics is made in [`crate::telemetry::metrics`].

use std::time::Duration;

use self::envelope::EnvelopeError;
use crate::telemetry::export::transport::ConnectError;

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
