//! Spans to an OpenTelemetry collector: OTLP over HTTP, protobuf.
//!
//! What stands around the spans of a batch is `opentelemetry-otlp`'s (`envelope`); the spans are written
//! straight from the records (`spans`). Compression, delivery, retries, partial success and every count
//! are our own (`client`).
//!
//! While a configured collector is away, a batch is held for up to `otlp.timeout` and the lane fills
//! behind it; then spans are dropped, counted. Nobody waits for the default one.
//!
//! The endpoint is used as it is written. Whether a record is kept was decided before it came here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{CONTENT_ENCODING, HeaderName, HeaderValue};
use http::{HeaderMap, Uri};
use tokio::task::spawn_blocking;

use self::client::Sender;
use self::encoder::Encoder;
use self::envelope::EnvelopeError;
use self::gzip::Gzip;
use crate::config::Config;
use crate::record::Record;
use crate::telemetry::export_client::{CaFileError, ExportClient};
use crate::telemetry::sink::{Delivery, Sink};

mod attribute;
mod client;
mod encoder;
mod envelope;
mod gzip;
pub mod spans;
mod wire;

/// How long a span waits for others.
const PATIENCE: Duration = Duration::from_millis(500);

/// Sends the spans of records to a collector.
#[derive(Debug)]
pub struct Otlp {
    encoder: Encoder,
    gzip: Option<Arc<Gzip>>,
    sender: Sender,
}

/// The sink cannot be made from this configuration.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// `otlp.ca_file` cannot be used.
    #[error("otlp.ca_file: {0}")]
    CaFile(#[from] CaFileError),
    /// `otlp.endpoint` is not an http or https URL. It is not shown: it may hold a password.
    #[error("otlp.endpoint is not an http or https URL")]
    Endpoint,
    /// A header of `otlp.headers` cannot be sent. Its value is not shown.
    #[error("otlp.headers: `{0}` is not a valid header name, or its value is not valid")]
    Header(String),
    /// The encoder refused its settings.
    #[error("setting up the OTLP encoder: {0}")]
    Encoder(#[from] EnvelopeError),
}

impl Otlp {
    /// Makes the sink, or `None` where `otlp.endpoint` is empty. Connects to nobody yet.
    pub fn new(config: &Config) -> Result<Option<Self>, OtlpError> {
        let otlp = &config.otlp;
        let Some(endpoint) = &otlp.traces_endpoint else { return Ok(None) };
        let uri: Uri = endpoint.parse().map_err(|_| OtlpError::Endpoint)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(OtlpError::Endpoint);
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &otlp.headers {
            let invalid = || OtlpError::Header(name.clone());
            let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
            let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| invalid())?;
            value.set_sensitive(true);
            headers.insert(parsed, value);
        }
        let client = ExportClient::new(otlp.ca_file.as_deref())?;
        let encoder = Encoder::new(&config.service, &config.upstream)?;
        let gzip = otlp.gzip.then(Arc::default);
        let sender = Sender::new(client, uri, headers, otlp.timeout, otlp.is_configured);
        Ok(Some(Self { encoder, gzip, sender }))
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
        let mut headers = self.encoder.headers().clone();
        let mut body = self.encoder.encode(&batch).await;
        // Their memory is free again before the collector is waited for.
        drop(batch);
        if let Some(gzip) = self.gzip.clone() {
            // It takes several times longer than encoding, which no request waits for.
            match spawn_blocking(move || gzip.compress(&body)).await {
                Ok(Ok(compressed)) => body = compressed,
                Ok(Err(_)) => {
                    return Delivery { exported: 0, dropped: vec![("unencodable", count)] };
                }
                Err(_) => return Delivery { exported: 0, dropped: vec![("panic", count)] },
            }
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        self.sender.send(headers, body, count).await
    }
}
