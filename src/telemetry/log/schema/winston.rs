//! The schema `winston`: flat names in camel case, as the service's own log has them.
//!
//! Field names and their order are the contract's. Optional fields without a value are left out, except
//! those a query expects on every line (`status`, `ttfb`, `userId`, `tenantId`, `userAgent`), which are
//! `null`. The pretty form borrows fields from here.

use crate::config::model::Service;
use crate::http::sanitise;
use crate::record::{Caller, Level, Record};
use crate::telemetry::json;
use crate::telemetry::log::entry::{Audited, Entry, Incoming, Said};
use crate::telemetry::log::fields::{Fields, key, micros};
use crate::telemetry::timestamp::Clock;

/// What every line has before its own fields: a diagnostic's field of such a name is called otherwise.
const OF_EVERY_LINE: [&str; 6] =
    ["timestamp", "level", "message", "service", "environment", "version"];

/// Writes lines of this schema.
#[derive(Debug)]
pub(in crate::telemetry::log) struct Winston {
    /// The fields that are the same on every line, already written.
    service: Vec<u8>,
}

impl Winston {
    pub(in crate::telemetry::log) fn json(service: &Service) -> Self {
        let mut fields = Fields { out: &mut Vec::new() };
        fields.text(key!("service"), &service.name);
        fields.text(key!("environment"), &service.environment);
        fields.text(key!("version"), &service.version);
        // What comes before them has its own way of ending: without the first comma.
        let service = fields.out.split_off(1);
        Self { service }
    }

    pub(in crate::telemetry::log) fn write(
        &self,
        entry: &Entry,
        clock: &mut Clock,
        out: &mut Vec<u8>,
    ) {
        open(entry, clock, out);
        out.push(b',');
        out.extend_from_slice(&self.service);
        let mut fields = Fields { out };
        match entry {
            Entry::Completed(record) => {
                request(&mut fields, record);
                answer(&mut fields, record);
                telemetry(&mut fields, record);
                own(&mut fields, record);
            }
            Entry::Incoming(begun) => incoming(&mut fields, begun),
            Entry::Audited(record) => audited(&mut fields, record),
            Entry::Said(diagnostic) => said(&mut fields, diagnostic),
        }
        out.extend_from_slice(b"}\n");
    }
}

/// When, how loud, and what.
fn open(entry: &Entry, clock: &mut Clock, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"timestamp\":\"");
    clock.write(entry.at(), out);
    out.extend_from_slice(b"\",\"level\":\"");
    out.extend_from_slice(entry.level().as_str().as_bytes());
    out.extend_from_slice(b"\",\"message\":");
    json::string(entry.message(), out);
}

fn request(fields: &mut Fields<'_>, record: &Record) {
    ids(fields, record);
    fields.token(key!("method"), record.method.as_str().as_bytes());
    fields.key(key!("url"));
    let start = fields.out.len();
    json::string(record.url(), fields.out);
    let url = start..fields.out.len();
    // Where the route is known, it is all there is of the URL.
    if record.shape.is_none() {
        fields.key(key!("route"));
        fields.out.extend_from_within(url);
    } else {
        fields.text(key!("route"), &record.route.template);
    }
    operation(fields, record);
}

pub(super) fn ids(fields: &mut Fields<'_>, record: &Record) {
    record.request_id.with_str(|id| fields.token(key!("requestId"), id.as_bytes()));
    if let Some(id) = &record.client_request_id {
        fields.token(key!("clientRequestId"), id.as_str().as_bytes());
    }
}

pub(super) fn operation(fields: &mut Fields<'_>, record: &Record) {
    if let Some(operation) = &record.operation {
        fields.text(key!("operationId"), operation);
    }
}

fn answer(fields: &mut Fields<'_>, record: &Record) {
    match record.status {
        Some(status) => fields.number(key!("status"), u64::from(status)),
        None => fields.null(key!("status")),
    }
    fields.millis(key!("duration"), record.duration);
    match record.ttfb {
        Some(ttfb) => fields.millis(key!("ttfb"), ttfb),
        None => fields.null(key!("ttfb")),
    }
    client(fields, &record.caller, record.user_agent.as_deref());
    traffic(fields, record);
    fields.token(key!("outcome"), record.outcome.as_str().as_bytes());
    refusal(fields, record);
}

