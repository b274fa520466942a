//! Field numbers of `opentelemetry/proto/trace/v1/trace.proto`, and its enums: those that are written.

/// Of `ScopeSpans`.
pub(super) const SPANS: u32 = 2;

/// Of `Span`, and the ids also of `Span.Link`.
pub(super) const TRACE_ID: u32 = 1;
pub(super) const SPAN_ID: u32 = 2;
pub(super) const TRACE_STATE: u32 = 3;
pub(super) const PARENT_SPAN_ID: u32 = 4;
pub(super) const NAME: u32 = 5;
pub(super) const KIND: u32 = 6;
pub(super) const START_TIME: u32 = 7;
pub(super) const END_TIME: u32 = 8;
pub(super) const ATTRIBUTES: u32 = 9;
pub(super) const EVENTS: u32 = 11;
pub(super) const LINKS: u32 = 13;
pub(super) const STATUS: u32 = 15;
pub(super) const FLAGS: u32 = 16;

pub(super) const EVENT_TIME: u32 = 1;
pub(super) const EVENT_NAME: u32 = 2;
pub(super) const EVENT_ATTRIBUTES: u32 = 3;

pub(super) const LINK_FLAGS: u32 = 6;

pub(super) const STATUS_MESSAGE: u32 = 2;
pub(super) const STATUS_CODE: u32 = 3;
pub(super) const OK: u64 = 1;
pub(super) const ERROR: u64 = 2;

pub(super) const INTERNAL: u64 = 1;
pub(super) const SERVER: u64 = 2;
pub(super) const CLIENT: u64 = 3;

/// Of flags: the trace is sampled, its id is random, `REMOTE` is known, the parent (or link) is in another process.
pub(super) const SAMPLED: u32 = 0x001;
pub(super) const RANDOM: u32 = 0x002;
pub(super) const HAS_REMOTE: u32 = 0x100;
pub(super) const REMOTE: u32 = 0x200;
