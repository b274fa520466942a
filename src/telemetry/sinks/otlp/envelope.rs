//! What stands around the spans or log records of an export request: resource, scope, schema.
//!
//! It is `opentelemetry-otlp`'s: at the start its exporter encodes a request with one span, and what it
//! wrote is cut open where that span is. So what it says of a resource or a scope, in this release or the
//! next, is what every batch says. The exporter's HTTP client is ours and only catches the request.
//!
//! A request of log records is built of the same fields with the same numbers, so its envelope is the same.
//!
//! It knows nothing of what is in a span.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use parking_lot::Mutex;

use super::wire::{self, Writer, field_length};
use crate::config::model::Service;
use crate::telemetry::resource;

/// Field numbers of `opentelemetry/proto/collector/trace/v1/trace_service.proto` and of the messages
/// in it, from the outside in.
const RESOURCE_SPANS: u32 = 1;
const SCOPE_SPANS: u32 = 2;
const SPANS: u32 = 2;

/// Nobody is asked there: the exporter only wants one.
const ENDPOINT: &str = "http://localhost/v1/traces";

/// An export request without its spans.
#[derive(Debug)]
pub(super) struct Envelope {
    request: Shell,
    resource: Shell,
    scope: Shell,
}

/// What stands before and after one field of a message.
#[derive(Debug)]
struct Shell([Box<[u8]>; 2]);

/// The exporter did not give an envelope.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// The exporter cannot be made.
    #[error(transparent)]
    Build(#[from] ExporterBuildError),
    /// The exporter made no request, or not at once.
    #[error("the exporter made no request")]
    NoRequest,
    /// The exporter made a request that is not built as OTLP says.
    #[error("the exporter's request has no place for spans")]
    NoSpans,
}

impl Envelope {
    /// The envelope of what this service sends.
    pub(super) fn new(service: &Service) -> Result<Self, EnvelopeError> {
        Self::of(&Exporter::new(service)?, service)
    }

    pub(super) fn of(exporter: &Exporter, service: &Service) -> Result<Self, EnvelopeError> {
        let request = exporter.encode(vec![probe(scope(service))])?;
        let cut = |message, field| wire::split(message, field).ok_or(EnvelopeError::NoSpans);
        let [before_resource, resource, after_resource] = cut(&request, RESOURCE_SPANS)?;
        let [before_scope, scope, after_scope] = cut(resource, SCOPE_SPANS)?;
        let [before_spans, _, after_spans] = cut(scope, SPANS)?;
        Ok(Self {
            request: Shell::new(before_resource, after_resource),
            resource: Shell::new(before_scope, after_scope),
            scope: Shell::new(before_spans, after_spans),
        })
    }

    /// An export request with these spans or log records: fields of a `ScopeSpans` or `ScopeLogs`.
    pub(super) fn around(&self, spans: &[u8]) -> Vec<u8> {
        let in_scope = self.scope.length() + spans.len();
        let in_resource = self.resource.length() + field_length(SCOPE_SPANS, in_scope);
        let in_request = self.request.length() + field_length(RESOURCE_SPANS, in_resource);
        let mut out = Writer::default();
        out.reserve(in_request);
        out.raw(&self.request.0[0]);
        out.open(RESOURCE_SPANS, in_resource);
        out.raw(&self.resource.0[0]);
        out.open(SCOPE_SPANS, in_scope);
        out.raw(&self.scope.0[0]);
        out.raw(spans);
        for shell in [&self.scope, &self.resource, &self.request] {
            out.raw(&shell.0[1]);
        }
        out.into_bytes()
    }
}

impl Shell {
    fn new(before: &[u8], after: &[u8]) -> Self {
        Self([before.into(), after.into()])
    }

    fn length(&self) -> usize {
        self.0.iter().map(|side| side.len()).sum()
    }
}

/// `opentelemetry-otlp`, with a client that keeps what it is to send.
#[derive(Debug)]
pub(super) struct Exporter {
    exporter: SpanExporter,
    caught: Catcher,
}

impl Exporter {
    pub(super) fn new(service: &Service) -> Result<Self, ExporterBuildError> {
        let caught = Catcher::default();
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(caught.clone())
            .with_endpoint(ENDPOINT)
            .with_protocol(Protocol::HttpBinary)
            .with_retry_policy(RetryPolicy::disabled())
            .build()?;
        exporter.set_resource(&resource(service));
        Ok(Self { exporter, caught })
    }

    /// The request that it makes of these spans. None of its features that compress is built in.
    pub(super) fn encode(&self, spans: Vec<SpanData>) -> Result<Bytes, EnvelopeError> {
        // Nothing in it waits: the catcher answers at once.
        let mut export = pin!(self.exporter.export(spans));
        let mut context = Context::from_waker(Waker::noop());
        let (Poll::Ready(Ok(())), Some(request)) =
            (export.as_mut().poll(&mut context), self.caught.0.lock().take())
        else {
            return Err(EnvelopeError::NoRequest);
        };
        Ok(request.into_body())
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

/// Who the spans are from.
fn resource(service: &Service) -> Resource {
    let attributes = resource::attributes(service).into_iter();
    let attributes = attributes.map(|(name, value)| KeyValue::new(name, value));
    Resource::builder_empty().with_attributes(attributes).build()
}

pub(super) fn scope(service: &Service) -> InstrumentationScope {
    InstrumentationScope::builder(service.name.clone()).build()
}

/// A span to cut the request at.
fn probe(instrumentation_scope: InstrumentationScope) -> SpanData {
    let (trace, span) = (TraceId::from(1), SpanId::from(1));
    let flags = TraceFlags::default();
    SpanData {
        span_context: SpanContext::new(trace, span, flags, false, TraceState::NONE),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: "".into(),
        start_time: SystemTime::UNIX_EPOCH,
        end_time: SystemTime::UNIX_EPOCH,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope,
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};
    use prost::Message;

    use super::*;

    fn service() -> Service {
        Service {
            name: "a".to_owned(),
            environment: "b".to_owned(),
            version: "c".to_owned(),
            attributes: vec![("team".to_owned(), "d".repeat(200))],
        }
    }

    #[test]
    fn spans_stand_in_the_exporters_own_request() {
        let envelope = Envelope::new(&service()).unwrap();
        for count in [0, 1, 2, 1000] {
            let spans = vec![Span { name: "span".to_owned(), ..Span::default() }; count];
            let fields = ScopeSpans { spans: spans.clone(), ..ScopeSpans::default() };

            let request = envelope.around(&fields.encode_to_vec());

            let request = ExportTraceServiceRequest::decode(&request[..]).unwrap();
            let [resource] = &request.resource_spans[..] else { panic!("one resource") };
            let attributes = &resource.resource.as_ref().unwrap().attributes;
            let keys: Vec<_> = attributes.iter().map(|pair| pair.key.as_str()).collect();
            for key in ["team", "service.name", "service.instance.id"] {
                assert!(keys.contains(&key), "{keys:?}");
            }
            let [scope] = &resource.scope_spans[..] else { panic!("one scope") };
            assert_eq!(scope.scope.as_ref().unwrap().name, "a");
            assert_eq!(scope.spans, spans);
        }
    }
}
