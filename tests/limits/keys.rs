//! Whose bucket a request is counted in, and when.

use super::{get, limit, limited, statuses};
use crate::support::house::config;

fn post(body: &str) -> String {
    let length = body.len();
    format!("POST /api/a HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}")
}

const MODES: &str = "[captures.mode]\nfrom = \"request.body:/mode\"\nvalues = [\"a\", \"b\"]\n\
                     [[routes]]\nmatch = \"POST /api/a\"\ncaptures = [\"mode\"]\n\
                     rate_limits = [\"few\"]\n";

#[tokio::test]
async fn each_captured_value_has_a_bucket_and_what_has_none_is_counted_by_address() {
    let (_recorder, sidecar) = limited(&(limit("few", "[\"capture:mode\"]", "") + MODES)).await;
    for body in ["{\"mode\":\"a\"}", "{\"mode\":\"b\"}", "{\"mode\":\"?\"}", "{}"] {
        assert_eq!(statuses(&sidecar, &vec![post(body); 4]).await, [200, 200, 200, 429], "{body}");
    }
    // A body that cannot be read is no way around it: it is counted as one without the value.
    assert_eq!(statuses(&sidecar, &[post("not JSON")]).await, [429]);
}

#[tokio::test]
async fn who_is_nobody_is_counted_by_address() {
    for key in ["user", "tenant", "claim:plan", "claim:/realm/plan"] {
        let policy = limit("few", &format!("[\"{key}\"]"), "")
            + "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
               [[routes]]\nmatch = \"* /api/a\"\nrate_limits = [\"few\"]\n";
        let (_recorder, sidecar) = limited(&policy).await;
        for ip in ["203.0.113.1", "203.0.113.2"] {
            let request = get("/api/a", &format!("x-forwarded-for: {ip}"));
            let answers = statuses(&sidecar, &vec![request; 4]).await;
            assert_eq!(answers, [200, 200, 200, 429], "{key}");
        }
    }
}

#[tokio::test]
async fn a_client_cannot_name_itself() {
    let policy = limit("few", "[\"user\"]", "")
        + "[[routes]]\nmatch = \"* /api/a\"\nrate_limits = [\"few\"]\n";
    let (_recorder, sidecar) = limited(&policy).await;
    let named: Vec<_> = (0..4).map(|n| get("/api/a", &format!("x-user-id: u{n}"))).collect();
    assert_eq!(statuses(&sidecar, &named).await, [200, 200, 200, 429]);
}

#[tokio::test]
async fn a_later_limit_is_not_asked_where_an_earlier_one_refuses() {
    let policy = limit("few", "[\"ip\"]", "")
        + "[rate_limits.later]\nkey = [\"user\"]\nrate = \"1/h\"\nburst = 50\n\
           [rate_limits.last]\nkey = [\"capture:mode\"]\nrate = \"1/h\"\nburst = 50\n"
        + &MODES.replace("[\"few\"]", "[\"last\", \"later\", \"few\"]");
    let (_recorder, sidecar) = limited(&policy).await;
    let mut client = sidecar.client().await;
    client.say(post("{\"mode\":\"a\"}")).await;
    let first = client.answer().await;
    let policies = "\"few\";q=3;w=180, \"later\";q=50;w=180000, \"last\";q=50;w=180000";
    assert_eq!(first.field("ratelimit-policy"), Some(policies), "in the order of asking");
    assert_eq!(statuses(&sidecar, &vec![post("{}"); 4]).await, [200, 200, 429, 429]);
    let plan = sidecar.proxy.plan();
    let allowed = |name: &str| {
        let limiter = plan.rate_limits.iter().find(|limiter| **limiter.name() == *name);
        limiter.expect("the limit").counts().allow
    };
    assert_eq!(["few", "later", "last"].map(allowed), [3, 3, 3]);
}

