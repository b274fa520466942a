//! The spans of an exchange, written from its record: SERVER, then one CLIENT for each call to the shared
//! rate-limit store, then the route's INTERNAL, then the upstream's CLIENT.
//!
//! Attributes are those of the stable HTTP semantic conventions, with the contract's redaction:
//! `url.path` and `url.full` carry the template (or the path's shape) and never a query, addresses
//! are truncated, the user agent is left to the log. `sidecar.request_id` is the id on every other signal:
//! our own name, because `http.request.header.x-request-id` would claim that a client sent it.
//!
//! A span goes from the record to OTLP bytes in one step. That what is written is what
//! `opentelemetry-otlp` would have written is judged by `tests`, byte for byte.
//!
//! It decides nothing about sampling: whoever calls it wants the spans.

use std::sync::Arc;

use super::frame::{Frame, Parent, Status, kind_and_times, nanos};
use super::site::Site;
use super::{proto, store_call};
use crate::http::method::Method;
use crate::http::traceparent::SpanId;
use crate::record::{ErrorType, Kept, Outcome, Record, UpstreamLeg};
use crate::telemetry::sinks::otlp::attribute::{self, Value};
use crate::telemetry::sinks::otlp::details;
use crate::telemetry::sinks::otlp::wire::Writer;

/// The bytes that the spans of most records take.
const USUAL_LENGTH: usize = 1536;

/// How many spans [`encode`] makes of this record.
pub fn count(record: &Record) -> u64 {
    let others = u64::from(record.route.span.is_some()) + u64::from(record.upstream.is_some());
    1 + others + record.store_calls.len() as u64
}

/// The spans of these records, as the `spans` of an OTLP `ScopeSpans` that has nothing else.
pub fn encode(records: &[Arc<Record>], site: &Site) -> Vec<u8> {
    let mut out = Writer::default();
    for record in records {
        write(record, site, &mut out);
    }
    out.into_bytes()
}

/// Appends the spans of this record.
pub(super) fn write(record: &Record, site: &Site, out: &mut Writer) {
    out.reserve(USUAL_LENGTH);
    let frame = Frame::of(record);
    out.message(proto::SPANS, |span| server(span, &frame));
    for call in &record.store_calls {
        out.message(proto::SPANS, |span| store_call::write(span, &frame, call));
    }
    let mut parent = record.trace.server_span;
    if let Some(name) = &record.route.span {
        out.message(proto::SPANS, |span| internal(span, &frame, name));
        parent = record.trace.internal_span;
    }
    if let Some(leg) = &record.upstream {
        out.message(proto::SPANS, |span| client(span, &frame, leg, parent, site));
    }
}

fn server(span: &mut Writer, frame: &Frame<'_>) {
    let record = frame.record;
    frame.ids(span, record.trace.server_span, record.trace.parent);
    span.text(proto::NAME, [name_of_method(record), " ", &record.route.template]);
    kind_and_times(span, proto::SERVER, frame.started, frame.ended);

    put(span, "http.request.method", record.method.as_str());
    put(span, "http.route", &*record.route.template);
    put(span, "url.scheme", record.scheme);
    put(span, "url.path", record.url());
    put(span, "network.protocol.version", record.protocol);
    details::client_address(span, proto::ATTRIBUTES, record.client_ip);
    record.request_id.with_str(|id| put(span, "sidecar.request_id", id));
    if let Some(status) = record.status {
        put(span, "http.response.status_code", u64::from(status));
    }
    if let Some(error_type) = record.error_type() {
        put(span, "error.type", error_type.as_str());
    }
    if let Some(reason) = record.kept.and_then(Kept::reason) {
        put(span, "sampling.reason", reason.as_str());
    }
    if let Some(stream) = &record.stream {
        details::stream(span, proto::ATTRIBUTES, stream);
    }
    if record.route.span.is_none() {
        details::caller(span, proto::ATTRIBUTES, &record.caller);
        details::facts(span, proto::ATTRIBUTES, &record.facts);
    }

    if let Some((trace, linked)) = record.trace.link {
        span.message(proto::LINKS, |link| {
            link.bytes(proto::TRACE_ID, &trace.0);
            link.bytes(proto::SPAN_ID, &linked.0);
            link.fixed32(proto::LINK_FLAGS, proto::HAS_REMOTE | proto::REMOTE);
        });
    }
    let parent = if record.trace.parent.is_some() { Parent::Remote } else { Parent::Here };
    if !record.is_error() {
        frame.end(span, Status::Unset, parent);
    } else if record.outcome == Outcome::Served {
        // An upstream's own 5xx needs no words: the status code says it.
        frame.end(span, Status::Error(""), parent);
    } else {
        frame.end(span, Status::Error(&record.outcome.message(record.status)), parent);
    }
}

