//! An entry of the log as an OTLP `LogRecord`, in one step.
//!
//! Attributes are those of the semantic conventions and mean what they mean on spans: `url.path` is the
//! route's template or the path's shape, addresses are truncated, the user agent is sanitised. What the
//! conventions have no name for is in our own namespace; times are in seconds. Trace and span ids are
//! there whether or not the spans are kept: the sampled flag says which.
//!
//! It decides nothing: whatever entry comes, is written.

use std::time::{Duration, SystemTime};

use super::proto;
use crate::config::model::LogLevel;
use crate::http::traceparent::{SpanId, TraceId};
use crate::record::{Level, Record};
use crate::telemetry::log::{Audited, Datum, Entry, Incoming, Said};
use crate::telemetry::sinks::otlp::attribute::{self, Value};
use crate::telemetry::sinks::otlp::details;
use crate::telemetry::sinks::otlp::wire::Writer;

/// The bytes that most log records take.
const USUAL_LENGTH: usize = 1024;
/// The frames of a panic, as the semantic conventions of exceptions call them.
const STACK: &str = "exception.stacktrace";

/// Appends the log record of this entry, as a `log_records` field of a `ScopeLogs`.
pub(super) fn write(entry: &Entry, out: &mut Writer) {
    out.reserve(USUAL_LENGTH);
    let (number, text) = severity(entry.level());
    // What comes from the process itself is observed when it happens.
    let time = nanos_since_1970(entry.at());
    out.message(proto::LOG_RECORDS, |log| {
        log.fixed64(proto::TIME, time);
        log.uint(proto::SEVERITY_NUMBER, number);
        log.text(proto::SEVERITY_TEXT, [text]);
        log.message(proto::BODY, |body| body.text(proto::STRING_VALUE, [entry.message()]));
        match entry {
            Entry::Completed(record) => completed(log, record),
            Entry::Incoming(request) => incoming(log, request),
            Entry::Audited(record) => audited(log, record),
            Entry::Said(said) => diagnostic(log, said),
        }
        log.fixed64(proto::OBSERVED_TIME, time);
        if let Some(name) = event_name(entry) {
            log.text(proto::EVENT_NAME, [name]);
        }
    });
}

fn event_name(entry: &Entry) -> Option<&'static str> {
    match entry {
        Entry::Completed(_) => Some("sidecar.request.completed"),
        Entry::Incoming(_) => Some("sidecar.request.started"),
        Entry::Audited(_) => Some("sidecar.audit.recorded"),
        // Its message says what happened; nothing else names it.
        Entry::Said(_) => None,
    }
}

fn completed(log: &mut Writer, record: &Record) {
    put(log, "http.request.method", record.method.as_str());
    put(log, "http.route", &*record.route.template);
    put(log, "url.scheme", record.scheme);
    put(log, "url.path", record.url());
    put(log, "network.protocol.version", record.protocol);
    details::client_address(log, proto::ATTRIBUTES, record.client_ip);
    if let Some(agent) = record.user_agent.as_deref() {
        put(log, "user_agent.original", agent);
    }
    if let Some(status) = record.status {
        put(log, "http.response.status_code", u64::from(status));
    }
    put(log, "http.request.body.size", record.bytes_in);
    put(log, "http.response.body.size", record.bytes_out);
    ended(log, record);
    if let Some(stream) = &record.stream {
        details::stream(log, proto::ATTRIBUTES, stream);
    }
    details::caller(log, proto::ATTRIBUTES, &record.caller);
    details::facts(log, proto::ATTRIBUTES, &record.facts);
    let random = if record.trace.is_random { proto::RANDOM } else { 0 };
    let ids = (record.trace.trace_id, record.trace.server_span);
    context(log, ids, sampled(record.is_kept()) | random);
}

