//! What it costs to know a caller: a token that was verified before beside one hash of it, and what a
//! signature costs where it was not.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use divan::{Bencher, black_box};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde_json::json;
use tokio::time::Instant;
use vital_sidecar::config::Config;
use vital_sidecar::config::model::{IdentitySource, Jwt, KeyForm, KeySource};
use vital_sidecar::jwt::{Algorithm, Keys};
use vital_sidecar::proxy::identity::{Identities, Identity, Sender};
use vital_sidecar::record::PseudonymKey;

use self::issuer::{AUDIENCE, ISSUER, Key, claims, set};

#[path = "../tests/support/issuer.rs"]
#[expect(dead_code, reason = "the tests sign more than good tokens")]
#[expect(unreachable_pub, clippy::expect_used, reason = "it is written for the tests")]
mod issuer;

const ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];
/// Bytes: what a token of an identity provider commonly has.
const LENGTH: usize = 700;

fn main() {
    divan::main();
}

/// A caller of a service, and what verifies it.
struct Setting {
    config: Config,
    headers: HeaderMap,
    token: String,
}

impl Setting {
    fn of(algorithm: &str) -> Self {
        let key = match algorithm {
            "RS256" => Key::rsa(),
            "ES256" => Key::ec("ec"),
            _ => Key::ed("ed"),
        };
        let allowed = vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
        let keys = Keys::of_set(set(&[&key]).as_bytes(), &allowed)
            .unwrap_or_else(|error| panic!("the set: {error}"));
        let token = token(&key);
        let mut config = Config::for_upstream(([127, 0, 0, 1], 3000).into());
        config.identity.source = IdentitySource::Jwt(Box::new(Jwt {
            keys: KeySource::File {
                path: "jwks.json".into(),
                form: KeyForm::Set,
                keys: Arc::new(keys),
            },
            issuer: Some(ISSUER.into()),
            audience: Some(AUDIENCE.into()),
            algorithms: allowed,
            leeway: Duration::from_mins(1),
        }));
        let mut headers = HeaderMap::new();
        let field = HeaderValue::try_from(format!("Bearer {token}"));
        headers.insert(AUTHORIZATION, field.unwrap_or_else(|error| panic!("{error}")));
        Self { config, headers, token }
    }

    /// A house that has seen no token yet.
    fn house(&self) -> Identities {
        Identities::new(&self.config, &PseudonymKey::from_bytes(b"key"))
    }
}

/// A token that holds for the length of a run, with claims that fill it up.
fn token(key: &Key) -> String {
    let of = |filling: usize| {
        let more = json!({
            "email": "ada@example.org", "exp": issuer::now() + 3600, "filling": "x".repeat(filling),
        });
        key.token(&claims(&more))
    };
    let bare = of(0).len();
    of(LENGTH.saturating_sub(bare) * 3 / 4)
}

/// Nothing waits where the keys are there, so one poll is the whole of it.
fn find(house: &Identities, headers: &HeaderMap, now: (Instant, SystemTime)) -> Arc<Identity> {
    let sender = Sender { is_trusted: false, certified: None };
    let found = pin!(house.find(headers, sender, now.0, now.1));
    match found.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(Some(identity))) => identity,
        _ => panic!("the token holds"),
    }
}

/// The yardstick: one SHA-256 of the token, which is also what the cache asks for.
#[divan::bench(args = ALGORITHMS)]
fn hash_of_the_token(bencher: Bencher<'_, '_>, algorithm: &str) {
    let setting = Setting::of(algorithm);
    bencher.bench_local(|| digest(&SHA256, black_box(setting.token.as_bytes())));
}

/// From the head to the identity, by a house that has verified this token before.
#[divan::bench(args = ALGORITHMS)]
fn seen_before(bencher: Bencher<'_, '_>, algorithm: &str) {
    let setting = Setting::of(algorithm);
    let house = setting.house();
    let now = (Instant::now(), SystemTime::now());
    find(&house, &setting.headers, now);
    bencher.bench_local(|| find(&house, black_box(&setting.headers), now));
}

/// The same by a house that has not: signature, claims, pseudonym, and an entry in the cache.
#[divan::bench(args = ALGORITHMS)]
fn seen_first(bencher: Bencher<'_, '_>, algorithm: &str) {
    let setting = Setting::of(algorithm);
    let now = (Instant::now(), SystemTime::now());
    bencher
        .with_inputs(|| setting.house())
        .bench_local_refs(|house| find(house, black_box(&setting.headers), now));
}
