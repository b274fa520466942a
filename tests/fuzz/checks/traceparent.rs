//! A trace context that is believed can be written again, and what is written is read the same.

use vital_sidecar::http::traceparent::TraceParent;
use vital_sidecar::http::tracestate::TraceState;

/// Checks any bytes as `traceparent`, and their lines as `tracestate`.
pub(crate) fn check(bytes: &[u8]) {
    if let Some(parent) = TraceParent::parse(bytes) {
        assert_ne!((parent.trace_id.0, parent.span_id.0), ([0; 16], [0; 8]));
        let written = parent.encode();
        let again = TraceParent::parse(&written).expect("what we write is valid");
        assert_eq!((again.trace_id, again.span_id), (parent.trace_id, parent.span_id));
        assert_eq!((again.sampled, again.is_random), (parent.sampled, parent.is_random));
    }
    if let Some(state) = TraceState::parse(bytes.split(|byte| *byte == b'\n')) {
        http::HeaderValue::from_str(state.as_str()).expect("it can be a header again");
        let again = TraceState::parse(std::iter::once(state.as_str().as_bytes()));
        assert_eq!(again, Some(state), "what we write is valid");
    }
}
