//! What an exchange's first inner span says beyond HTTP: its captured facts. And of a stream, how it came.
//!
//! Streams have no attributes in the semantic conventions, so those here are of our own namespace. Times
//! are in seconds, as the conventions have theirs.

use super::put;
use crate::record::{Caller, Fact, Stream, User, Value};
use crate::telemetry::sinks::otlp::wire::Writer;

/// Appends facts, each under its configured name.
pub(super) fn facts(span: &mut Writer, facts: &[Fact]) {
    for fact in facts {
        match &fact.value {
            Value::Member(member) => put(span, &fact.name, &**member),
            Value::Length(count) | Value::Number(count) => put(span, &fact.name, *count),
        }
    }
}

/// Appends who called: a pseudonym or the user itself, each under the name that says which.
pub(super) fn caller(span: &mut Writer, caller: &Caller) {
    match &caller.user {
        Some(user @ User::Hash(_)) => user.with_str(|user| put(span, "user.hash", user)),
        Some(user @ User::Raw(_)) => user.with_str(|user| put(span, "user.id", user)),
        None => {}
    }
    if let Some(tenant) = &caller.tenant {
        put(span, "tenant.id", &**tenant);
    }
}

/// Appends what was measured of a stream.
pub(super) fn stream(span: &mut Writer, stream: &Stream) {
    put(span, "sidecar.stream.kind", stream.kind.as_str());
    if stream.kind.is_counted() {
        put(span, "sidecar.stream.events", stream.events);
    }
    if let Some(first) = stream.first_event {
        put(span, "sidecar.stream.first_event", first.as_secs_f64());
    }
    if let Some(longest) = stream.gaps.longest() {
        put(span, "sidecar.stream.longest_gap", longest.as_secs_f64());
    }
}
