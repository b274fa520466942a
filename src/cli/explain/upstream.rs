//! The gates before the service: the circuit breaker, and the connections to it.
//!
//! What both decide depends on the moment; here stands what they go by.

use super::gates::Line;
use crate::config::Loaded;
use crate::config::model::Mode;

/// `[upstream.breaker]`, asked before the audit is.
pub(super) fn breaker(loaded: &Loaded) -> Line {
    let breaker = &loaded.config.upstream.breaker;
    let facts = format!(
        "open after {} requests in a row without a connection, for {} ms",
        breaker.failures,
        breaker.open_for.as_millis()
    );
    let is_off = breaker.mode == Mode::Off;
    Line {
        name: "breaker".into(),
        mode: breaker.mode.as_str(),
        decision: if is_off { "-" } else { "depends" },
        facts,
        source: source(loaded, "breaker", "upstream.breaker"),
    }
}

/// `[upstream.pool]`, asked last of all.
pub(super) fn pool(loaded: &Loaded) -> Line {
    let pool = &loaded.config.upstream.pool;
    let facts = format!(
        "at most {} connections, a wait of {} ms",
        pool.max_connections,
        pool.queue_timeout.as_millis()
    );
    let source = source(loaded, "pool", "upstream.pool");
    Line { name: "pool".into(), mode: "enforce", decision: "depends", facts, source }
}

fn source(loaded: &Loaded, table: &str, path: &'static str) -> &'static str {
    if loaded.written.has("upstream", table) { path } else { "default" }
}
