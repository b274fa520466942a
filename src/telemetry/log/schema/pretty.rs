//! The form for people: `TIMESTAMP [level]: message {fields}`.
//!
//! The fields are those of `winston`, in the order in which people ask: what was
//! wanted, what became of it, who it was. What is the same on every line is left out, and what there is
//! not. It promises one printable line and an object that can be read, no order and no completeness:
//! whoever parses lines wants JSON.

use super::winston;
use crate::record::{Outcome, Record};
use crate::telemetry::json;
use crate::telemetry::log::entry::{Entry, Incoming};
use crate::telemetry::log::fields::{Fields, key};
use crate::telemetry::timestamp::Clock;

/// Appends the entry's line.
pub(in crate::telemetry::log) fn write(entry: &Entry, clock: &mut Clock, out: &mut Vec<u8>) {
    clock.write(entry.at(), out);
    out.extend_from_slice(b" [");
    out.extend_from_slice(entry.level().as_str().as_bytes());
    out.extend_from_slice(b"]: ");
    json::inside(entry.message(), out);
    let end = out.len();
    out.push(b' ');
    Fields { out }.braced(|fields| match entry {
        Entry::Completed(record) => completed(fields, record),
        Entry::Incoming(begun) => incoming(fields, begun),
        Entry::Audited(record) => winston::audited(fields, record),
        Entry::Said(diagnostic) => winston::said(fields, diagnostic),
    });
    if out.ends_with(b" {}") {
        out.truncate(end);
    }
    out.push(b'\n');
}

fn completed(fields: &mut Fields<'_>, record: &Record) {
    fields.token(key!("method"), record.method.as_str().as_bytes());
    fields.text(key!("url"), record.url());
    if let Some(status) = record.status {
        fields.number(key!("status"), u64::from(status));
    }
    fields.millis(key!("duration"), record.duration);
    if record.outcome != Outcome::Served {
        fields.token(key!("outcome"), record.outcome.as_str().as_bytes());
    }
    winston::refusal(fields, record);
    winston::who(fields, &record.caller, record.user_agent.as_deref());
    winston::traffic(fields, record);
    if let Some(ttfb) = record.ttfb {
        fields.millis(key!("ttfb"), ttfb);
    }
    winston::own(fields, record);
    if record.shape.is_some() {
        fields.text(key!("route"), &record.route.template);
    }
    winston::operation(fields, record);
    winston::ids(fields, record);
    winston::telemetry(fields, record);
}

fn incoming(fields: &mut Fields<'_>, begun: &Incoming) {
    fields.token(key!("method"), begun.method.as_str().as_bytes());
    fields.text(key!("url"), begun.url());
    winston::who(fields, &begun.caller, begun.user_agent.as_deref());
    begun.request_id.with_str(|id| fields.token(key!("requestId"), id.as_bytes()));
}
