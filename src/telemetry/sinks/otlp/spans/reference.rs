//! The same spans, made as `opentelemetry-otlp` wants them: what the writer is judged by.
//!
//! It is written for clarity alone, and so that it shares nothing with what it judges.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue, Value as Attribute};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::config::model::{Scheme, Upstream};
use crate::http::method::Method;
use crate::http::{sanitise, traceparent};
use crate::record::{
    ConfigName, Kept, Outcome, Record, StoreCall, StoreEnding, StreamKind, UpstreamLeg, User, Value,
};

/// What is the same for every span of a sidecar.
#[derive(Clone, Debug)]
pub(super) struct Site {
    scope: InstrumentationScope,
    server_address: StringValue,
    /// `None` with a Unix socket.
    server_port: Option<i64>,
    /// `http://host:port` of the upstream.
    base_url: String,
    /// The version of HTTP, where the url alone decides it.
    protocol: Option<&'static str>,
}

impl Site {
    /// Spans in the scope of this service, in front of this upstream.
    pub(super) fn new(service_name: &str, upstream: &Upstream) -> Self {
        let (scheme, protocol) = match upstream.scheme {
            Scheme::Http => ("http", Some("1.1")),
            Scheme::H2c => ("http", Some("2")),
            Scheme::Https => ("https", None),
        };
        let (host, port) = (&upstream.host, upstream.port);
        let is_ipv6 = host.contains(':') && !host.starts_with('[');
        let [open, close] = if is_ipv6 { ["[", "]"] } else { ["", ""] };
        let base_url = match upstream.socket {
            Some(_) => format!("{scheme}://{}", upstream.authority),
            None => format!("{scheme}://{open}{host}{close}:{port}"),
        };
        Self {
            scope: InstrumentationScope::builder(service_name.to_owned()).build(),
            server_address: shared(host),
            server_port: upstream.socket.is_none().then(|| i64::from(port)),
            base_url,
            protocol,
        }
    }
}

/// The spans of this record.
pub(super) fn of(record: &Record, site: &Site) -> Vec<SpanData> {
    let mut spans = Vec::with_capacity(3);
    let mut parent = record.trace.server_span;
    spans.push(server(record, site));
    spans.extend(record.store_calls.iter().map(|call| store_call(record, call, site)));
    if let Some(name) = &record.route.span {
        spans.push(internal(record, name, site));
        parent = record.trace.internal_span;
    }
    if let Some(leg) = &record.upstream {
        let parent = SpanId::from_bytes(parent.0);
        spans.push(client(record, leg, parent, site));
    }
    spans
}

fn server(record: &Record, site: &Site) -> SpanData {
    let mut span = blank(record, record.trace.server_span, SpanKind::Server, site);
    let parent = record.trace.parent;
    span.parent_span_id = parent.map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.0));
    span.parent_span_is_remote = parent.is_some();
    span.name = [name_of_method(record), " ", &record.route.template].concat().into();
    span.attributes.extend([
        KeyValue::new("http.route", shared(&record.route.template)),
        KeyValue::new("url.scheme", record.scheme),
        KeyValue::new("url.path", record.url().to_owned()),
        KeyValue::new("network.protocol.version", record.protocol),
        KeyValue::new("client.address", address(record.client_ip)),
        KeyValue::new("sidecar.request_id", record.request_id.with_str(str::to_owned)),
    ]);
    if let Some(status) = record.status {
        span.attributes.push(KeyValue::new("http.response.status_code", i64::from(status)));
    }
    if let Some(error_type) = record.error_type() {
        span.attributes.push(KeyValue::new("error.type", error_type.as_str().to_owned()));
    }
    if let Some(reason) = record.kept.and_then(Kept::reason) {
        span.attributes.push(KeyValue::new("sampling.reason", reason.as_str()));
    }
    if let Some(stream) = &record.stream {
        span.attributes.push(KeyValue::new("sidecar.stream.kind", stream.kind.as_str()));
        if stream.kind != StreamKind::Opaque {
            let events = i64::try_from(stream.events).unwrap_or(i64::MAX);
            span.attributes.push(KeyValue::new("sidecar.stream.events", events));
        }
        let seconds = |key, time: Duration| KeyValue::new(key, time.as_secs_f64());
        let first = stream.first_event.map(|time| seconds("sidecar.stream.first_event", time));
        let gap = stream.gaps.longest().map(|time| seconds("sidecar.stream.longest_gap", time));
        span.attributes.extend(first.into_iter().chain(gap));
    }
    if record.route.span.is_none() {
        span.attributes.extend(caller(record).chain(facts(record)));
    }
    if record.is_error() {
        // An upstream's own 5xx needs no words: the status code says it.
        let is_plain = record.outcome == Outcome::Served;
        let message = record.outcome.message(record.status);
        span.status = Status::error(if is_plain { "".into() } else { message });
    }
    if let Some((trace, linked)) = record.trace.link {
        let context = context(trace.0, linked.0, TraceFlags::default(), true, TraceState::NONE);
        span.links.links.push(Link::with_context(context));
    }
    span
}

