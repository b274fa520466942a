//! `Server-Timing`: how long an answer took, and how much of that was the upstream's.
//!
//! Off unless `server.server_timing` says otherwise: it tells every client. It is appended behind what
//! the upstream says of itself, and replaces nothing. Durations are milliseconds, as W3C Server Timing
//! has them, up to the moment the head leaves; a body comes later.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::exchange::Exchange;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Adds the field, where the plan wants it.
pub fn append(exchange: &Exchange, headers: &mut HeaderMap) {
    if !exchange.plan.server_timing {
        return;
    }
    let upstream = exchange.upstream_time();
    let own = exchange.began().elapsed().saturating_sub(upstream.unwrap_or_default());
    let value = HeaderValue::try_from(metrics(own, upstream));
    if let Ok(value) = value {
        headers.append(SERVER_TIMING, value);
    }
}

fn metrics(own: Duration, upstream: Option<Duration>) -> String {
    let own = format!("sidecar;dur={}", milliseconds(own));
    match upstream {
        Some(upstream) => format!("{own}, upstream;dur={}", milliseconds(upstream)),
        None => own,
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_milliseconds() {
        let (own, upstream) = (Duration::from_micros(64), Duration::from_millis(1500));
        assert_eq!(metrics(own, Some(upstream)), "sidecar;dur=0.064, upstream;dur=1500.000");
        assert_eq!(metrics(own, None), "sidecar;dur=0.064");
    }
}