/// How the exchange ended, and what it cost.
fn ended(log: &mut Writer, record: &Record) {
    record.request_id.with_str(|id| put(log, "sidecar.request_id", id));
    if let Some(id) = &record.client_request_id {
        put(log, "sidecar.client_request_id", id.as_str());
    }
    if let Some(operation) = &record.operation {
        put(log, "sidecar.operation_id", &**operation);
    }
    put(log, "sidecar.outcome", record.outcome.as_str());
    put(log, "sidecar.duration", record.duration.as_secs_f64());
    if let Some(ttfb) = record.ttfb {
        put(log, "sidecar.time_to_first_byte", ttfb.as_secs_f64());
    }
    put(log, "sidecar.overhead", record.overhead.as_secs_f64());
    if let Some(leg) = &record.upstream {
        put(log, "sidecar.upstream.duration", leg.duration.as_secs_f64());
    }
    if let Some(error_type) = record.error_type() {
        put(log, "error.type", error_type.as_str());
    }
    if record.level() == Level::Error {
        put(log, "error.message", &*record.outcome.message(record.status));
    }
    if let Some(stack) = &record.stack {
        put(log, STACK, &**stack);
    }
    if let Some(rejection) = record.rejection {
        put(log, "sidecar.identity.reason", rejection.as_str());
    }
    if let Some(refusal) = record.would_refuse {
        put(log, "sidecar.would_refuse", refusal.error_type().as_str());
    }
    if let Some(limit) = &record.limited_by {
        put(log, "sidecar.rate_limit", &**limit);
    }
}

fn incoming(log: &mut Writer, request: &Incoming) {
    put(log, "http.request.method", request.method.as_str());
    put(log, "http.route", &*request.route.template);
    put(log, "url.path", request.url());
    if let Some(agent) = request.user_agent.as_deref() {
        put(log, "user_agent.original", agent);
    }
    request.request_id.with_str(|id| put(log, "sidecar.request_id", id));
    details::caller(log, proto::ATTRIBUTES, &request.caller);
    context(log, request.trace, sampled(request.sampled));
}

fn audited(log: &mut Writer, record: &Audited) {
    record.request_id.with_str(|id| put(log, "sidecar.request_id", id));
    put(log, "sidecar.audit.event", &*record.event);
    put(log, "sidecar.audit.seq", record.seq);
    put(log, "sidecar.audit.stage", record.result.stage().as_str());
    put(log, "sidecar.audit.result", record.result.as_str());
    // Of a trace, and of none of its spans.
    log.bytes(proto::TRACE_ID, &record.trace_id.0);
}

fn diagnostic(log: &mut Writer, said: &Said) {
    for (key, datum) in &said.fields {
        let key = if *key == Said::STACK { STACK } else { *key };
        match datum {
            Datum::Text(text) => put(log, key, &**text),
            Datum::Signed(number) => put(log, key, *number),
            Datum::Unsigned(number) => put(log, key, *number),
            Datum::Float(number) => put(log, key, *number),
            Datum::Bool(is_so) => put(log, key, *is_so),
        }
    }
}

/// Appends which trace and span an entry belongs to.
fn context(log: &mut Writer, (trace, span): (TraceId, SpanId), flags: u32) {
    if flags > 0 {
        log.fixed32(proto::FLAGS, flags);
    }
    log.bytes(proto::TRACE_ID, &trace.0);
    log.bytes(proto::SPAN_ID, &span.0);
}

fn sampled(is_kept: bool) -> u32 {
    if is_kept { proto::SAMPLED } else { 0 }
}

fn severity(level: LogLevel) -> (u64, &'static str) {
    match level {
        LogLevel::Error => (proto::ERROR, "ERROR"),
        LogLevel::Warn => (proto::WARN, "WARN"),
        LogLevel::Info => (proto::INFO, "INFO"),
        LogLevel::Debug => (proto::DEBUG, "DEBUG"),
    }
}

fn nanos_since_1970(at: SystemTime) -> u64 {
    let since: Duration = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Appends an attribute to a log record.
#[inline]
fn put(log: &mut Writer, key: &str, value: impl Value) {
    attribute::write(log, proto::ATTRIBUTES, key, value);
}