/// From where, and how much.
pub(super) fn traffic(fields: &mut Fields<'_>, record: &Record) {
    fields.address(key!("clientIp"), sanitise::truncate_ip(record.client_ip));
    fields.number(key!("bytesIn"), record.bytes_in);
    fields.number(key!("bytesOut"), record.bytes_out);
    fields.bool(key!("stream"), record.stream.is_some());
    // In a tunnel or behind a coding nobody sees messages: none is not the same as unknown.
    if let Some(stream) = record.stream.as_ref().filter(|stream| stream.kind.is_counted()) {
        fields.number(key!("events"), stream.events);
    }
}

/// What broke, or who refused or would have.
pub(super) fn refusal(fields: &mut Fields<'_>, record: &Record) {
    if let Some(error_type) = record.error_type() {
        fields.text(key!("errorType"), error_type.as_str());
    }
    if let Some(rejection) = record.rejection {
        fields.token(key!("identityReason"), rejection.as_str().as_bytes());
    }
    if let Some(refusal) = record.would_refuse {
        fields.token(key!("wouldRefuse"), refusal.error_type().as_str().as_bytes());
    }
    if let Some(limit) = &record.limited_by {
        fields.text(key!("rateLimit"), limit);
    }
}

/// Who asks: the fields of every line about a request.
fn client(fields: &mut Fields<'_>, caller: &Caller, user_agent: Option<&str>) {
    match &caller.user {
        Some(user) => user.with_str(|user| fields.text(key!("userId"), user)),
        None => fields.null(key!("userId")),
    }
    match &caller.tenant {
        Some(tenant) => fields.text(key!("tenantId"), tenant),
        None => fields.null(key!("tenantId")),
    }
    match user_agent {
        Some(agent) => fields.text(key!("userAgent"), agent),
        None => fields.null(key!("userAgent")),
    }
}

/// Who asks, as far as that is known.
pub(super) fn who(fields: &mut Fields<'_>, caller: &Caller, user_agent: Option<&str>) {
    if let Some(user) = &caller.user {
        user.with_str(|user| fields.text(key!("userId"), user));
    }
    if let Some(tenant) = &caller.tenant {
        fields.text(key!("tenantId"), tenant);
    }
    if let Some(agent) = user_agent {
        fields.text(key!("userAgent"), agent);
    }
}

/// What the configuration takes out of a request.
pub(super) fn own(fields: &mut Fields<'_>, record: &Record) {
    for header in &record.headers {
        fields.name("headers.", &header.name);
        json::string(&header.text, fields.out);
    }
    for fact in &record.facts {
        fields.name("", &fact.name);
        fields.value(&fact.value);
    }
}

pub(super) fn telemetry(fields: &mut Fields<'_>, record: &Record) {
    fields.token(key!("traceId"), &record.trace.trace_id.hex());
    fields.token(key!("spanId"), &record.trace.server_span.hex());
    fields.bool(key!("sampled"), record.is_kept());
    if let Some(leg) = record.upstream {
        fields.millis(key!("upstreamMs"), leg.duration);
    }
    fields.number(key!("overheadUs"), micros(record.overhead));
    if record.level() == Level::Error {
        if let Some(error_type) = record.error_type() {
            fields.text(key!("error.type"), error_type.as_str());
        }
        fields.text(key!("error.message"), &record.outcome.message(record.status));
        if let Some(stack) = &record.stack {
            fields.text(key!("stack"), stack);
        }
    }
}

fn incoming(fields: &mut Fields<'_>, incoming: &Incoming) {
    incoming.request_id.with_str(|id| fields.token(key!("requestId"), id.as_bytes()));
    fields.token(key!("method"), incoming.method.as_str().as_bytes());
    fields.text(key!("url"), incoming.url());
    client(fields, &incoming.caller, incoming.user_agent.as_deref());
}

pub(super) fn audited(fields: &mut Fields<'_>, audited: &Audited) {
    fields.text(key!("event"), &audited.event);
    fields.token(key!("stage"), audited.result.stage().as_str().as_bytes());
    fields.token(key!("result"), audited.result.as_str().as_bytes());
    fields.number(key!("seq"), audited.seq);
    audited.request_id.with_str(|id| fields.token(key!("requestId"), id.as_bytes()));
    fields.token(key!("traceId"), &audited.trace_id.hex());
}

pub(super) fn said(fields: &mut Fields<'_>, said: &Said) {
    for (name, datum) in &said.fields {
        let prefix = if OF_EVERY_LINE.contains(name) { "field." } else { "" };
        fields.name(prefix, name);
        fields.datum(datum);
    }
}
