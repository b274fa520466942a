//! What spans say beyond HTTP: of the first inner one its captured facts, of a stream how it came, and of a
//! call to the shared rate-limit store that it was made.
//!
//! Streams have no attributes in the semantic conventions, so those here are of our own namespace. Times
//! are in seconds, as the conventions have theirs.

use super::frame::{Frame, Status, kind_and_times, nanos};
use super::{proto, put};
use crate::record::{Fact, StoreCall, StoreEnding, Stream, Value};
use crate::telemetry::sinks::otlp::wire::Writer;

/// Appends facts, each under its configured name.
pub(super) fn facts(span: &mut Writer, facts: &[Fact]) {
    for fact in facts {
        match &fact.value {
            Value::Member(member) => put(span, &fact.name, &**member),
            Value::Length(count) | Value::Number(count) => put(span, &fact.name, *count),
            Value::Pseudonym(name) => name.with_str(|digits| put(span, &fact.name, digits)),
        }
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

/// A call to the shared rate-limit store, by the conventions for Redis. Neither key nor value is there.
pub(super) fn store_call(span: &mut Writer, frame: &Frame<'_>, call: &StoreCall) {
    frame.ids(span, call.span, Some(frame.record.trace.server_span));
    span.text(proto::NAME, ["EVALSHA"]);
    let started = frame.started.saturating_add(nanos(call.offset));
    let ended = started.saturating_add(nanos(call.duration));
    kind_and_times(span, proto::CLIENT, started, ended);
    put(span, "db.system.name", "redis");
    put(span, "db.operation.name", "EVALSHA");
    let error_type = match call.ending {
        StoreEnding::Answered => return frame.end(span, Status::Unset, false),
        StoreEnding::Late => "timeout",
        StoreEnding::Failed => "_OTHER",
    };
    put(span, "error.type", error_type);
    frame.end(span, Status::Error(""), false);
}
