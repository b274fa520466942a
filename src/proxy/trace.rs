//! Which trace an exchange belongs to, decided before anything else happens.
//!
//! A believed caller's `traceparent` is continued, its decision kept (parent-based). Anybody else
//! gets a new trace with a link to what it sent, and its `tracestate` is dropped, so a client can
//! neither force nor suppress tracing. The head decision uses the ratio rule of OpenTelemetry.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::plan::Plan;
use super::survey::Survey;
use crate::config::model::Trust;
use crate::http::traceparent::{SpanId, TraceId, TraceParent, TraceState};
use crate::record::Trace;

/// The W3C header.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Its companion.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Opens the trace of an exchange.
pub fn open(plan: &Plan, survey: &Survey, headers: &HeaderMap) -> Trace {
    let is_believed = match plan.trust {
        Trust::Always => true,
        Trust::TrustedProxies => survey.is_trusted,
        Trust::Never => false,
    };
    let sent = survey.parent;
    let believed = sent.filter(|_| is_believed);
    let trace_id = believed.map_or_else(TraceId::generate, |parent| parent.trace_id);
    Trace {
        trace_id,
        server_span: SpanId::generate(),
        client_span: SpanId::generate(),
        internal_span: SpanId::generate(),
        parent: believed.map(|parent| parent.span_id),
        link: sent.filter(|_| !is_believed).map(|parent| (parent.trace_id, parent.span_id)),
        sampled: believed
            .map_or_else(|| trace_id.is_below(plan.sampling_threshold), |parent| parent.sampled),
        state: believed.and_then(|_| {
            TraceState::parse(headers.get_all(TRACESTATE).iter().map(HeaderValue::as_bytes))
        }),
    }
}

/// Writes the context the upstream sees: our CLIENT span as the parent.
pub fn propagate(trace: &Trace, headers: &mut HeaderMap) {
    let parent = TraceParent {
        trace_id: trace.trace_id,
        span_id: trace.client_span,
        sampled: trace.sampled,
    };
    if let Ok(value) = HeaderValue::from_bytes(&parent.encode()) {
        headers.insert(TRACEPARENT, value);
    }
    if let Some(value) = trace.state.as_ref().and_then(|s| HeaderValue::from_str(s.as_str()).ok()) {
        headers.insert(TRACESTATE, value);
    }
}
