//! The span of a call to the shared rate-limit store.

use super::exchange::put;
use super::frame::{Frame, Parent, Status, kind_and_times, nanos};
use super::proto;
use crate::record::{StoreCall, StoreEnding};
use crate::telemetry::sinks::otlp::wire::Writer;

/// A call to the shared rate-limit store, by the conventions for Redis. Neither key nor value is there.
pub(super) fn write(span: &mut Writer, frame: &Frame<'_>, call: &StoreCall) {
    frame.ids(span, call.span, Some(frame.record.trace.server_span));
    span.text(proto::NAME, ["EVALSHA"]);
    let started = frame.started.saturating_add(nanos(call.offset));
    let ended = started.saturating_add(nanos(call.duration));
    kind_and_times(span, proto::CLIENT, started, ended);
    put(span, "db.system.name", "redis");
    put(span, "db.operation.name", "EVALSHA");
    let error_type = match call.ending {
        StoreEnding::Answered => return frame.end(span, Status::Unset, Parent::Here),
        StoreEnding::Late => "timeout",
        StoreEnding::Failed => "_OTHER",
    };
    put(span, "error.type", error_type);
    frame.end(span, Status::Error(""), Parent::Here);
}
