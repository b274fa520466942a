//! One file per place that records leave through. Sinks never import each other.

pub mod access_log;
pub mod audit;
pub mod datadog;
mod file;
pub mod otlp;
pub mod sentry;
pub mod webhook;
