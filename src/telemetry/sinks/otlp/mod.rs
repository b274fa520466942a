//! Spans to an OpenTelemetry collector: OTLP over HTTP, protobuf.
//!
//! `opentelemetry-otlp` encodes; its HTTP client is ours and only catches the finished bytes, so that
//! compression, delivery, retries, partial success and every count are our own. Spans are built and
//! encoded in the blocking pool: a batch takes milliseconds, which no request waits for. The parcel
//! is posted at an outbox, which never makes the encoder wait (`export`).
//!
//! The endpoint is used as it is written. Whether a record is kept was decided before it came here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, Uri};
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
use self::gzip::Gzip;
use self::spans::Site;
use crate::config::Config;
use crate::config::model::Service;
use crate::record::Record;
use crate::telemetry::export::outbox::{self, Clerk, Outbox};
use crate::telemetry::export::spool::Spool;
use crate::telemetry::export::{Encoding, Parcel};
use crate::telemetry::export_client::{CaFileError, ExportClient};
use crate::telemetry::sink::{Delivery, Sink};

mod client;
mod gzip;
pub mod spans;

/// How long a span waits for others.
const PATIENCE: Duration = Duration::from_millis(500);

/// Sends the spans of records to a collector.
#[derive(Debug)]
pub struct Otlp {
    encoder: Arc<Encoder>,
    outbox: Outbox,
    clerk: Option<Clerk>,
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
    Encoder(#[from] ExporterBuildError),
}

impl Otlp {
    /// Makes the sink, or `None` where `otlp.endpoint` is empty. Connects to nobody yet. Needs a
    /// runtime.
    pub fn new(config: &Config) -> Result<Option<Self>, OtlpError> {
        Self::with_spool(config, None)
    }

    /// Like [`Otlp::new`]; what the collector does not take waits in the spool.
    pub fn with_spool(
        config: &Config,
        spool: Option<&Arc<Spool>>,
    ) -> Result<Option<Self>, OtlpError> {
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
        let site = Site::new(&config.service.name, &config.upstream);
        let encoder = Encoder::new(endpoint, otlp.gzip, site, &resource(&config.service))?;
        let sender = Sender::new(client, uri, headers);
        let settings = outbox::Settings {
            signal: "traces",
            endpoint: sender.place(),
            is_configured: otlp.is_configured,
            timeout: otlp.timeout,
            remembered: outbox::REMEMBERED,
        };
        let (outbox, clerk) = outbox::start(settings, spool, sender);
        Ok(Some(Self { encoder: Arc::new(encoder), outbox, clerk: Some(clerk) }))
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

    fn clerk(&mut self) -> Option<Clerk> {
        self.clerk.take()
    }

    async fn deliver(&mut self, batch: Vec<Arc<Record>>) -> Delivery {
        let items = batch.iter().map(Self::weight).sum();
        let encoder = Arc::clone(&self.encoder);
        let runtime = Handle::current();
        let encoding = tokio::task::spawn_blocking(move || {
            let spans = batch.iter().flat_map(|record| spans::of(record, &encoder.site)).collect();
            runtime.block_on(encoder.encode(spans))
        });
        let lost = |reason| Delivery { dropped: vec![(reason, items)], ..Delivery::default() };
        match encoding.await {
            Ok(Ok(Some(request))) => {
                let is_gzip = request.headers().contains_key(CONTENT_ENCODING);
                let encoding = if is_gzip { Encoding::Gzip } else { Encoding::Identity };
                let parcel = Parcel { items, encoding, body: request.into_body() };
                Delivery { handed_over: self.outbox.post(parcel), ..Delivery::default() }
            }
            Ok(Ok(None) | Err(_)) => lost("unencodable"),
            Err(_) => lost("panic"),
        }
    }
}

/// Turns spans into the bytes of one export request.
#[derive(Debug)]
struct Encoder {
    exporter: SpanExporter,
    caught: Catcher,
    site: Site,
    gzip: Option<Gzip>,
}

impl Encoder {
    fn new(
        endpoint: &str,
        gzip: bool,
        site: Site,
        resource: &Resource,
    ) -> Result<Self, ExporterBuildError> {
        let caught = Catcher::default();
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(caught.clone())
            .with_endpoint(endpoint)
            .with_protocol(Protocol::HttpBinary)
            .with_retry_policy(RetryPolicy::disabled())
            .build()?;
        exporter.set_resource(resource);
        Ok(Self { exporter, caught, site, gzip: gzip.then(Gzip::default) })
    }

    async fn encode(&self, spans: Vec<SpanData>) -> Result<Option<Request<Bytes>>, OTelSdkError> {
        self.exporter.export(spans).await?;
        let mut caught = self.caught.0.lock().take();
        if let (Some(request), Some(gzip)) = (caught.as_mut(), &self.gzip) {
            *request.body_mut() = gzip
                .compress(request.body())
                .map_err(|error| OTelSdkError::InternalFailure(error.to_string()))?;
            request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(caught)
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
