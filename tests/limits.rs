//! Rate limits as a client meets them: how many requests pass, what the others are told.

use vital_sidecar::record::{Outcome, Refusal};

use crate::support::client::Answer;
use crate::support::house::{self, config};
use crate::support::recorder::{Recorder, recording};
use crate::support::sidecar::{self, Sidecar};

mod callers;
mod costs;
mod keys;

async fn limited(policy: &str) -> (Recorder, Sidecar) {
    let recorder = recording().await;
    let sidecar = sidecar::with(&config(recorder.upstream.address, policy)).await;
    (recorder, sidecar)
}

/// A limit of three per bucket that fills again too slowly for a test to see it.
fn limit(name: &str, key: &str, more: &str) -> String {
    format!("[rate_limits.{name}]\nkey = {key}\nrate = \"60/h\"\nburst = 3\n{more}\n")
}

const ROUTE: &str = "[[routes]]\nmatch = \"* /api/a\"\nrate_limits = [\"few\"]\n";

async fn statuses(sidecar: &Sidecar, requests: &[String]) -> Vec<u16> {
    let mut client = sidecar.client().await;
    let mut statuses = Vec::new();
    for request in requests {
        client.say(request).await;
        statuses.push(client.answer().await.status);
    }
    statuses
}

fn get(path: &str, field: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\n{field}\r\n\r\n")
}

/// The number after `key=` in a member of a `RateLimit` field.
fn parameter(answer: &Answer, field: &str, key: &str) -> u64 {
    let value = answer.field(field).expect("the field");
    let (_, rest) = value.split_once(&format!(";{key}=")).expect("the parameter");
    rest.split([';', ',']).next().and_then(|n| n.parse().ok()).expect("a number")
}

