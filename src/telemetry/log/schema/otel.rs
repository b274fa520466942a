//! The schema `otel`: the names of the OpenTelemetry log data model, and in `Attributes` those of its
//! semantic conventions.
//!
//! A request's attributes are called as those of its span: `url.path` is the template, times are in
//! seconds, and what the conventions have no name for begins with `sidecar.`. The time is in nanoseconds
//! since 1970 and a text, as OTLP's JSON has it, because no JSON number holds it exactly.

use std::time::{SystemTime, UNIX_EPOCH};

use super::alike;
use crate::config::model::{LogLevel, Service};
use crate::http::sanitise;
use crate::http::traceparent::{SpanId, TraceId};
use crate::record::{Caller, Record};
use crate::telemetry::json;
use crate::telemetry::log::entry::{Audited, Entry, Incoming, Said};
use crate::telemetry::log::fields::{Fields, key};
use crate::telemetry::resource;

/// Writes lines of this schema.
#[derive(Debug)]
pub(in crate::telemetry::log) struct Otel {
    /// The `Resource`, already written.
    resource: Vec<u8>,
}

impl Otel {
    pub(in crate::telemetry::log) fn new(service: &Service) -> Self {
        let mut resource = Vec::new();
        Fields { out: &mut resource }.object(key!("Resource"), |fields| {
            for (name, value) in resource::attributes(service) {
                fields.name("", &name);
                json::string(&value, fields.out);
            }
        });
        Self { resource }
    }

    pub(in crate::telemetry::log) fn write(&self, entry: &Entry, out: &mut Vec<u8>) {
        let (text, number) = severity(entry.level());
        out.extend_from_slice(b"{\"Timestamp\":\"");
        let mut fields = Fields { out };
        fields.digits(nanos(entry.at()));
        fields.out.push(b'"');
        fields.token(key!("SeverityText"), text);
        fields.number(key!("SeverityNumber"), number);
        fields.text(key!("Body"), entry.message());
        if let Some(trace) = trace(entry) {
            fields.token(key!("TraceId"), &trace.hex());
        }
        if let Some((span, is_sampled)) = span(entry) {
            fields.token(key!("SpanId"), &span.hex());
            fields.number(key!("TraceFlags"), u64::from(is_sampled));
        }
        fields.out.extend_from_slice(&self.resource);
        fields.object(key!("Attributes"), |fields| match entry {
            Entry::Completed(record) => {
                request(fields, record);
                answer(fields, record);
                for header in &record.headers {
                    fields.name("http.request.header.", &header.name);
                    fields.list_of_one(&header.text);
                }
                for fact in &record.facts {
                    fields.name("", &fact.name);
                    fields.value(&fact.value);
                }
            }
            Entry::Incoming(begun) => incoming(fields, begun),
            Entry::Audited(record) => audited(fields, record),
            Entry::Said(diagnostic) => said(fields, diagnostic),
        });
        out.extend_from_slice(b"}\n");
    }
}

/// The short name of a severity and its number (log data model, `SeverityNumber`).
fn severity(level: LogLevel) -> (&'static [u8], u64) {
    match level {
        LogLevel::Error => (b"ERROR", 17),
        LogLevel::Warn => (b"WARN", 13),
        LogLevel::Info => (b"INFO", 9),
        LogLevel::Debug => (b"DEBUG", 5),
    }
}

/// The trace, as far as there is one.
fn trace(entry: &Entry) -> Option<TraceId> {
    match entry {
        Entry::Completed(record) => Some(record.trace.trace_id),
        Entry::Incoming(begun) => Some(begun.trace.0),
        Entry::Audited(record) => Some(record.trace_id),
        Entry::Said(_) => None,
    }
}

/// The span, and whether it leaves, as far as that is known.
fn span(entry: &Entry) -> Option<(SpanId, bool)> {
    match entry {
        Entry::Completed(record) => Some((record.trace.server_span, record.is_kept())),
        Entry::Incoming(begun) => Some((begun.trace.1, begun.sampled)),
        Entry::Audited(_) | Entry::Said(_) => None,
    }
}

fn request(fields: &mut Fields<'_>, record: &Record) {
    record.request_id.with_str(|id| fields.token(key!("sidecar.request_id"), id.as_bytes()));
    if let Some(id) = &record.client_request_id {
        fields.token(key!("sidecar.client_request_id"), id.as_str().as_bytes());
    }
    fields.token(key!("http.request.method"), record.method.as_str().as_bytes());
    fields.text(key!("http.route"), &record.route.template);
    fields.text(key!("url.path"), record.url());
    fields.token(key!("url.scheme"), record.scheme.as_bytes());
    fields.token(key!("network.protocol.version"), record.protocol.as_bytes());
    if let Some(operation) = &record.operation {
        fields.text(key!("sidecar.operation_id"), operation);
    }
    client(fields, &record.caller, record.user_agent.as_deref());
    fields.address(key!("client.address"), sanitise::truncate_ip(record.client_ip));
    fields.number(key!("http.request.body.size"), record.bytes_in);
}

fn answer(fields: &mut Fields<'_>, record: &Record) {
    if let Some(status) = record.status {
        fields.number(key!("http.response.status_code"), u64::from(status));
    }
    fields.number(key!("http.response.body.size"), record.bytes_out);
    fields.seconds(key!("sidecar.duration"), record.duration);
    alike::course(fields, record);
    fields.token(key!("sidecar.outcome"), record.outcome.as_str().as_bytes());
    alike::verdicts(fields, record);
    if let Some(stack) = &record.stack {
        fields.text(key!("exception.stacktrace"), stack);
    }
    fields.bool(key!("sidecar.sampled"), record.is_kept());
}

/// Who asks, under the name that says whether it is a pseudonym.
fn client(fields: &mut Fields<'_>, caller: &Caller, user_agent: Option<&str>) {
    alike::user(fields, caller);
    if let Some(tenant) = &caller.tenant {
        fields.text(key!("tenant.id"), tenant);
    }
    if let Some(agent) = user_agent {
        fields.text(key!("user_agent.original"), agent);
    }
}

fn incoming(fields: &mut Fields<'_>, incoming: &Incoming) {
    incoming.request_id.with_str(|id| fields.token(key!("sidecar.request_id"), id.as_bytes()));
    fields.token(key!("http.request.method"), incoming.method.as_str().as_bytes());
    fields.text(key!("http.route"), &incoming.route.template);
    fields.text(key!("url.path"), incoming.url());
    client(fields, &incoming.caller, incoming.user_agent.as_deref());
}

fn audited(fields: &mut Fields<'_>, audited: &Audited) {
    audited.request_id.with_str(|id| fields.token(key!("sidecar.request_id"), id.as_bytes()));
    fields.text(key!("sidecar.audit.event"), &audited.event);
    fields.number(key!("sidecar.audit.seq"), audited.seq);
    let result = audited.result;
    fields.token(key!("sidecar.audit.stage"), result.stage().as_str().as_bytes());
    fields.token(key!("sidecar.audit.result"), result.as_str().as_bytes());
}

fn said(fields: &mut Fields<'_>, said: &Said) {
    for (name, datum) in &said.fields {
        fields.name("", if *name == Said::STACK { "exception.stacktrace" } else { name });
        fields.datum(datum);
    }
}

fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
