//! Integration tests, by behaviour.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail where it stands")]

/// Spans on the wire: their shape, and what becomes of them when the collector misbehaves.
mod otlp;
/// Fakes and samples.
mod support;
