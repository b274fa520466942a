//! The schema `ecs`: the names of the Elastic Common Schema, each with its dots, as the ECS logging
//! specification has them.
//!
//! Captured facts and the fields of diagnostics are `labels.*`, where ECS wants no objects, so a dot in
//! their names is `_`. What ECS has no name for begins with `sidecar.`, and its times are in seconds;
//! `event.duration` is in nanoseconds, as ECS wants it.

use super::alike;
use crate::config::model::Service;
use crate::http::sanitise;
use crate::record::{Caller, Level, Outcome, Record};
use crate::telemetry::json;
use crate::telemetry::log::entry::{Audited, Entry, Incoming, Said};
use crate::telemetry::log::fields::{Fields, key};
use crate::telemetry::timestamp::Clock;

/// The version of ECS whose names these are.
const VERSION: &str = "8.17.0";

/// Writes lines of this schema.
#[derive(Debug)]
pub(in crate::telemetry::log) struct Ecs {
    /// The fields that are the same on every line, already written.
    service: Vec<u8>,
}

impl Ecs {
    pub(in crate::telemetry::log) fn new(service: &Service) -> Self {
        let mut out = Vec::new();
        let mut fields = Fields { out: &mut out };
        fields.text(key!("ecs.version"), VERSION);
        fields.text(key!("service.name"), &service.name);
        fields.text(key!("service.environment"), &service.environment);
        fields.text(key!("service.version"), &service.version);
        Self { service: out }
    }

    pub(in crate::telemetry::log) fn write(
        &self,
        entry: &Entry,
        clock: &mut Clock,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b"{\"@timestamp\":\"");
        clock.write(entry.at(), out);
        out.extend_from_slice(b"\",\"log.level\":\"");
        out.extend_from_slice(entry.level().as_str().as_bytes());
        out.extend_from_slice(b"\",\"message\":");
        json::string(entry.message(), out);
        out.extend_from_slice(&self.service);
        let mut fields = Fields { out };
        fields.token(key!("event.dataset"), dataset(entry));
        match entry {
            Entry::Completed(record) => {
                request(&mut fields, record);
                answer(&mut fields, record);
                for header in &record.headers {
                    fields.name("http.request.headers.", &header.name);
                    json::string(&header.text, fields.out);
                }
                for fact in &record.facts {
                    fields.flat_name("labels.", &fact.name);
                    fields.value(&fact.value);
                }
            }
            Entry::Incoming(begun) => incoming(&mut fields, begun),
            Entry::Audited(record) => audited(&mut fields, record),
            Entry::Said(diagnostic) => said(&mut fields, diagnostic),
        }
        out.extend_from_slice(b"}\n");
    }
}

fn dataset(entry: &Entry) -> &'static [u8] {
    match entry {
        Entry::Completed(_) | Entry::Incoming(_) => b"sidecar.access",
        Entry::Audited(_) => b"sidecar.audit",
        Entry::Said(_) => b"sidecar.log",
    }
}

fn request(fields: &mut Fields<'_>, record: &Record) {
    record.request_id.with_str(|id| fields.token(key!("http.request.id"), id.as_bytes()));
    if let Some(id) = &record.client_request_id {
        fields.token(key!("sidecar.client_request_id"), id.as_str().as_bytes());
    }
    fields.token(key!("http.request.method"), record.method.as_str().as_bytes());
    fields.token(key!("http.version"), record.protocol.as_bytes());
    fields.text(key!("url.path"), record.url());
    fields.token(key!("url.scheme"), record.scheme.as_bytes());
    fields.text(key!("sidecar.route"), &record.route.template);
    if let Some(operation) = &record.operation {
        fields.text(key!("sidecar.operation_id"), operation);
    }
    client(fields, &record.caller, record.user_agent.as_deref());
    fields.address(key!("client.ip"), sanitise::truncate_ip(record.client_ip));
    fields.number(key!("http.request.body.bytes"), record.bytes_in);
    fields.token(key!("trace.id"), &record.trace.trace_id.hex());
    fields.token(key!("span.id"), &record.trace.server_span.hex());
    fields.bool(key!("sidecar.sampled"), record.is_kept());
}

fn answer(fields: &mut Fields<'_>, record: &Record) {
    if let Some(status) = record.status {
        fields.number(key!("http.response.status_code"), u64::from(status));
    }
    fields.number(key!("http.response.body.bytes"), record.bytes_out);
    let took = u64::try_from(record.duration.as_nanos()).unwrap_or(u64::MAX);
    fields.number(key!("event.duration"), took);
    fields.token(key!("event.outcome"), outcome(record));
    fields.token(key!("sidecar.outcome"), record.outcome.as_str().as_bytes());
    alike::course(fields, record);
    alike::verdicts(fields, record);
    if let Some(stack) = &record.stack {
        fields.text(key!("error.stack_trace"), stack);
    }
}

/// What ECS calls the outcome: of a client that left nobody knows what it would have been.
fn outcome(record: &Record) -> &'static [u8] {
    match (record.outcome, record.level()) {
        (Outcome::Gone { .. }, _) => b"unknown",
        (_, Level::Info) => b"success",
        (_, Level::Warn | Level::Error) => b"failure",
    }
}

/// Who asks. ECS has the same two names of a user as we have, and calls a tenant an organization.
fn client(fields: &mut Fields<'_>, caller: &Caller, user_agent: Option<&str>) {
    alike::user(fields, caller);
    if let Some(tenant) = &caller.tenant {
        fields.text(key!("organization.id"), tenant);
    }
    if let Some(agent) = user_agent {
        fields.text(key!("user_agent.original"), agent);
    }
}

fn incoming(fields: &mut Fields<'_>, incoming: &Incoming) {
    incoming.request_id.with_str(|id| fields.token(key!("http.request.id"), id.as_bytes()));
    fields.token(key!("http.request.method"), incoming.method.as_str().as_bytes());
    fields.text(key!("url.path"), incoming.url());
    fields.text(key!("sidecar.route"), &incoming.route.template);
    client(fields, &incoming.caller, incoming.user_agent.as_deref());
    fields.token(key!("trace.id"), &incoming.trace.0.hex());
    fields.token(key!("span.id"), &incoming.trace.1.hex());
}

fn audited(fields: &mut Fields<'_>, audited: &Audited) {
    audited.request_id.with_str(|id| fields.token(key!("http.request.id"), id.as_bytes()));
    fields.text(key!("event.action"), &audited.event);
    fields.number(key!("event.sequence"), audited.seq);
    let result = audited.result;
    fields.token(key!("sidecar.audit.stage"), result.stage().as_str().as_bytes());
    fields.token(key!("sidecar.audit.result"), result.as_str().as_bytes());
    fields.token(key!("trace.id"), &audited.trace_id.hex());
}

fn said(fields: &mut Fields<'_>, said: &Said) {
    for (name, datum) in &said.fields {
        match *name {
            Said::ERROR_TYPE | Said::ERROR_MESSAGE => fields.name("", name),
            Said::STACK => fields.name("", "error.stack_trace"),
            name => fields.flat_name("labels.", name),
        }
        fields.datum(datum);
    }
}
