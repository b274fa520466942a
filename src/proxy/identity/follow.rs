//! Where keys come from: a URL that is fetched now and then, or a file that is looked at.
//!
//! One task of the house does it, so that no request waits for it. Keys that cannot be had leave those
//! that are there in force; how long they may be used then is the ring's business. The first failure
//! of a row is told, each that is another one than before, and the end of the row.

use std::path::Path;
use std::time::Duration;

use http::header::{ACCEPT, AGE, CACHE_CONTROL};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::ring::{Ring, STALE_AFTER};
use crate::config::model::{KeyForm, KeySource};
use crate::jwt::{Algorithm, BadKeys, Keys};
use crate::named_file;
use crate::telemetry::export_client::{ExportClient, PostError};

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
/// The first pause after a failure, and the longest before chance has its say.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONG_PAUSE: Duration = Duration::from_secs(25);
/// No pause after a failure is longer.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Keeps the keys of a ring true. Never ends; dropping the future stops it.
pub(super) async fn follow(ring: &Ring, source: &KeySource, allowed: &[Algorithm]) {
    match source {
        KeySource::Url(url) => follow_url(ring, url, allowed).await,
        KeySource::File { path, form, .. } => follow_file(ring, path, *form, allowed).await,
    }
}

/// Why there are no new keys. Nothing of what the issuer said is in it.
#[derive(Debug, Error)]
enum NoKeys {
    #[error("{}", .0.detail)]
    NoAnswer(PostError),
    #[error("the answer is {}, not 200", .0.as_u16())]
    Status(StatusCode),
    #[error("the answer cannot be used: {0}")]
    Unusable(BadKeys),
}

/// What a fetch gives: keys, and for how long they are fresh.
type Fetched = Result<(Keys, Duration), NoKeys>;

async fn follow_url(ring: &Ring, url: &str, allowed: &[Algorithm]) {
    // Both were judged by `check`.
    let (Ok(uri), Ok(client)) = (url.parse::<Uri>(), ExportClient::new(None)) else { return };
    keep(ring, &shown(&uri), || fetch(&client, &uri, allowed)).await;
}

/// The place of the keys without what may be a secret: user, password, query.
fn shown(uri: &Uri) -> String {
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    let (scheme, host) = (uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default());
    format!("{scheme}://{host}{port}{}", uri.path())
}

/// Fetches keys for ever. `url` is for the log.
async fn keep<F: Future<Output = Fetched>>(ring: &Ring, url: &str, mut fetch: impl FnMut() -> F) {
    let mut failures = 0;
    loop {
        let began = Instant::now();
        let pause = match fetch().await {
            Ok((keys, lifetime)) => {
                let count = keys.count();
                // From when it was asked: the keys may have been taken back since.
                let are_new = ring.put(keys, Some(began + STALE_AFTER));
                if ring.end_round(began, None) || are_new {
                    tracing::info!(url, count, "The keys of `identity.jwt.jwks_url` were fetched.");
                }
                failures = 0;
                lifetime
            }
            Err(why) => {
                if ring.end_round(began, Some(why.to_string())) {
                    tracing::warn!(
                        url,
                        error = %why,
                        "The keys of `identity.jwt.jwks_url` could not be fetched; trying on."
                    );
                }
                failures += 1;
                after_failure(failures)
            }
        };
        ring.rest(pause).await;
    }
}

/// Twice as long each time, and never all of a fleet at once.
fn after_failure(failures: u32) -> Duration {
    let pause = FIRST_PAUSE * 2_u32.saturating_pow(failures.saturating_sub(1).min(6));
    pause.min(LONG_PAUSE).mul_f64(0.8 + 0.4 * fastrand::f64()).min(LONGEST_PAUSE)
}

