//! The same log records, made of the types that are generated from the protocol's own files: what the
//! writer is judged by.
//!
//! It is written for clarity alone, and so that it shares nothing with what it judges.

use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};

use crate::config::model::LogLevel;
use crate::http::sanitise;
use crate::record::{Caller, Level, Record, Refusal, StreamKind, User, Value};
use crate::telemetry::log::{Audited, Datum, Entry, Incoming, Said};

/// The log record of this entry.
pub(super) fn of(entry: &Entry) -> LogRecord {
    let severity = match entry.level() {
        LogLevel::Error => SeverityNumber::Error,
        LogLevel::Warn => SeverityNumber::Warn,
        LogLevel::Info => SeverityNumber::Info,
        LogLevel::Debug => SeverityNumber::Debug,
    };
    let since = entry.at().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let time = u64::try_from(since.as_nanos()).unwrap();
    let mut log = LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: time,
        severity_number: severity as i32,
        severity_text: entry.level().as_str().to_ascii_uppercase(),
        body: Some(AnyValue { value: Some(Any::StringValue(entry.message().to_owned())) }),
        ..LogRecord::default()
    };
    match entry {
        Entry::Completed(record) => completed(&mut log, record),
        Entry::Incoming(request) => incoming(&mut log, request),
        Entry::Audited(record) => audited(&mut log, record),
        Entry::Said(said) => log.attributes = said_fields(said),
    }
    log
}

fn completed(log: &mut LogRecord, record: &Record) {
    log.event_name = "sidecar.request.completed".to_owned();
    log.trace_id = record.trace.trace_id.0.to_vec();
    log.span_id = record.trace.server_span.0.to_vec();
    log.flags = u32::from(record.is_kept()) + 2 * u32::from(record.trace.is_random);
    let mut all = vec![
        text("http.request.method", record.method.as_str()),
        text("http.route", &record.route.template),
        text("url.scheme", record.scheme),
        text("url.path", record.url()),
        text("network.protocol.version", record.protocol),
        text("client.address", &sanitise::truncate_ip(record.client_ip).to_string()),
    ];
    all.extend(record.user_agent.as_deref().map(|agent| text("user_agent.original", agent)));
    all.extend(record.status.map(|code| number("http.response.status_code", u64::from(code))));
    all.push(number("http.request.body.size", record.bytes_in));
    all.push(number("http.response.body.size", record.bytes_out));
    all.push(text("sidecar.request_id", &record.request_id.with_str(str::to_owned)));
    let id = record.client_request_id.as_ref();
    all.extend(id.map(|id| text("sidecar.client_request_id", id.as_str())));
    all.extend(record.operation.as_ref().map(|name| text("sidecar.operation_id", name)));
    all.push(text("sidecar.outcome", record.outcome.as_str()));
    all.push(seconds("sidecar.duration", record.duration));
    all.extend(record.ttfb.map(|ttfb| seconds("sidecar.time_to_first_byte", ttfb)));
    all.push(seconds("sidecar.overhead", record.overhead));
    all.extend(record.upstream.map(|leg| seconds("sidecar.upstream.duration", leg.duration)));
    all.extend(record.error_type().map(|kind| text("error.type", kind.as_str())));
    if record.level() == Level::Error {
        all.push(text("error.message", &record.outcome.message(record.status)));
    }
    all.extend(record.stack.as_deref().map(|stack| text("exception.stacktrace", stack)));
    all.extend(record.rejection.map(|why| text("sidecar.identity.reason", why.as_str())));
    let refusal = record.would_refuse.map(Refusal::error_type);
    all.extend(refusal.map(|kind| text("sidecar.would_refuse", kind.as_str())));
    all.extend(record.limited_by.as_ref().map(|name| text("sidecar.rate_limit", name)));
    if let Some(stream) = &record.stream {
        all.push(text("sidecar.stream.kind", stream.kind.as_str()));
        if stream.kind != StreamKind::Opaque {
            all.push(number("sidecar.stream.events", stream.events));
        }
        all.extend(stream.first_event.map(|first| seconds("sidecar.stream.first_event", first)));
        let gap = stream.gaps.longest();
        all.extend(gap.map(|gap| seconds("sidecar.stream.longest_gap", gap)));
    }
    all.extend(caller(&record.caller));
    all.extend(record.facts.iter().map(|fact| match &fact.value {
        Value::Member(member) => text(&fact.name, member),
        Value::Length(count) | Value::Number(count) => number(&fact.name, *count),
        Value::Pseudonym(name) => text(&fact.name, &name.to_string()),
    }));
    log.attributes = all;
}

fn incoming(log: &mut LogRecord, request: &Incoming) {
    log.event_name = "sidecar.request.started".to_owned();
    log.trace_id = request.trace.0.0.to_vec();
    log.span_id = request.trace.1.0.to_vec();
    log.flags = u32::from(request.sampled);
    let mut all = vec![
        text("http.request.method", request.method.as_str()),
        text("http.route", &request.route.template),
        text("url.path", request.url()),
    ];
    all.extend(request.user_agent.as_deref().map(|agent| text("user_agent.original", agent)));
    all.push(text("sidecar.request_id", &request.request_id.with_str(str::to_owned)));
    all.extend(caller(&request.caller));
    log.attributes = all;
}

fn audited(log: &mut LogRecord, record: &Audited) {
    log.event_name = "sidecar.audit.recorded".to_owned();
    log.attributes = vec![
        text("sidecar.request_id", &record.request_id.with_str(str::to_owned)),
        text("sidecar.audit.event", &record.event),
        number("sidecar.audit.seq", record.seq),
        text("sidecar.audit.stage", record.result.stage().as_str()),
        text("sidecar.audit.result", record.result.as_str()),
    ];
    log.trace_id = record.trace_id.0.to_vec();
}

fn said_fields(said: &Said) -> Vec<KeyValue> {
    let fields = said.fields.iter().map(|(key, datum)| match datum {
        Datum::Text(value) if *key == "stack" => text("exception.stacktrace", value),
        Datum::Text(value) => text(key, value),
        Datum::Signed(value) => pair(key, Any::IntValue(*value)),
        Datum::Unsigned(value) => number(key, *value),
        Datum::Float(value) => pair(key, Any::DoubleValue(*value)),
        Datum::Bool(value) => pair(key, Any::BoolValue(*value)),
    });
    fields.collect()
}

fn caller(caller: &Caller) -> impl Iterator<Item = KeyValue> {
    let user = caller.user.as_ref().map(|user| match user {
        User::Hash(pseudonym) => text("user.hash", &pseudonym.to_string()),
        User::Raw(name) => text("user.id", name),
    });
    let tenant = caller.tenant.as_ref().map(|tenant| text("tenant.id", tenant));
    user.into_iter().chain(tenant)
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Any::StringValue(value.to_owned()))
}

fn number(key: &str, value: u64) -> KeyValue {
    pair(key, Any::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn seconds(key: &str, value: Duration) -> KeyValue {
    pair(key, Any::DoubleValue(value.as_secs_f64()))
}

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
