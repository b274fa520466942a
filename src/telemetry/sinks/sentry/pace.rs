//! How many events may leave: by our own measure, and by Sentry's.
//!
//! Nothing waits here: what may not leave now is its caller's to drop and to count.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use http::{HeaderMap, StatusCode, header};
use tokio::time::Instant;

use super::event;
use crate::record::{ConfigName, Record};

/// Events of one kind at once, and per minute afterwards.
const PER_KIND: NonZeroU32 = NonZeroU32::new(10).expect("10 is not zero");
/// Silence after a 429 that does not say how long.
const DEFAULT_SILENCE: Duration = Duration::from_mins(1);
/// The longest silence that is believed.
const MAX_SILENCE: Duration = Duration::from_hours(24);

/// What an event is one of: its error type and its route's template.
type Kind = (ConfigName, ConfigName);

/// One token bucket per kind. Kinds come from a closed set and the configuration, so there are only
/// so many.
#[derive(Debug)]
pub(super) struct Pace(RateLimiter<Kind, HashMapStateStore<Kind>, Steady, NoOpMiddleware<Nanos>>);

impl Pace {
    pub(super) fn new() -> Self {
        let quota = Quota::per_minute(PER_KIND);
        Self(RateLimiter::hashmap_with_clock(quota, Steady(Instant::now())))
    }

    pub(super) fn allows(&self, record: &Record) -> bool {
        self.0.check_key(&event::fingerprint(record)).is_ok()
    }
}

/// Time since a fixed moment, by tokio's clock, which tests can pause.
#[derive(Clone, Debug)]
struct Steady(Instant);

impl Clock for Steady {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Until when Sentry wants no errors.
#[derive(Debug, Default)]
pub(super) struct Silence(Option<Instant>);

impl Silence {
    pub(super) fn is_on(&self) -> bool {
        self.0.is_some_and(|until| Instant::now() < until)
    }

    /// Reads what an answer asks for: `X-Sentry-Rate-Limits`, else `Retry-After` of a 429.
    pub(super) fn read(&mut self, status: StatusCode, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let asked = match text("x-sentry-rate-limits") {
            Some(limits) => limits.split(',').filter_map(for_errors).max(),
            None if status == StatusCode::TOO_MANY_REQUESTS => {
                let seconds =
                    text(header::RETRY_AFTER.as_str()).and_then(|s| s.trim().parse().ok());
                // The other form, a date, gets the default as well.
                Some(seconds.map_or(DEFAULT_SILENCE, Duration::from_secs))
            }
            None => None,
        };
        if let Some(asked) = asked {
            let until = Instant::now() + asked.min(MAX_SILENCE);
            self.0 = Some(self.0.map_or(until, |already| already.max(until)));
        }
    }
}

/// Reads one `seconds:categories:…` limit. No categories means all of them.
fn for_errors(limit: &str) -> Option<Duration> {
    let mut fields = limit.trim().split(':');
    let seconds = fields.next()?.trim().parse().ok()?;
    let mut categories = fields.next().unwrap_or("").split(';');
    categories.any(|c| matches!(c.trim(), "" | "error")).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn silence_lasts(status: u16, fields: &[(&'static str, &str)], seconds: Option<u64>) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, value.parse().unwrap());
        }
        let mut silence = Silence::default();
        let before = Instant::now();
        silence.read(StatusCode::from_u16(status).unwrap(), &headers);
        assert_eq!(silence.0.map(|until| (until - before).as_secs()), seconds, "{fields:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn limits_count_when_they_concern_errors() {
        let limits = "x-sentry-rate-limits";
        silence_lasts(200, &[(limits, "60:error;transaction:organization")], Some(60));
        silence_lasts(200, &[(limits, "5::key, 2700:transaction:key, 9:error")], Some(9));
        silence_lasts(200, &[(limits, "60:transaction;default:key")], None);
        silence_lasts(429, &[(limits, "60:transaction:key")], None);
        silence_lasts(200, &[(limits, "99999999999999999999:error, x:error, ")], None);
        silence_lasts(200, &[(limits, "18446744073709551615")], Some(24 * 3600));
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_without_limits_asks_for_its_retry_after_or_a_minute() {
        silence_lasts(429, &[("retry-after", "7")], Some(7));
        silence_lasts(429, &[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")], Some(60));
        silence_lasts(429, &[], Some(60));
        silence_lasts(503, &[("retry-after", "7")], None);
    }

    proptest! {
        #[test]
        fn any_limits_are_read_without_panic(limits in "[ -~]{0,40}") {
            let headers = [(http::HeaderName::from_static("x-sentry-rate-limits"), limits.parse().unwrap())];
            Silence::default().read(StatusCode::OK, &headers.into_iter().collect());
        }
    }
}