#[tokio::test]
async fn a_burst_passes_and_the_next_request_is_told_when_to_come_back() {
    let (recorder, mut sidecar) = limited(&(limit("few", "[\"ip\"]", "") + ROUTE)).await;
    let mut client = sidecar.client().await;

    for left in [2, 1, 0] {
        let answer = client.get("/api/a").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("ratelimit-policy"), Some("\"few\";q=3;w=180"));
        assert_eq!(parameter(&answer, "ratelimit", "r"), left);
        assert_eq!(answer.field("retry-after"), None);
        assert_eq!(sidecar.record().await.limited_by, None);
    }
    let refused = client.get("/api/a").await;

    assert_eq!(
        (refused.status, refused.field("content-type")),
        (429, Some("application/problem+json"))
    );
    let wait: u64 = refused.field("retry-after").expect("a time").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "the next token comes within a minute: {wait}");
    assert_eq!(parameter(&refused, "ratelimit", "r"), 0);
    assert_eq!(parameter(&refused, "ratelimit", "t"), wait);
    assert_eq!(refused.field("ratelimit-policy"), Some("\"few\";q=3;w=180"));
    let problem = refused.json();
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(problem["title"], "Rate limit exceeded");
    assert_eq!(problem["status"], 429);
    assert_eq!(problem["violated-policies"], serde_json::json!(["few"]));
    assert_eq!(problem["error_type"], "rate_limited");
    assert_eq!(problem["request_id"].as_str(), refused.field("x-request-id"));

    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Refused(Refusal::RateLimited));
    assert_eq!(record.limited_by.as_deref(), Some("few"));
    assert_eq!(recorder.seen().len(), 3, "the upstream saw only what passed");
    let blocked = "rate_limit_blocked_total{rule=\"few\",http_route=\"/api/a\"}";
    assert!((sidecar.metric(blocked) - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn the_log_line_names_the_limit_that_refused_or_would_have() {
    for (mode, status) in [("enforce", 429), ("shadow", 200)] {
        let recorder = recording().await;
        let policy = limit("few", "[\"ip\"]", &format!("mode = \"{mode}\"")) + ROUTE;
        let house = house::open(&config(recorder.upstream.address, &policy)).await;
        let mut client = house.client().await;
        for _ in 0..3 {
            assert_eq!(client.get("/api/a").await.status, 200);
        }
        assert_eq!(client.get("/api/a").await.status, status);
        let lines = house.lines(4).await;
        assert!(lines[..3].iter().all(|line| line.get("rateLimit").is_none()), "{lines:?}");
        assert_eq!((&lines[3]["rateLimit"], &lines[3]["status"]), (&"few".into(), &status.into()));
        house.close().await;
    }
}

#[tokio::test]
async fn shadow_mode_refuses_nobody_and_counts_whom_it_would() {
    let (recorder, mut sidecar) =
        limited(&(limit("few", "[\"ip\"]", "mode = \"shadow\"") + ROUTE)).await;
    let mut client = sidecar.client().await;

    let mut named = 0;
    for _ in 0..8 {
        let answer = client.get("/api/a").await;
        assert_eq!((answer.status, answer.field("ratelimit")), (200, None));
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Served);
        named += usize::from(record.limited_by.as_deref() == Some("few"));
    }

    assert_eq!((named, recorder.seen().len()), (5, 8));
    let plan = sidecar.proxy.plan();
    let counts = plan.rate_limits.iter().next().expect("a limit").counts();
    assert_eq!((counts.allow, counts.deny, counts.would_deny), (3, 0, 5));
    assert!(sidecar.metric("rate_limit_blocked_total") < 1.0);
}

#[tokio::test]
async fn a_limit_that_is_off_is_not_there() {
    let (_recorder, sidecar) = limited(&(limit("few", "[\"ip\"]", "mode = \"off\"") + ROUTE)).await;
    let mut client = sidecar.client().await;
    for _ in 0..5 {
        let answer = client.get("/api/a").await;
        assert_eq!((answer.status, answer.field("ratelimit-policy")), (200, None));
    }
}

#[tokio::test]
async fn each_value_of_a_header_has_a_bucket_and_all_without_it_share_one() {
    let (_recorder, sidecar) = limited(&(limit("few", "[\"header:x-key\"]", "") + ROUTE)).await;
    let a = vec![get("/api/a", "x-key: a"); 4];
    let b = vec![get("/api/a", "x-key: b"); 4];
    let none =
        [vec![get("/api/a", "x-other: 1"); 2], vec![get("/api/a", "x-other: 2"); 2]].concat();
    for requests in [a, b, none] {
        assert_eq!(statuses(&sidecar, &requests).await, [200, 200, 200, 429]);
    }
}

#[tokio::test]
async fn routes_have_buckets_of_their_own_where_the_key_says_so() {
    let routes = "[[routes]]\nmatch = \"* /a\"\nrate_limits = [\"few\"]\n\
                  [[routes]]\nmatch = \"* /b/{id}\"\nrate_limits = [\"few\"]\n";
    let (_recorder, sidecar) = limited(&(limit("few", "[\"ip\", \"route\"]", "") + routes)).await;
    assert_eq!(statuses(&sidecar, &vec![get("/a", "x: 1"); 4]).await, [200, 200, 200, 429]);
    let others: Vec<_> = (0..4).map(|id| get(&format!("/b/{id}"), "x: 1")).collect();
    assert_eq!(statuses(&sidecar, &others).await, [200, 200, 200, 429], "a route, not a path");

    let (_recorder, sidecar) = limited(&(limit("few", "[\"ip\"]", "") + routes)).await;
    assert_eq!(statuses(&sidecar, &vec![get("/a", "x: 1"); 3]).await, [200, 200, 200]);
    assert_eq!(statuses(&sidecar, &[get("/b/1", "x: 1")]).await, [429], "by address alone");
}

#[tokio::test]
async fn a_client_cannot_escape_by_forged_addresses_unless_its_proxy_is_trusted() {
    let from = |n: u8| get("/api/a", &format!("x-forwarded-for: 203.0.113.{n}"));
    let forged: Vec<_> = (0..4).map(from).collect();
    let policy = limit("few", "[\"ip\"]", "") + ROUTE;

    let (_recorder, sidecar) = limited(&policy).await;
    assert_eq!(statuses(&sidecar, &forged).await, [200, 200, 200, 429]);

    let trusting = format!("[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n{policy}");
    let (_recorder, sidecar) = limited(&trusting).await;
    assert_eq!(statuses(&sidecar, &forged).await, [200; 4]);
    assert_eq!(statuses(&sidecar, &vec![from(9); 4]).await, [200, 200, 200, 429]);
}

#[tokio::test]
async fn default_limits_are_for_every_request_whose_route_names_none() {
    let policy = format!(
        "[route_defaults]\nrate_limits = [\"few\"]\n{}[[routes]]\nmatch = \"* /free\"\nrate_limits = []\n\
         [[routes]]\nmatch = \"* /silent\"\n",
        limit("few", "[\"ip\"]", "")
    );
    let (_recorder, sidecar) = limited(&policy).await;
    let unmatched: Vec<_> = (0..4).map(|n| get(&format!("/x/{n}"), "x: 1")).collect();
    assert_eq!(statuses(&sidecar, &unmatched).await, [200, 200, 200, 429]);
    assert_eq!(statuses(&sidecar, &[get("/silent", "x: 1")]).await, [429]);
    assert_eq!(statuses(&sidecar, &vec![get("/free", "x: 1"); 5]).await, [200; 5]);
}

#[tokio::test]
async fn limits_are_asked_before_the_body_is_read() {
    let route = "[captures.mode]\nfrom = \"request.body:/mode\"\nvalues = [\"a\"]\n\
                 [[routes]]\nmatch = \"POST /api/a\"\nrate_limits = [\"few\"]\ncaptures = [\"mode\"]\n";
    let (recorder, mut sidecar) = limited(&(limit("few", "[\"ip\"]", "") + route)).await;
    let mut client = sidecar.client().await;
    for _ in 0..3 {
        assert_eq!(client.post("/api/a", "{}").await.status, 200);
        sidecar.record().await;
    }

    // Not one byte of the body is sent, and no 100 is waited for.
    for expect in ["", "expect: 100-continue\r\n"] {
        let mut client = sidecar.client().await;
        client
            .say(format!("POST /api/a HTTP/1.1\r\nhost: a\r\n{expect}content-length: 9\r\n\r\n"))
            .await;
        let head = client.until(b"\r\n\r\n").await;
        assert!(head.starts_with(b"HTTP/1.1 429 "), "{}", String::from_utf8_lossy(&head));
        assert_eq!(sidecar.record().await.bytes_in, 0);
    }
    assert_eq!(recorder.seen().len(), 3);
}

#[tokio::test]
async fn several_limits_are_all_announced_and_the_one_that_refuses_is_named() {
    let policy = limit("few", "[\"ip\"]", "")
        + "[rate_limits.many]\nkey = [\"route\"]\nrate = \"100/h\"\nburst = 50\n\
           [[routes]]\nmatch = \"* /api/a\"\nrate_limits = [\"many\", \"few\"]\n";
    let (_recorder, sidecar) = limited(&policy).await;
    let mut client = sidecar.client().await;
    for _ in 0..3 {
        let answer = client.get("/api/a").await;
        assert_eq!(
            answer.field("ratelimit-policy"),
            Some("\"many\";q=50;w=1800, \"few\";q=3;w=180")
        );
    }
    let refused = client.get("/api/a").await;
    assert_eq!(refused.json()["violated-policies"], serde_json::json!(["few"]));
}

#[tokio::test]
async fn without_header_fields_only_retry_after_is_said() {
    let policy =
        format!("[rate_limit_headers]\nform = \"off\"\n{}{ROUTE}", limit("few", "[\"ip\"]", ""));
    let (_recorder, sidecar) = limited(&policy).await;
    let mut client = sidecar.client().await;
    for status in [200, 200, 200, 429] {
        let answer = client.get("/api/a").await;
        assert_eq!(answer.status, status);
        assert!(!answer.head.contains("ratelimit"), "{}", answer.head);
        assert_eq!(answer.field("retry-after").is_some(), status == 429);
    }
}
