//! One file per place that records leave through. Sinks never import each other.

pub mod access_log;
mod file;
pub mod otlp;
