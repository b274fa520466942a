//! Limits as a route sees them, on a clock that stands still unless moved.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tokio::time::advance;

use super::buckets::Buckets;
use super::limiter::quota;
use super::*;
use crate::config::model::{Capture, Cost, LimitKey, Place, RateLimitHeaders, Take};
use crate::proxy::identity::Identity;
use crate::record::{Fact, Value};
use crate::units::Rate;

mod weighted;

fn limit(name: &'static str, count: u32, per: Duration, burst: u32) -> RateLimit {
    let rate = Rate { count: NonZeroU32::new(count).unwrap(), per };
    RateLimit::new(name.into(), vec![LimitKey::Ip], rate, NonZeroU32::new(burst).unwrap())
}

fn config(limits: &[RateLimit]) -> Config {
    let mut config = Config::for_upstream(SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)));
    config.rate_limits = limits.to_vec();
    config
}

fn compile(limits: &[RateLimit], before: Option<&Limits>) -> Limits {
    Limits::compile(&config(limits), None, before)
}

/// Every limit that is known at the door, in order.
fn all(limits: &Limits) -> Staged {
    let names: Vec<_> = limits.iter().map(|limiter| limiter.name().clone()).collect();
    limits.resolve(&names, Mode::Enforce)
}

fn ask(staged: &Staged) -> Verdict {
    ask_as(staged, Stage::Door, None, &[])
}

fn ask_as(staged: &Staged, stage: Stage, who: Option<&Identity>, facts: &[Fact]) -> Verdict {
    let headers = HeaderMap::new();
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let request = Keys { ip, route: "/", headers: &headers, identity: who, facts, unfit: &[] };
    let mut verdict = Verdict::default();
    admit(staged.at(stage), &request, &mut verdict);
    verdict
}

fn caller(user: &str, claims: &Json) -> Identity {
    let claims = claims.as_object().cloned().unwrap();
    Identity::new(claims, Some(user.into()), None)
}

fn dressed(verdict: &Verdict) -> Vec<String> {
    let mut headers = HeaderMap::new();
    dress(&mut headers, verdict);
    let mut lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines
}

