//! Limits by who calls, and the share of one tenant in what runs at once.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;

use super::{get, limit, statuses};
use crate::support::eventually;
use crate::support::house::config;
use crate::support::issuer::{AUDIENCE, ISSUER, claims, hs256};
use crate::support::recorder::{Recorder, recording};
use crate::support::sidecar::{self, Sidecar};
use crate::support::upstream::{self, Upstream};

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

/// `[identity]` with a secret, in a file that lives as long as the sidecar.
struct Identity(tempfile::NamedTempFile);

impl Identity {
    fn new() -> Self {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), SECRET).expect("a write");
        Self(file)
    }

    fn config(&self) -> String {
        format!(
            "[identity]\nsource = \"jwt\"\n[identity.jwt]\nsecret_file = \"{}\"\n\
             algorithms = [\"HS256\"]\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\n",
            self.0.path().display()
        )
    }
}

async fn knowing(policy: &str) -> (Recorder, Sidecar, Identity) {
    let (recorder, identity) = (recording().await, Identity::new());
    let text = identity.config() + policy;
    let sidecar = sidecar::with(&config(recorder.upstream.address, &text)).await;
    (recorder, sidecar, identity)
}

/// A line of a head with a token of these claims, over the usual ones.
fn token(more: &serde_json::Value) -> String {
    let token = hs256(SECRET, &json!({"alg": "HS256", "typ": "JWT"}), &claims(more));
    format!("authorization: Bearer {token}")
}

/// A request by somebody of these claims.
fn by(more: &serde_json::Value) -> String {
    get("/api/a", &token(more))
}

const ROUTE: &str = "[[routes]]\nmatch = \"* /api/a\"\nrate_limits = [\"few\"]\n";

#[tokio::test]
async fn every_user_tenant_and_claim_has_a_bucket_whatever_the_token_and_the_address() {
    for (key, claim) in [("user", "sub"), ("tenant", "tenant_id"), ("claim:plan", "plan")] {
        let policy = limit("few", &format!("[\"{key}\"]"), "") + ROUTE;
        let (_recorder, sidecar, _identity) = knowing(&policy).await;
        for value in ["a", "b"] {
            // A new token each time: a bucket belongs to who calls, not to what he shows.
            let requests: Vec<_> =
                (0..4).map(|n| by(&json!({claim: value, "jti": n.to_string()}))).collect();
            assert_eq!(statuses(&sidecar, &requests).await, [200, 200, 200, 429], "{key}");
        }
        let anonymous = vec![get("/api/a", "x: 1"); 4];
        assert_eq!(statuses(&sidecar, &anonymous).await, [200, 200, 200, 429], "{key}");
    }
}

#[tokio::test]
async fn a_flood_of_tokens_meets_the_limits_by_address_before_any_signature_is_checked() {
    let forged = get("/api/a", "authorization: Bearer aaaa.bbbb.cccc");
    let (_recorder, sidecar, _identity) = knowing(&(limit("few", "[\"ip\"]", "") + ROUTE)).await;
    // Once the bucket is empty nobody looks at the token: it would be a 401.
    let answers = statuses(&sidecar, &vec![forged.clone(); 6]).await;
    assert_eq!(answers, [401, 401, 401, 429, 429, 429]);

    let (_recorder, sidecar, _identity) = knowing(&(limit("few", "[\"user\"]", "") + ROUTE)).await;
    assert_eq!(statuses(&sidecar, &vec![forged; 6]).await, [401; 6], "it has no user");
    let plan = sidecar.proxy.plan();
    assert_eq!(plan.rate_limits.iter().next().expect("the limit").counts().allow, 0);
}

#[tokio::test]
async fn a_caller_without_enough_tokens_is_told_so_by_all_his_limits() {
    let policy = limit("few", "[\"user\"]", "")
        + "[rate_limits.door]\nkey = [\"ip\"]\nrate = \"100/h\"\nburst = 50\n"
        + &ROUTE.replace("[\"few\"]", "[\"few\", \"door\"]");
    let (_recorder, sidecar, _identity) = knowing(&policy).await;
    let mut client = sidecar.client().await;
    for status in [200, 200, 200, 429] {
        client.say(by(&json!({}))).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status);
        let both = Some("\"door\";q=50;w=1800, \"few\";q=3;w=180");
        assert_eq!(answer.field("ratelimit-policy"), both);
    }
}

#[tokio::test]
async fn a_tier_is_what_the_token_says() {
    let tiers = "tier_claim = \"plan\"\ntiers.premium = \"3600/h\"";
    let policy = limit("few", "[\"user\"]", tiers) + ROUTE;
    let (_recorder, sidecar, _identity) = knowing(&policy).await;
    let mut client = sidecar.client().await;
    for (plan, window) in [("premium", 3), ("free", 180), ("gold", 180)] {
        client.say(by(&json!({"sub": plan, "plan": plan}))).await;
        let answer = client.answer().await;
        let policy = format!("\"few\";q=3;w={window}");
        assert_eq!(answer.field("ratelimit-policy"), Some(policy.as_str()), "{plan}");
    }
}

/// An upstream that answers as often as it is let.
async fn slow(free: &Arc<Semaphore>) -> Upstream {
    let free = Arc::clone(free);
    upstream::scripted(move |mut wire| {
        let free = Arc::clone(&free);
        async move {
            while wire.head().await.is_some() {
                free.acquire().await.expect("open").forget();
                wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_tenant_with_its_share_makes_way_for_another_that_waits() {
    let (free, identity) = (Arc::new(Semaphore::new(1)), Identity::new());
    let upstream = slow(&free).await;
    let text = identity.config() + "[overload]\nmax_in_flight = 2\nqueue_timeout = \"30s\"\n";
    let sidecar = sidecar::with(&config(upstream.address, &text)).await;
    let load = || sidecar.proxy.overload().load();
    let tenant = |name: &str| get("/", &token(&json!({"tenant_id": name})));
    let ask = async |name: &str| {
        let mut client = sidecar.client().await;
        client.say(tenant(name)).await;
        client
    };

    assert_eq!(ask("small").await.answer().await.status, 200);
    let (mut one, mut two) = (ask("large").await, ask("large").await);
    eventually("both of the large one run", || load().in_flight == 2).await;
    let mut third = ask("large").await;
    eventually("a third waits", || load().waiting == 1).await;
    let mut small = ask("small").await;
    eventually("the small one waits behind it", || load().waiting == 2).await;

    free.add_permits(1);
    assert_eq!(third.answer().await.status, 503, "it has its half, and somebody waits");
    free.add_permits(2);
    assert_eq!(small.answer().await.status, 200);
    assert_eq!((one.answer().await.status, two.answer().await.status), (200, 200));
    assert_eq!((load().in_flight, load().waiting), (0, 0));
}
