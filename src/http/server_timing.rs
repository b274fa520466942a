//! `Server-Timing` (W3C Server Timing): how long an answer took, and how much of that was the upstream's.
//!
//! Durations are milliseconds, up to the moment the head leaves; a body comes later.

use std::time::Duration;

use http::header::{HeaderName, HeaderValue};

/// The field's name.
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The value: the sidecar's own time, then the upstream's where it was asked.
pub fn value(own: Duration, upstream: Option<Duration>) -> Option<HeaderValue> {
    let own = format!("sidecar;dur={}", milliseconds(own));
    let value = match upstream {
        Some(upstream) => format!("{own}, upstream;dur={}", milliseconds(upstream)),
        None => own,
    };
    HeaderValue::try_from(value).ok()
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
        let both = value(own, Some(upstream)).unwrap();
        assert_eq!(both, "sidecar;dur=0.064, upstream;dur=1500.000");
        assert_eq!(value(own, None).unwrap(), "sidecar;dur=0.064");
    }
}