fn store_call(record: &Record, call: &StoreCall, site: &Site) -> SpanData {
    let mut span = blank(record, call.span, SpanKind::Client, site);
    span.parent_span_id = SpanId::from_bytes(record.trace.server_span.0);
    span.name = "EVALSHA".into();
    span.start_time = record.started + call.offset;
    span.end_time = span.start_time + call.duration;
    span.attributes = vec![
        KeyValue::new("db.system.name", "redis"),
        KeyValue::new("db.operation.name", "EVALSHA"),
    ];
    let error = match call.ending {
        StoreEnding::Answered => None,
        StoreEnding::Late => Some("timeout"),
        StoreEnding::Failed => Some("_OTHER"),
    };
    if let Some(error) = error {
        span.attributes.push(KeyValue::new("error.type", error));
        span.status = Status::error("");
    }
    span
}

/// The route's own operation. A refusal or a client that left is neither OK nor an error of it.
fn internal(record: &Record, name: &ConfigName, site: &Site) -> SpanData {
    let mut span = blank(record, record.trace.internal_span, SpanKind::Internal, site);
    span.parent_span_id = SpanId::from_bytes(record.trace.server_span.0);
    span.name = name.to_string().into();
    span.attributes = caller(record).chain(facts(record)).collect();
    if record.is_error() {
        let message = record.outcome.message(record.status);
        let error_type = record
            .error_type()
            .map_or_else(|| "_OTHER".to_owned(), |kind| kind.as_str().to_owned());
        let attributes = vec![
            KeyValue::new("exception.type", error_type.clone()),
            KeyValue::new("exception.message", message.to_string()),
        ];
        span.events.events.push(Event::new("exception", span.end_time, attributes, 0));
        span.attributes.push(KeyValue::new("error.type", error_type));
        span.status = Status::error(message);
    } else if record.outcome == Outcome::Served {
        span.status = Status::Ok;
    }
    span
}

/// Who called, under the names that say in which form.
fn caller(record: &Record) -> impl Iterator<Item = KeyValue> + use<> {
    let user = record.caller.user.as_ref().map(|user| match user {
        User::Hash(pseudonym) => KeyValue::new("user.hash", pseudonym.to_string()),
        User::Raw(text) => KeyValue::new("user.id", text.to_string()),
    });
    let tenant = &record.caller.tenant;
    let tenant = tenant.as_ref().map(|tenant| KeyValue::new("tenant.id", tenant.to_string()));
    user.into_iter().chain(tenant)
}

