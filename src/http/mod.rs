//! HTTP as the standards write it: parsing and printing of small things.
//!
//! Everything here is pure and knows nothing of the sidecar.

pub mod ids;
pub mod method;
pub mod sanitise;
pub mod traceparent;
