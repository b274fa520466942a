//! Spans to an OpenTelemetry collector: OTLP, over whichever transport is configured.
//!
//! `opentelemetry-otlp` encodes; its HTTP client is ours and only catches the finished bytes, so that
//! compression, delivery, retries, partial success and every count are our own. Spans are
//! built and encoded in the blocking pool: a batch takes milliseconds, which no request waits for.
//!
//! While a configured collector is away, a batch is held for up to `otlp.timeout` and the lane fills
//! behind it; then spans are dropped, counted. Nobody waits for the default one.
//!
//! Whether a record is kept was decided before it came here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use uuid::Uuid;

use self::client::Sender;
use self::spans::Site;
use crate::config::Config;
use crate::config::model::{Service, Signal};
use crate::record::Record;
use crate::telemetry::export::transport::{self, ConnectError};
use crate::telemetry::export::{Parcel, gzip};
use crate::telemetry::sink::{Delivery, Sink};

mod client;
pub mod spans;

/// How long a span waits for others.
const PATIENCE: Duration = Duration::from_millis(500);
/// What the encoder is told: it wants a URL, and nothing is sent there.
const UNUSED: &str = "http://localhost/";

/// Sends the spans of records to a collector.
#[derive(Debug)]
pub struct Otlp {
    encoder: Arc<Encoder>,
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
    Encoder(#[from] ExporterBuildError),
}

impl Otlp {
    /// Makes the sink, or `None` where traces go nowhere. Connects to nobody yet.
    pub fn new(config: &Config) -> Result<Option<Self>, OtlpError> {
        let Some(target) = &config.otlp.traces else { return Ok(None) };
        let carrier = transport::connect(target, Signal::Traces)?;
        let site = Site::new(&config.service.name, &config.upstream);
        let encoder = Encoder::new(target.compress, site, &resource(&config.service))?;
        Ok(Some(Self { encoder: Arc::new(encoder), sender: Sender::new(carrier, target) }))
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
        let encoder = Arc::clone(&self.encoder);
        let runtime = Handle::current();
        let encoding = tokio::task::spawn_blocking(move || {
            let spans = batch.iter().flat_map(|record| spans::of(record, &encoder.site)).collect();
            runtime.block_on(encoder.encode(spans, count))
        });
        match encoding.await {
            Ok(Ok(Some(parcel))) => self.sender.send(&parcel).await,
            Ok(Ok(None) | Err(_)) => {
                Delivery { exported: 0, dropped: vec![("unencodable", count)] }
            }
            Err(_) => Delivery { exported: 0, dropped: vec![("panic", count)] },
        }
    }
}

/// Turns spans into the bytes of one export request.
#[derive(Debug)]
struct Encoder {
    exporter: SpanExporter,
    caught: Catcher,
    site: Site,
    compress: bool,
}

impl Encoder {
    fn new(compress: bool, site: Site, resource: &Resource) -> Result<Self, ExporterBuildError> {
        let caught = Catcher::default();
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(caught.clone())
            .with_endpoint(UNUSED)
            .with_protocol(Protocol::HttpBinary)
            .with_retry_policy(RetryPolicy::disabled())
            .build()?;
        exporter.set_resource(resource);
        Ok(Self { exporter, caught, site, compress })
    }

    async fn encode(
        &self,
        spans: Vec<SpanData>,
        count: u64,
    ) -> Result<Option<Parcel>, OTelSdkError> {
        self.exporter.export(spans).await?;
        let caught = self.caught.0.lock().take();
        Ok(caught.map(|request| gzip::pack(count, request.into_body(), self.compress)))
    }
}

/// Stands where the exporter expects a network: keeps the request and answers at once.
#[derive(Clone, Debug, Default)]
struct Catcher(Arc<Mutex<Option<Request<Bytes>>>>);

#[async_trait]
impl HttpClient for Catcher {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        *self.0.lock() = Some(request);
        Ok(Response::new(Bytes::new()))
    }
}

/// Who the spans are from. Our own attributes win over those of `OTEL_RESOURCE_ATTRIBUTES`.
fn resource(service: &Service) -> Resource {
    let extra = service.attributes.iter();
    let extra = extra.map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty()
        .with_attributes(extra)
        .with_attributes([
            KeyValue::new("service.name", service.name.clone()),
            KeyValue::new("service.version", service.version.clone()),
            KeyValue::new("service.instance.id", Uuid::now_v7().to_string()),
            KeyValue::new("deployment.environment.name", service.environment.clone()),
            KeyValue::new("deployment.environment", service.environment.clone()),
        ])
        .build()
}
