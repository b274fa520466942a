//! HTTP as the standards write it: parsing and printing of small things.
//!
//! Everything here is pure and knows nothing of the sidecar.

pub mod answer;
pub mod b3;
pub mod baggage;
pub mod cache_status;
pub mod forwarded;
pub mod framing;
pub mod hop;
pub mod http2;
pub mod ids;
pub mod messages;
pub mod method;
pub mod origin;
pub mod path;
pub mod problem;
pub mod rfc7239;
pub mod sanitise;
pub mod server_timing;
pub mod shape;
pub mod sse;
pub mod template;
pub mod traceparent;
pub mod tracers;
pub mod tracestate;
pub mod upgrade;