fn counts(limits: &Limits) -> Counts {
    limits.iter().next().unwrap().counts()
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_burst_passes_then_one_per_interval() {
    let limits = compile(&[limit("a", 60, 60 * SECOND, 3)], None);
    let limiters = all(&limits);
    assert!((0..3).all(|_| ask(&limiters).denied.is_none()));
    let denial = ask(&limiters).denied.unwrap();
    assert_eq!(denial, Denial { limit: "a".into(), retry_after: Some(SECOND) });
    advance(SECOND).await;
    assert!(ask(&limiters).denied.is_none());
    assert!(ask(&limiters).denied.is_some());
    assert_eq!(counts(&limits), Counts { allow: 4, deny: 2, would_deny: 0 });
    assert_eq!(limits.iter().next().unwrap().keys(), 1);
}

#[tokio::test(start_paused = true)]
async fn answers_name_policy_budget_and_wait() {
    let limits = compile(&[limit("a", 30, 60 * SECOND, 2)], None);
    let limiters = all(&limits);
    let policy = "ratelimit-policy: \"a\";q=2;w=4";
    assert_eq!(dressed(&ask(&limiters)), [policy, "ratelimit: \"a\";r=1;t=2"]);
    assert_eq!(dressed(&ask(&limiters)), [policy, "ratelimit: \"a\";r=0;t=4"]);
    advance(SECOND / 2).await;
    let denied = [policy, "ratelimit: \"a\";r=0;t=2", "retry-after: 2"];
    assert_eq!(dressed(&ask(&limiters)), denied);
}

#[tokio::test(start_paused = true)]
async fn several_limits_are_one_list_up_to_the_one_that_denies() {
    let limits = [limit("a", 1, SECOND, 5), limit("b", 1, SECOND, 1), limit("c", 1, SECOND, 5)];
    let limits = compile(&limits, None);
    let limiters = all(&limits);
    let first = dressed(&ask(&limiters));
    assert_eq!(first[0], "ratelimit-policy: \"a\";q=5;w=5, \"b\";q=1;w=1, \"c\";q=5;w=5");
    assert_eq!(first[1], "ratelimit: \"a\";r=4;t=1, \"b\";r=0;t=1, \"c\";r=4;t=1");
    let second = ask(&limiters);
    assert_eq!(dressed(&second)[1], "ratelimit: \"a\";r=3;t=2, \"b\";r=0;t=1");
    assert_eq!(&*second.denied.unwrap().limit, "b");
    assert_eq!(limits.iter().nth(2).unwrap().counts().allow, 1);
}

#[tokio::test(start_paused = true)]
async fn a_shadow_limit_only_counts() {
    let shadow = RateLimit { mode: Mode::Shadow, ..limit("s", 1, SECOND, 1) };
    let off = RateLimit { mode: Mode::Off, ..limit("o", 1, SECOND, 1) };
    let limits = compile(&[shadow, off], None);
    let limiters = limits.resolve(&["o".into(), "s".into(), "unknown".into()], Mode::Enforce);
    assert_eq!(limiters.at(Stage::Door).len(), 1);
    assert_eq!(ask(&limiters).would_deny, None);
    let verdict = ask(&limiters);
    assert_eq!((verdict.denied.as_ref(), verdict.would_deny.as_deref()), (None, Some("s")));
    assert!(dressed(&verdict).is_empty());
    assert_eq!(counts(&limits), Counts { allow: 1, deny: 0, would_deny: 1 });
}

#[tokio::test(start_paused = true)]
async fn headers_can_be_off_but_a_denial_says_when_to_come_back() {
    let mut config = config(&[limit("a", 1, SECOND, 1)]);
    config.rate_limit_headers = RateLimitHeaders::Off;
    let limiters = all(&Limits::compile(&config, None, None));
    assert!(dressed(&ask(&limiters)).is_empty());
    assert_eq!(dressed(&ask(&limiters)), ["retry-after: 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_buckets_of_an_unchanged_quota_and_always_counters() {
    let before = limit("a", 1, SECOND, 1);
    let first = compile(std::slice::from_ref(&before), None);
    let _spent = ask(&all(&first));

    let shadow = RateLimit { mode: Mode::Shadow, ..before.clone() };
    let second = compile(&[shadow], Some(&first));
    assert!(ask(&all(&second)).would_deny.is_some());

    let wider = RateLimit { burst: NonZeroU32::new(2).unwrap(), ..before };
    let third = compile(&[wider], Some(&second));
    assert!(ask(&all(&third)).denied.is_none());
    assert_eq!(counts(&third), Counts { allow: 2, deny: 0, would_deny: 1 });
}

#[test]
fn names_are_quoted_as_structured_fields_ask() {
    assert_eq!(&*dress::quoted("per-ip"), b"\"per-ip\"");
    assert_eq!(&*dress::quoted("a\"\\\u{e9}\n"), b"\"a\\\"\\\\??\"");
}

#[test]
fn quotas_beyond_reckoning_are_cut_not_overflown() {
    let most = NonZeroU32::MAX;
    for (count, per) in [(1, Duration::MAX), (u32::MAX, Duration::ZERO), (1, 86_400 * SECOND)] {
        let quota = quota(Rate { count: NonZeroU32::new(count).unwrap(), per }, most);
        let pace = Buckets::new(1).pace(quota);
        let key = key::tests::numbered(0);
        assert!(matches!(pace.take(key, NonZeroU32::MIN), Answer::Taken { .. }));
    }
}

#[test]
fn each_limit_is_asked_as_soon_as_its_keys_are_known() {
    use LimitKey::{Capture as OfCapture, Claim, Header, Ip, Route, Tenant, User};
    let tokens = |name: &'static str| Cost::Capture { name: name.into(), reserve: NonZeroU32::MIN };
    let with = |key: &[LimitKey]| RateLimit { key: key.to_vec(), ..limit("a", 1, SECOND, 1) };
    let cases = [
        (with(&[Ip, Route, Header("x-a".into())]), Stage::Door),
        (with(&[Ip, User]), Stage::Known),
        (with(&[Tenant]), Stage::Known),
        (with(&[Claim("plan".into()), Route]), Stage::Known),
        (with(&[User, OfCapture("asked".into())]), Stage::Body),
        (RateLimit { tier_claim: Some("plan".into()), ..with(&[Ip]) }, Stage::Known),
        (RateLimit { cost: tokens("used"), ..with(&[Ip]) }, Stage::Door),
        (RateLimit { cost: tokens("used"), ..with(&[User]) }, Stage::Known),
        (RateLimit { cost: tokens("asked"), ..with(&[Ip]) }, Stage::Body),
    ];
    for (limit, stage) in cases {
        let mut config = config(std::slice::from_ref(&limit));
        config.captures = captures();
        let limits = Limits::compile(&config, None, None);
        assert_eq!(limits.iter().next().unwrap().stage(), stage, "{limit:?}");
        let staged = all(&limits);
        for other in [Stage::Door, Stage::Known, Stage::Body] {
            assert_eq!(staged.at(other).len(), usize::from(other == stage));
        }
    }
}

fn captures() -> Vec<Capture> {
    let capture = |name: &'static str, place: fn(Box<str>) -> Place| Capture {
        name: name.into(),
        place: place("/n".into()),
        take: Take::Number,
        metric: false,
    };
    vec![capture("asked", Place::RequestBody), capture("used", Place::ResponseBody)]
}

#[tokio::test(start_paused = true)]
async fn a_route_may_take_limits_less_strictly_but_not_more() {
    let shadow = RateLimit { mode: Mode::Shadow, ..limit("s", 1, SECOND, 1) };
    let limits = compile(&[limit("e", 1, SECOND, 1), shadow], None);
    let names = ["e".into(), "s".into()];
    let lax = limits.resolve(&names, Mode::Shadow);
    assert!(ask(&lax).would_deny.is_none());
    let verdict = ask(&lax);
    assert_eq!((verdict.denied.is_some(), verdict.would_deny.as_deref()), (false, Some("e")));
    assert!(limits.resolve(&names, Mode::Off).is_empty());
    let strict = limits.resolve(&names[1..], Mode::Enforce);
    assert!(ask(&strict).denied.is_none(), "a limit in shadow mode stays there");
}

#[tokio::test(start_paused = true)]
async fn the_older_fields_tell_of_the_tightest_limit() {
    let mut config = config(&[limit("a", 1, SECOND, 9), limit("b", 1, 2 * SECOND, 2)]);
    for (form, fields) in [(RateLimitHeaders::Legacy, 3), (RateLimitHeaders::Both, 5)] {
        config.rate_limit_headers = form;
        let limiters = all(&Limits::compile(&config, None, None));
        let lines = dressed(&ask(&limiters));
        assert_eq!(lines.len(), fields, "{lines:?}");
        let old = ["x-ratelimit-limit: 2", "x-ratelimit-remaining: 1", "x-ratelimit-reset: 2"];
        assert_eq!(lines[fields - 3..], old);
    }
    let mut headers: HeaderMap =
        [("x-ratelimit-limit".parse().unwrap(), "7".parse().unwrap())].into_iter().collect();
    dress(&mut headers, &ask(&all(&Limits::compile(&config, None, None))));
    assert_eq!(headers.get_all("x-ratelimit-limit").iter().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tier_is_what_a_verified_claim_says_and_any_other_is_the_base() {
    let tiers = vec![("premium".into(), Rate { count: NonZeroU32::new(10).unwrap(), per: SECOND })];
    let plans = RateLimit {
        key: vec![LimitKey::User],
        tier_claim: Some("/realm/plan".into()),
        tiers,
        ..limit("plans", 1, SECOND, 2)
    };
    let limits = compile(std::slice::from_ref(&plans), None);
    let staged = all(&limits);
    let wait = |staged: &Staged, who: &Identity| loop {
        if let Some(denial) = ask_as(staged, Stage::Known, Some(who), &[]).denied {
            return denial.retry_after.unwrap();
        }
    };
    let premium = caller("p", &json!({"realm": {"plan": "premium"}}));
    assert_eq!(wait(&staged, &premium), SECOND / 10);
    for claims in [json!({}), json!({"realm": {"plan": "gold"}}), json!({"realm": {"plan": 7}})] {
        let user = claims.to_string();
        assert_eq!(wait(&staged, &caller(&user, &claims)), SECOND, "{user}");
    }
    assert_eq!(ask_as(&staged, Stage::Known, None, &[]).budgets().next().unwrap().remaining, 1);

    // A reload that changes one tier keeps the buckets of the others.
    let mut changed = plans.clone();
    changed.tiers[0].1.count = NonZeroU32::new(5).unwrap();
    let reloaded = all(&compile(&[changed], Some(&limits)));
    assert!(ask_as(&reloaded, Stage::Known, Some(&caller("{}", &json!({}))), &[]).denied.is_some());
    assert!(ask_as(&reloaded, Stage::Known, Some(&premium), &[]).denied.is_none());
}
