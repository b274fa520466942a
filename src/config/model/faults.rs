//! What `[upstream]` does about a service that fails: `retry`, `breaker`, `health`.

use std::time::Duration;

use super::Mode;

/// `[upstream.retry]`: of requests of which nothing has been sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// Further attempts of one request.
    pub max_retries: u32,
    /// Retries under way, as a share of the requests under way.
    pub budget: f64,
}

/// `[upstream.breaker]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// What an open breaker means.
    pub mode: Mode,
    /// Requests in a row without a connection that open it.
    pub failures: u32,
    /// How long it stays open before one request may try.
    pub open_for: Duration,
}

/// `[upstream.health]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What is asked for, in origin form; `None` = nothing is.
    pub path: Option<String>,
    /// From the end of one question to the next, and the patience of each.
    pub interval: Duration,
}
