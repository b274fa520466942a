//! Where keys come from: a URL that is fetched now and then, or a file that is looked at.
//!
//! One task of the house does it, so that no request waits for it. Keys that cannot be had leave those
//! that are there in force; how long they may be used then is the ring's business. The first failure
//! of a row is told, and its end.

use std::path::Path;
use std::time::Duration;

use http::header::{ACCEPT, AGE, CACHE_CONTROL};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::ring::{Ring, STALE_AFTER};
use crate::config::model::{KeyForm, KeySource};
use crate::jwt::{Algorithm, Keys};
use crate::telemetry::export_client::ExportClient;

/// How often a file is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How long one fetch may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest JWK set.
const MOST: usize = 256 * 1024;
/// How soon and how late keys are fetched again, whatever the issuer says. The latest leaves half of the
/// time for which they are good, to try again in.
const SOONEST: Duration = Duration::from_mins(1);
const LATEST: Duration = Duration::from_hours(12);
/// Where the issuer says nothing.
const USUAL: Duration = Duration::from_mins(10);
/// The first and the longest pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Keeps the keys of a ring true. Never ends; dropping the future stops it.
pub(super) async fn follow(ring: &Ring, source: &KeySource, allowed: &[Algorithm]) {
    match source {
        KeySource::Url(url) => follow_url(ring, url, allowed).await,
        KeySource::File { path, form, .. } => follow_file(ring, path, *form, allowed).await,
    }
}

/// Why there are no new keys. A closed set, so it may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoKeys {
    Unreachable,
    Status,
    Unusable,
}

impl NoKeys {
    fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "no complete answer in time, or one that is too long",
            Self::Status => "the answer is not 200",
            Self::Unusable => "no public key in it fits `identity.jwt.algorithms`",
        }
    }
}

async fn follow_url(ring: &Ring, url: &str, allowed: &[Algorithm]) {
    // Both were judged by `check`.
    let (Ok(uri), Ok(client)) = (url.parse::<Uri>(), ExportClient::new(None)) else { return };
    let mut failures = 0;
    loop {
        let began = Instant::now();
        let pause = match fetch(&client, &uri, allowed).await {
            Ok((keys, lifetime)) => {
                let count = keys.count();
                // From when it was asked: the keys may have been taken back since.
                if ring.put(keys, Some(began + STALE_AFTER)) || failures > 0 {
                    tracing::info!(count, "The keys of `identity.jwt.jwks_url` were fetched.");
                }
                failures = 0;
                lifetime
            }
            Err(cause) => {
                if failures == 0 {
                    tracing::warn!(
                        cause = cause.as_str(),
                        "The keys of `identity.jwt.jwks_url` could not be fetched; trying on."
                    );
                }
                failures += 1;
                after_failure(failures)
            }
        };
        ring.end_round();
        let _asked_or_due = timeout(pause, ring.asked()).await;
    }
}

/// Twice as long each time, and never all of a fleet at once.
fn after_failure(failures: u32) -> Duration {
    let pause = FIRST_PAUSE * 2_u32.saturating_pow(failures.saturating_sub(1).min(6));
    pause.min(LONGEST_PAUSE).mul_f64(0.8 + 0.4 * fastrand::f64())
}

async fn fetch(
    client: &ExportClient,
    uri: &Uri,
    allowed: &[Algorithm],
) -> Result<(Keys, Duration), NoKeys> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/jwk-set+json, application/json"));
    let answer = client.get(uri.clone(), headers, MOST, PATIENCE).await;
    let answer = answer.map_err(|_| NoKeys::Unreachable)?;
    if answer.status() != StatusCode::OK {
        return Err(NoKeys::Status);
    }
    let keys = Keys::of_set(answer.body(), allowed).map_err(|_| NoKeys::Unusable)?;
    Ok((keys, lifetime(answer.headers())))
}

/// How long an answer is fresh (RFC 9111 §5.2.2), within our bounds.
fn lifetime(headers: &HeaderMap) -> Duration {
    let seconds = |text: &str| text.trim().trim_matches('"').parse().ok().map(Duration::from_secs);
    let mut fresh = None;
    for field in headers.get_all(CACHE_CONTROL) {
        for directive in field.to_str().unwrap_or_default().split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            match &*name.trim().to_ascii_lowercase() {
                "no-store" | "no-cache" => fresh = Some(Duration::ZERO),
                "max-age" if fresh.is_none() => fresh = seconds(value),
                _ => {}
            }
        }
    }
    let age = headers.get(AGE).and_then(|age| seconds(age.to_str().ok()?)).unwrap_or_default();
    fresh.map_or(USUAL, |fresh| fresh.saturating_sub(age)).clamp(SOONEST, LATEST)
}

async fn follow_file(ring: &Ring, path: &Path, form: KeyForm, allowed: &[Algorithm]) {
    let mut has_complained = false;
    loop {
        let _asked_or_due = timeout(LOOK, ring.asked()).await;
        let file = path.to_owned();
        let read = spawn_blocking(move || std::fs::read(file)).await;
        let keys = match read {
            Ok(Ok(content)) => form.read(&content, allowed).map_err(|wrong| wrong.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => continue, // The runtime is ending.
        };
        match keys {
            Ok(keys) => {
                has_complained = false;
                if ring.put(keys, None) {
                    tracing::info!("The keys of `[identity.jwt]` were replaced.");
                }
            }
            Err(error) if !has_complained => {
                has_complained = true;
                tracing::error!(
                    error,
                    "The file of `[identity.jwt]` cannot be used; the old keys stay."
                );
            }
            Err(_) => {}
        }
        ring.end_round();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_says_how_long_its_keys_are_fresh_within_bounds() {
        let of = |fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            lifetime(&headers).as_secs()
        };
        assert_eq!(of(&[]), 600);
        assert_eq!(of(&[("cache-control", "public, max-age=3600")]), 3600);
        assert_eq!(of(&[("cache-control", "Max-Age=\"7200\"")]), 7200);
        assert_eq!(of(&[("cache-control", "max-age=3600"), ("age", "600")]), 3000);
        assert_eq!(of(&[("cache-control", "max-age=1")]), 60);
        assert_eq!(of(&[("cache-control", "no-cache, max-age=3600")]), 60);
        assert_eq!(of(&[("cache-control", "max-age=999999999")]), 43_200);
        assert_eq!(of(&[("cache-control", "max-age=x")]), 600);
    }

    #[test]
    fn keys_outlive_the_longest_time_between_two_fetches() {
        assert!(LATEST + PATIENCE + LONGEST_PAUSE < STALE_AFTER, "or they end before the next try");
    }

    #[test]
    fn pauses_grow_to_a_minute() {
        let within = |failures, from: f64, to: f64| {
            let pause = after_failure(failures).as_secs_f64();
            assert!((from..=to).contains(&pause), "{failures}: {pause}");
        };
        within(1, 0.8, 1.2);
        within(3, 3.2, 4.8);
        within(99, 48.0, 72.0);
    }
}