async fn fetch(client: &ExportClient, uri: &Uri, allowed: &[Algorithm]) -> Fetched {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/jwk-set+json, application/json"));
    let answer = client.get(uri.clone(), headers, MOST, PATIENCE).await;
    let answer = answer.map_err(NoKeys::NoAnswer)?;
    if answer.status() != StatusCode::OK {
        return Err(NoKeys::Status(answer.status()));
    }
    let keys = Keys::of_set(answer.body(), allowed).map_err(NoKeys::Unusable)?;
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
    loop {
        ring.rest(LOOK).await;
        let began = Instant::now();
        let file = path.to_owned();
        let read = spawn_blocking(move || named_file::read(&file)).await;
        let keys = match read {
            Ok(Ok(content)) => form.read(&content, allowed).map_err(|wrong| wrong.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => continue, // The runtime is ending.
        };
        match keys {
            Ok(keys) => {
                if ring.put(keys, None) {
                    tracing::info!("The keys of `[identity.jwt]` were replaced.");
                }
                ring.end_round(began, None);
            }
            Err(error) => {
                if ring.end_round(began, Some(error.clone())) {
                    tracing::error!(
                        error,
                        "The file of `[identity.jwt]` cannot be used; the old keys stay."
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::ops::Range;

    use tokio::time::sleep;

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

    fn keys(secret: u8) -> Keys {
        Keys::of_secret(&[secret; 32], &[Algorithm::HS256]).unwrap()
    }

    fn status(code: u16) -> NoKeys {
        NoKeys::Status(StatusCode::from_u16(code).unwrap())
    }

    /// Whether the keys may be asked now.
    fn is_usable(ring: &Ring) -> bool {
        ring.set().usable(Instant::now()).is_some()
    }

    /// Runs `look` beside a ring whose issuer says that its keys are fresh for ever, and is away in these
    /// hours, counted from the start.
    async fn with_issuer_away(away: Range<u64>, look: impl AsyncFnOnce(&Ring, Instant)) {
        let (ring, start) = (Ring::new(None), Instant::now());
        let hour = |hours: u64| Duration::from_hours(hours);
        let fetch = || async {
            if (hour(away.start)..hour(away.end)).contains(&start.elapsed()) {
                return Err(status(502));
            }
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=999999999"));
            Ok((keys(1), lifetime(&headers)))
        };
        tokio::select! {
            () = keep(&ring, "", fetch) => {}
            () = look(&ring, start) => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keys_of_an_issuer_that_is_away_for_half_a_day_never_end() {
        // Just after the latest moment at which they are fetched again, so that the next ones come late.
        with_issuer_away(12..23, async |ring, start| {
            sleep(Duration::from_secs(1)).await;
            while start.elapsed() < Duration::from_hours(72) {
                assert!(is_usable(ring), "after {:?}", start.elapsed());
                sleep(Duration::from_mins(1)).await;
            }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn keys_end_a_day_after_they_were_fetched_and_are_back_soon_after_the_issuer() {
        with_issuer_away(1..40, async |ring, start| {
            sleep(Duration::from_secs(1)).await;
            let second = Duration::from_secs(1);
            tokio::time::sleep_until(start + STALE_AFTER - second).await;
            assert!(is_usable(ring));
            sleep(2 * second).await;
            assert!(!is_usable(ring));
            assert_eq!(ring.attempts().trouble.as_deref(), Some("the answer is 502, not 200"));
            assert_eq!(ring.attempts().last_success, Some(start));
            tokio::time::sleep_until(start + Duration::from_hours(40) - second).await;
            assert!(!is_usable(ring));
            sleep(LONGEST_PAUSE + 2 * second).await;
            assert!(is_usable(ring));
            assert_eq!(ring.attempts().trouble, None);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_said_of_the_next_try_is_true() {
        let (ring, tries) = (Ring::new(None), Cell::new(0));
        let fetch = || async {
            tries.set(tries.get() + 1);
            Err(status(500))
        };
        let look = async {
            for _ in 0..20 {
                tokio::task::yield_now().await;
                let (before, said) = (tries.get(), ring.next_try(Instant::now()));
                assert!(said > Duration::ZERO && said <= LONGEST_PAUSE, "{said:?}");
                sleep(said.saturating_sub(Duration::from_millis(2))).await;
                assert_eq!(tries.get(), before, "too early");
                sleep(Duration::from_millis(4)).await;
                assert_eq!(tries.get(), before + 1, "late");
            }
        };
        tokio::select! {
            () = keep(&ring, "", fetch) => {}
            () = look => {}
        }
    }

    #[test]
    fn the_log_names_the_place_of_the_keys_and_none_of_its_secrets() {
        let uri = "https://user:word@id.example:8443/keys?code=word".parse().unwrap();
        assert_eq!(shown(&uri), "https://id.example:8443/keys");
    }

    #[test]
    fn pauses_grow_to_half_a_minute() {
        let within = |failures, from: f64, to: f64| {
            for _ in 0..100 {
                let pause = after_failure(failures).as_secs_f64();
                assert!((from..=to).contains(&pause), "{failures}: {pause}");
            }
        };
        within(1, 0.8, 1.2);
        within(3, 3.2, 4.8);
        within(99, 20.0, 30.0);
    }
}