fn facts(record: &Record) -> impl Iterator<Item = KeyValue> + '_ {
    record.facts.iter().map(|fact| {
        let value = match &fact.value {
            Value::Member(member) => Attribute::from(shared(member)),
            Value::Length(count) | Value::Number(count) => {
                Attribute::from(i64::try_from(*count).unwrap_or(i64::MAX))
            }
            Value::Pseudonym(name) => Attribute::from(name.to_string()),
        };
        KeyValue::new(fact.name.to_string(), value)
    })
}

fn client(record: &Record, leg: &UpstreamLeg, parent: SpanId, site: &Site) -> SpanData {
    let mut span = blank(record, record.trace.client_span, SpanKind::Client, site);
    span.parent_span_id = parent;
    span.name = name_of_method(record).into();
    span.start_time = record.started + leg.offset;
    span.end_time = span.start_time + leg.duration;
    span.attributes.extend([
        KeyValue::new("url.full", [&site.base_url, record.url()].concat()),
        KeyValue::new("server.address", site.server_address.clone()),
    ]);
    span.attributes.extend(site.server_port.map(|port| KeyValue::new("server.port", port)));
    let protocol = site.protocol.map(|version| KeyValue::new("network.protocol.version", version));
    span.attributes.extend(protocol);
    if let Some(status) = leg.status {
        span.attributes.push(KeyValue::new("http.response.status_code", i64::from(status)));
    }
    match (leg.status, record.outcome) {
        (Some(status), Outcome::Served) if status < 400 => {}
        (Some(status), Outcome::Served) => {
            let class = record.class.as_ref().map(ToString::to_string);
            let error_type = class.unwrap_or_else(|| status.to_string());
            span.attributes.push(KeyValue::new("error.type", error_type));
            span.status = Status::error("");
        }
        (_, outcome) => {
            if let Some(error_type) = outcome.error_type(record.status) {
                span.attributes.push(KeyValue::new("error.type", error_type.as_str().to_owned()));
            }
            if outcome.is_error(record.status) {
                span.status = Status::error(outcome.message(record.status));
            }
        }
    }
    span
}

/// A span over the whole exchange.
fn blank(record: &Record, id: traceparent::SpanId, span_kind: SpanKind, site: &Site) -> SpanData {
    let [sampled, random] = [record.trace.sampled, record.trace.is_random].map(u8::from);
    let flags = TraceFlags::new(sampled | random << 1);
    let state = record.trace.state.as_ref();
    let state = state.and_then(|state| state.as_str().parse().ok()).unwrap_or(TraceState::NONE);
    let mut attributes = Vec::new();
    if span_kind != SpanKind::Internal {
        attributes.reserve_exact(11);
        attributes.push(KeyValue::new("http.request.method", record.method.as_str()));
    }
    SpanData {
        span_context: context(record.trace.trace_id.0, id.0, flags, false, state),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind,
        name: "".into(),
        start_time: record.started,
        end_time: end(record),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: site.scope.clone(),
    }
}

fn end(record: &Record) -> SystemTime {
    record.started + record.duration
}

fn context(
    trace: [u8; 16],
    span: [u8; 8],
    flags: TraceFlags,
    is_remote: bool,
    state: TraceState,
) -> SpanContext {
    let (trace, span) = (TraceId::from_bytes(trace), SpanId::from_bytes(span));
    SpanContext::new(trace, span, flags, is_remote, state)
}

/// Span names say `HTTP` for a method outside the closed set (OpenTelemetry HTTP conventions).
fn name_of_method(record: &Record) -> &'static str {
    match record.method {
        Method::Other => "HTTP",
        method => method.as_str(),
    }
}

/// A truncated address. Its text comes in pieces, so it gets room for the longest at once.
fn address(ip: IpAddr) -> String {
    let mut text = String::with_capacity(40);
    // Writing to a string cannot fail.
    write!(text, "{}", sanitise::truncate_ip(ip)).ok();
    text
}

fn shared(name: &ConfigName) -> StringValue {
    StringValue::from(name.shared())
}
