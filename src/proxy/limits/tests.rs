//! Limits as a route sees them, on a clock that stands still unless moved.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;

use http::HeaderMap;
use proptest::prelude::*;
use tokio::time::advance;

use super::*;
use crate::config::model::LimitKey;

fn limit(name: &'static str, count: u32, per: Duration, burst: u32) -> RateLimit {
    RateLimit {
        name: name.into(),
        key: vec![LimitKey::Ip],
        rate: Rate { count: NonZeroU32::new(count).unwrap(), per },
        burst: NonZeroU32::new(burst).unwrap(),
        mode: Mode::Enforce,
        max_keys: 1_000,
    }
}

fn config(limits: &[RateLimit]) -> Config {
    let mut config = Config::for_upstream(SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)));
    config.rate_limits = limits.to_vec();
    config
}

fn all(limits: &Limits) -> Arc<[Arc<Limiter>]> {
    limits.0.iter().cloned().collect()
}

fn ask(limiters: &[Arc<Limiter>]) -> Verdict {
    let headers = HeaderMap::new();
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    admit(limiters, &Keys { ip, route: "/", headers: &headers })
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

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_burst_passes_then_one_per_interval() {
    let limits = Limits::compile(&config(&[limit("a", 60, 60 * SECOND, 3)]), None);
    let limiters = all(&limits);
    assert!((0..3).all(|_| ask(&limiters).denied.is_none()));
    let denial = ask(&limiters).denied.unwrap();
    assert_eq!(denial, Denial { limit: "a".into(), retry_after: SECOND });
    advance(SECOND).await;
    assert!(ask(&limiters).denied.is_none());
    assert!(ask(&limiters).denied.is_some());
    assert_eq!(limiters[0].counts(), Counts { allow: 4, deny: 2, would_deny: 0 });
    assert_eq!(limiters[0].keys(), 1);
}

#[tokio::test(start_paused = true)]
async fn answers_name_policy_budget_and_wait() {
    let limits = Limits::compile(&config(&[limit("a", 30, 60 * SECOND, 2)]), None);
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
    let limiters = all(&Limits::compile(&config(&limits), None));
    let first = dressed(&ask(&limiters));
    assert_eq!(first[0], "ratelimit-policy: \"a\";q=5;w=5, \"b\";q=1;w=1, \"c\";q=5;w=5");
    assert_eq!(first[1], "ratelimit: \"a\";r=4;t=1, \"b\";r=0;t=1, \"c\";r=4;t=1");
    let second = ask(&limiters);
    assert_eq!(dressed(&second)[1], "ratelimit: \"a\";r=3;t=2, \"b\";r=0;t=1");
    assert_eq!(&*second.denied.unwrap().limit, "b");
    assert_eq!(limiters[2].counts().allow, 1);
}

#[tokio::test(start_paused = true)]
async fn a_shadow_limit_only_counts() {
    let shadow = RateLimit { mode: Mode::Shadow, ..limit("s", 1, SECOND, 1) };
    let off = RateLimit { mode: Mode::Off, ..limit("o", 1, SECOND, 1) };
    let limits = Limits::compile(&config(&[shadow, off]), None);
    let limiters = limits.resolve(&["o".into(), "s".into(), "unknown".into()]);
    assert_eq!(limiters.len(), 1);
    assert_eq!(ask(&limiters).would_deny, None);
    let verdict = ask(&limiters);
    assert_eq!((verdict.denied.as_ref(), verdict.would_deny.as_deref()), (None, Some("s")));
    assert!(dressed(&verdict).is_empty());
    assert_eq!(limiters[0].counts(), Counts { allow: 1, deny: 0, would_deny: 1 });
}

#[tokio::test(start_paused = true)]
async fn headers_can_be_off_but_a_denial_says_when_to_come_back() {
    let mut config = config(&[limit("a", 1, SECOND, 1)]);
    config.rate_limit_headers = RateLimitHeaders::Off;
    let limiters = all(&Limits::compile(&config, None));
    assert!(dressed(&ask(&limiters)).is_empty());
    assert_eq!(dressed(&ask(&limiters)), ["retry-after: 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_buckets_of_an_unchanged_quota_and_always_counters() {
    let before = limit("a", 1, SECOND, 1);
    let first = Limits::compile(&config(std::slice::from_ref(&before)), None);
    let _spent = ask(&all(&first));

    let shadow = RateLimit { mode: Mode::Shadow, ..before.clone() };
    let second = Limits::compile(&config(&[shadow]), Some(&first));
    assert!(ask(&all(&second)).would_deny.is_some());

    let wider = RateLimit { burst: NonZeroU32::new(2).unwrap(), ..before };
    let third = Limits::compile(&config(&[wider]), Some(&second));
    assert!(ask(&all(&third)).denied.is_none());
    assert_eq!(all(&third)[0].counts(), Counts { allow: 2, deny: 0, would_deny: 1 });
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
        let key = Recipe::new(&[]).key(&Keys {
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            route: "",
            headers: &HeaderMap::new(),
        });
        assert!(matches!(pace.take(key, NonZeroU32::MIN), Answer::Taken { .. }));
    }
}

/// The bucket a user imagines: a level in tokens × interval, filled by time.
struct Model {
    burst: u128,
    interval: u128,
    level: u128,
}

impl Model {
    fn wait(&mut self, time: Duration) {
        self.level = (self.level + time.as_nanos()).min(self.burst * self.interval);
    }

    fn take(&mut self) -> Option<u128> {
        self.level = self.level.checked_sub(self.interval)?;
        Some(self.level / self.interval)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn buckets_reckon_exactly_as_the_model(
        burst in 1u32..6,
        interval in 1u64..5_000,
        steps in proptest::collection::vec((0u64..4_000, 0u32..4), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let limits = Limits::compile(&config(&[limit("a", 1, Duration::from_millis(interval), burst)]), None);
            let limiters = all(&limits);
            let interval = u128::from(interval) * 1_000_000;
            let mut model = Model { burst: burst.into(), interval, level: u128::from(burst) * interval };
            for (pause, requests) in steps {
                let pause = Duration::from_millis(pause);
                advance(pause).await;
                model.wait(pause);
                for _ in 0..requests {
                    let verdict = ask(&limiters);
                    if let Some(left) = model.take() {
                        prop_assert!(verdict.denied.is_none());
                        let budget = verdict.budgets().next().unwrap();
                        prop_assert_eq!(u128::from(budget.remaining), left);
                    } else {
                        let wait = verdict.denied.unwrap().retry_after.as_nanos();
                        prop_assert_eq!(wait, interval - model.level);
                    }
                }
            }
            Ok(())
        })?;
    }
}
