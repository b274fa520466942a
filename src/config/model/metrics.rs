//! `[metrics]` and `[cache]`: what is counted, and how it leaves.

use std::sync::Arc;
use std::time::Duration;

/// `[metrics]`, but for its door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Whether the instruments are also pushed by OTLP.
    pub push: bool,
    /// Between two pushes.
    pub interval: Duration,
    /// Series of one family, its overflow series included.
    pub max_series: usize,
    /// Whether durations name traces that were kept. `OTEL_METRICS_EXEMPLAR_FILTER` alone says no.
    pub has_exemplars: bool,
}

/// `[cache]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// The header fields that say whether an answer came from a cache, in lower case. The first one
    /// that says it decides.
    pub headers: Vec<Arc<str>>,
}
