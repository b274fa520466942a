//! How facts leave the process: metrics at once, all else through bounded lanes.

pub mod sink;
pub mod sinks;
