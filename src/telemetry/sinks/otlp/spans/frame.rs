//! What every span of a record begins and ends with: its ids, kind and times; its status and flags.

use std::time::{Duration, SystemTime};

use super::proto;
use crate::http::traceparent::SpanId;
use crate::http::tracestate::TraceState;
use crate::record::Record;
use crate::telemetry::sinks::otlp::wire::Writer;

/// What the spans of one record have in common.
pub(super) struct Frame<'a> {
    pub(super) record: &'a Record,
    /// What the caller's `tracestate` says.
    state: &'a str,
    /// In nanoseconds since 1970.
    pub(super) started: u64,
    pub(super) ended: u64,
}

/// How a span ended.
#[derive(Clone, Copy)]
pub(super) enum Status<'a> {
    Unset,
    Ok,
    /// With a message, which may be empty.
    Error(&'a str),
}

/// Where the parent of a span is.
#[derive(Clone, Copy)]
pub(super) enum Parent {
    /// In this process, or nowhere.
    Here,
    /// In a caller that is believed.
    Remote,
}

impl<'a> Frame<'a> {
    /// Opens the spans of this record.
    pub(super) fn of(record: &'a Record) -> Self {
        let since_1970 = record.started.duration_since(SystemTime::UNIX_EPOCH);
        let started = nanos(since_1970.unwrap_or_default());
        Self {
            record,
            state: record.trace.state.as_ref().map_or("", TraceState::as_str),
            started,
            ended: started.saturating_add(nanos(record.duration)),
        }
    }

    /// The first fields of a span: who it is, and whose child.
    pub(super) fn ids(&self, span: &mut Writer, id: SpanId, parent: Option<SpanId>) {
        span.bytes(proto::TRACE_ID, &self.record.trace.trace_id.0);
        span.bytes(proto::SPAN_ID, &id.0);
        if !self.state.is_empty() {
            span.text(proto::TRACE_STATE, [self.state]);
        }
        if let Some(parent) = parent {
            span.bytes(proto::PARENT_SPAN_ID, &parent.0);
        }
    }

    /// The last fields of a span: how it ended, and its flags.
    pub(super) fn end(&self, span: &mut Writer, status: Status<'_>, parent: Parent) {
        span.message(proto::STATUS, |out| match status {
            Status::Unset => {}
            Status::Ok => out.uint(proto::STATUS_CODE, proto::OK),
            Status::Error(message) => {
                if !message.is_empty() {
                    out.text(proto::STATUS_MESSAGE, [message]);
                }
                out.uint(proto::STATUS_CODE, proto::ERROR);
            }
        });
        let trace = &self.record.trace;
        let sampled = if trace.sampled { proto::SAMPLED } else { 0 };
        let random = if trace.is_random { proto::RANDOM } else { 0 };
        let remote = match parent {
            Parent::Here => 0,
            Parent::Remote => proto::REMOTE,
        };
        span.fixed32(proto::FLAGS, sampled | random | proto::HAS_REMOTE | remote);
    }
}

/// What follows a span's name.
pub(super) fn kind_and_times(span: &mut Writer, kind: u64, started: u64, ended: u64) {
    span.uint(proto::KIND, kind);
    span.fixed64(proto::START_TIME, started);
    span.fixed64(proto::END_TIME, ended);
}

/// A duration as OTLP has it.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
