//! How facts leave the process: metrics at once, all else through bounded lanes.

pub mod metrics;
pub mod sink;
pub mod sinks;