/// The route's own operation. A refusal or a client that left is neither OK nor an error of it.
fn internal(span: &mut Writer, frame: &Frame<'_>, name: &str) {
    let record = frame.record;
    frame.ids(span, record.trace.internal_span, Some(record.trace.server_span));
    span.text(proto::NAME, [name]);
    kind_and_times(span, proto::INTERNAL, frame.started, frame.ended);

    details::caller(span, proto::ATTRIBUTES, &record.caller);
    details::facts(span, proto::ATTRIBUTES, &record.facts);
    if record.is_error() {
        let message = record.outcome.message(record.status);
        let error_type = record.error_type();
        let error_type = error_type.as_ref().map_or("_OTHER", ErrorType::as_str);
        put(span, "error.type", error_type);
        span.message(proto::EVENTS, |event| {
            event.fixed64(proto::EVENT_TIME, frame.ended);
            event.text(proto::EVENT_NAME, ["exception"]);
            attribute::write(event, proto::EVENT_ATTRIBUTES, "exception.type", error_type);
            attribute::write(event, proto::EVENT_ATTRIBUTES, "exception.message", &*message);
        });
        frame.end(span, Status::Error(&message), Parent::Here);
    } else if record.outcome == Outcome::Served {
        frame.end(span, Status::Ok, Parent::Here);
    } else {
        frame.end(span, Status::Unset, Parent::Here);
    }
}

fn client(span: &mut Writer, frame: &Frame<'_>, leg: &UpstreamLeg, parent: SpanId, site: &Site) {
    let record = frame.record;
    frame.ids(span, record.trace.client_span, Some(parent));
    span.text(proto::NAME, [name_of_method(record)]);
    let started = frame.started.saturating_add(nanos(leg.offset));
    let ended = started.saturating_add(nanos(leg.duration));
    kind_and_times(span, proto::CLIENT, started, ended);

    put(span, "http.request.method", record.method.as_str());
    put(span, "url.full", [&*site.base_url, record.url()]);
    span.raw(&site.upstream);
    if let Some(status) = leg.status {
        put(span, "http.response.status_code", u64::from(status));
    }
    let outcome = record.outcome;
    match leg.status {
        Some(status) if outcome == Outcome::Served && status < 400 => {
            frame.end(span, Status::Unset, Parent::Here);
        }
        Some(status) if outcome == Outcome::Served => {
            if let Some(class) = &record.class {
                put(span, "error.type", &**class);
            } else {
                let digits = |text: &mut Writer| text.digits(u64::from(status));
                attribute::write_shown(span, proto::ATTRIBUTES, "error.type", digits);
            }
            frame.end(span, Status::Error(""), Parent::Here);
        }
        _ => {
            if let Some(error_type) = record.error_type() {
                put(span, "error.type", error_type.as_str());
            }
            if record.is_error() {
                frame.end(span, Status::Error(&outcome.message(record.status)), Parent::Here);
            } else {
                frame.end(span, Status::Unset, Parent::Here);
            }
        }
    }
}

/// Appends an attribute to a span.
#[inline]
pub(super) fn put(span: &mut Writer, key: &str, value: impl Value) {
    attribute::write(span, proto::ATTRIBUTES, key, value);
}

/// Span names say `HTTP` for a method outside the closed set (OpenTelemetry HTTP conventions).
fn name_of_method(record: &Record) -> &'static str {
    match record.method {
        Method::Other => "HTTP",
        method => method.as_str(),
    }
}