#[tokio::test]
async fn a_full_table_gives_newcomers_one_bucket_and_frees_nobody() {
    let policy = limit("few", "[\"header:x-key\"]", "max_keys = 2")
        + "[[routes]]\nmatch = \"* /api/a\"\nrate_limits = [\"few\"]\n";
    let (_recorder, sidecar) = limited(&policy).await;
    let from = |name: &str| get("/api/a", &format!("x-key: {name}"));
    assert_eq!(statuses(&sidecar, &vec![from("a"); 4]).await, [200, 200, 200, 429]);
    assert_eq!(statuses(&sidecar, &[from("b")]).await, [200]);
    let newcomers: Vec<_> = (0..6).map(|n| from(&format!("n{n}"))).collect();
    assert_eq!(statuses(&sidecar, &newcomers).await, [200, 200, 200, 429, 429, 429]);
    assert_eq!(statuses(&sidecar, &[from("a"), from("b")]).await, [429, 200]);
    let plan = sidecar.proxy.plan();
    let limiter = plan.rate_limits.iter().next().expect("the limit");
    assert_eq!((limiter.keys(), limiter.overflowed()), (2, 6));
}

#[tokio::test]
async fn a_route_takes_its_limits_as_strictly_as_it_says() {
    let policy = limit("few", "[\"ip\", \"route\"]", "")
        + "[route_defaults]\nrate_limits = [\"few\"]\nrate_limit_mode = \"shadow\"\n\
           [[routes]]\nmatch = \"* /strict\"\nrate_limit_mode = \"enforce\"\n\
           [[routes]]\nmatch = \"* /off\"\nrate_limit_mode = \"off\"\n\
           [[routes]]\nmatch = \"* /lax\"\n";
    let (_recorder, mut sidecar) = limited(&policy).await;
    let four = |path: &str| vec![get(path, "x: 1"); 4];
    assert_eq!(statuses(&sidecar, &four("/strict")).await, [200, 200, 200, 429]);
    for path in ["/off", "/lax", "/elsewhere"] {
        assert_eq!(statuses(&sidecar, &four(path)).await, [200; 4], "{path}");
    }
    let mut named = Vec::new();
    for _ in 0..16 {
        named.extend(sidecar.record().await.limited_by.as_ref().map(ToString::to_string));
    }
    assert_eq!(named, ["few"; 3], "one refused, two in the shadow");
}

#[tokio::test]
async fn the_older_fields_are_said_on_request() {
    let policy = |form: &str| {
        format!("[rate_limit_headers]\nform = \"{form}\"\n")
            + &limit("few", "[\"ip\"]", "")
            + "[[routes]]\nmatch = \"* /api/a\"\nrate_limits = [\"few\"]\n"
    };
    for (form, is_new_there) in [("legacy", false), ("both", true)] {
        let (_recorder, sidecar) = limited(&policy(form)).await;
        let mut client = sidecar.client().await;
        for (status, left) in [(200, "2"), (200, "1"), (200, "0"), (429, "0")] {
            let answer = client.get("/api/a").await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.field("x-ratelimit-limit"), Some("3"));
            assert_eq!(answer.field("x-ratelimit-remaining"), Some(left));
            assert!(answer.field("x-ratelimit-reset").is_some());
            assert_eq!(answer.field("ratelimit").is_some(), is_new_there);
        }
    }
}

#[tokio::test]
async fn a_reload_keeps_what_was_counted_and_what_was_not_changed() {
    let policy = |rate: &str| {
        limit("few", "[\"user\"]", "tier_claim = \"plan\"")
            + &format!("tiers.fast = \"{rate}\"\n")
            + "[[routes]]\nmatch = \"* /api/a\"\nrate_limits = [\"few\"]\n"
    };
    let (recorder, sidecar) = limited(&policy("2/h")).await;
    assert_eq!(statuses(&sidecar, &vec![get("/api/a", "x: 1"); 4]).await, [200, 200, 200, 429]);
    sidecar.proxy.adopt(&config(recorder.upstream.address, &policy("3/h")));
    assert_eq!(statuses(&sidecar, &[get("/api/a", "x: 1")]).await, [429]);
    let plan = sidecar.proxy.plan();
    assert_eq!(plan.rate_limits.iter().next().expect("the limit").counts().deny, 2);
}
