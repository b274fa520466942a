//! B3 that is believed can be written again, and baggage that passes is within its limits.

use vital_sidecar::http::b3::{B3, Decision};
use vital_sidecar::http::baggage;

/// Checks any bytes as the one header of B3, their lines as its several headers, and as baggage.
pub(crate) fn check(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut next = || lines.next();
    let several = B3::multi(next(), next(), next(), next());
    for b3 in [B3::single(bytes), several].into_iter().flatten() {
        assert!(b3.context.is_some() || b3.decision.is_some(), "it says something");
        if let Some((trace_id, span_id)) = b3.context {
            assert_ne!((trace_id.0, span_id.0), ([0; 16], [0; 8]));
            let decision = b3.decision.unwrap_or(Decision::Accept);
            let again = B3::single(&B3::write(trace_id, span_id, decision));
            let expected = B3 { context: b3.context, decision: Some(decision) };
            assert_eq!(again, Some(expected), "what we write is valid");
        }
    }
    if baggage::is_valid(bytes.split(|byte| *byte == b'\n')) {
        // Lines become commas, so the whole is no longer than its bytes.
        assert!(bytes.len() <= baggage::MAX_BYTES, "{} bytes", bytes.len());
        assert!(bytes.contains(&b'='), "a member has a value");
    }
}
