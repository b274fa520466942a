//! One module per place that facts leave through. Sinks never import each other; `file`, the last stretch
//! of lines that rotate, is none itself.

pub mod access_log;
pub mod audit;
pub mod datadog;
mod file;
pub mod otlp;
pub mod sentry;
pub mod webhook;
