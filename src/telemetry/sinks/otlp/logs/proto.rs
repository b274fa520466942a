//! Field numbers of `opentelemetry/proto/logs/v1/logs.proto`, and its enums: those that are written.

/// Of `ScopeLogs`.
pub(super) const LOG_RECORDS: u32 = 2;

/// Of `LogRecord`, in ascending order.
pub(super) const TIME: u32 = 1;
pub(super) const SEVERITY_NUMBER: u32 = 2;
pub(super) const SEVERITY_TEXT: u32 = 3;
pub(super) const BODY: u32 = 5;
pub(super) const ATTRIBUTES: u32 = 6;
pub(super) const FLAGS: u32 = 8;
pub(super) const TRACE_ID: u32 = 9;
pub(super) const SPAN_ID: u32 = 10;
pub(super) const OBSERVED_TIME: u32 = 11;
pub(super) const EVENT_NAME: u32 = 12;

/// Of `AnyValue`.
pub(super) const STRING_VALUE: u32 = 1;

pub(super) const DEBUG: u64 = 5;
pub(super) const INFO: u64 = 9;
pub(super) const WARN: u64 = 13;
pub(super) const ERROR: u64 = 17;

/// Of flags: the spans of the trace are kept; its id is random.
pub(super) const SAMPLED: u32 = 0x1;
pub(super) const RANDOM: u32 = 0x2;
