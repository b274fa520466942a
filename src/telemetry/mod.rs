//! How facts leave the process: metrics at once, all else through bounded lanes.

pub mod diagnostics;
pub mod export_client;
mod json;
pub mod lane;
pub mod ledger;
pub mod sink;
pub mod sinks;
mod timestamp;
pub mod worker;
