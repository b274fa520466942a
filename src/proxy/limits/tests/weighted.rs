//! Costs, reserves, debts and tiers, against the bucket that a user imagines.

use super::*;

/// A level in tokens × interval, filled by time, below zero where something is owed.
struct Model {
    burst: i128,
    interval: i128,
    level: i128,
}

impl Model {
    fn new(burst: u32, interval: Duration) -> Self {
        let (burst, interval) = (burst.into(), interval.as_nanos().cast_signed());
        Self { burst, interval, level: burst * interval }
    }

    fn wait(&mut self, time: Duration) {
        let full = self.burst * self.interval;
        self.level = (self.level + time.as_nanos().cast_signed()).min(full);
    }

    /// Takes so many if they are there, and says how many whole ones are left; else how long it takes.
    fn take(&mut self, tokens: u32) -> Result<i128, i128> {
        let after = self.level - i128::from(tokens) * self.interval;
        if after < 0 {
            return Err(-after);
        }
        self.level = after;
        Ok(after / self.interval)
    }

    /// Takes a known cost whole: `None` where it is more than the burst.
    fn take_known(&mut self, cost: Known, reserve: u32) -> Option<Result<i128, i128>> {
        let burst = u32::try_from(self.burst).unwrap();
        match cost {
            Known::Number(cost) if cost > u64::from(burst) => None,
            Known::Number(cost) => Some(self.take(u32::try_from(cost).unwrap().max(reserve))),
            Known::Missing => Some(self.take(reserve)),
            Known::Unfit => Some(self.take(burst)),
        }
    }

    /// Charges what an answer cost beyond its reserve; no more than a burst in all.
    fn settle(&mut self, cost: u64, reserve: u32) {
        let tokens = i128::from(cost).min(self.burst) - i128::from(reserve);
        self.level = (self.level - tokens * self.interval).min(self.burst * self.interval);
    }
}

/// What a request says of its cost.
#[derive(Clone, Copy, Debug)]
enum Known {
    Number(u64),
    Missing,
    Unfit,
}

fn known() -> impl Strategy<Value = Known> {
    prop_oneof![
        6 => (0u64..9).prop_map(Known::Number),
        1 => any::<u64>().prop_map(Known::Number),
        1 => Just(Known::Missing),
        1 => Just(Known::Unfit),
    ]
}

fn paused<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap().block_on(test)
}

fn weighted(name: &'static str, reserve: u32, burst: u32, per: Duration) -> Limits {
    let reserve = NonZeroU32::new(reserve).unwrap();
    let cost = Cost::Capture { name: name.into(), reserve };
    let mut config = config(&[RateLimit { cost, ..limit("a", 1, per, burst) }]);
    config.captures = captures();
    Limits::compile(&config, None, None)
}

/// Asks a limit whose cost the request names.
fn ask_known(staged: &Staged, cost: Known) -> Verdict {
    let (headers, name) = (HeaderMap::new(), ConfigName::from("asked"));
    let facts = match cost {
        Known::Number(cost) => number("asked", cost).to_vec(),
        Known::Missing | Known::Unfit => Vec::new(),
    };
    let unfit = if matches!(cost, Known::Unfit) { vec![name] } else { Vec::new() };
    let (ip, facts, unfit) = (IpAddr::V4(Ipv4Addr::LOCALHOST), &facts[..], &unfit[..]);
    let request = Keys { ip, route: "/", headers: &headers, identity: None, facts, unfit };
    let mut verdict = Verdict::default();
    admit(staged.at(Stage::Body), &request, &mut verdict);
    verdict
}

fn number(name: &'static str, number: u64) -> [Fact; 1] {
    [Fact { name: name.into(), value: Value::Number(number) }]
}

#[tokio::test(start_paused = true)]
async fn what_a_request_cost_is_settled_when_it_ends() {
    let limits = weighted("used", 2, 10, SECOND);
    let staged = all(&limits);
    let mut first = ask(&staged);
    assert_eq!(first.budgets().next().unwrap().remaining, 8, "its reserve is taken");
    let mut second = ask(&staged);
    second.dues.pop().unwrap().settle(&number("used", 9));
    first.dues.pop().unwrap().settle(&number("used", 6));
    // Ten were there and fifteen are gone; two more are wanted.
    assert_eq!(ask(&staged).denied.unwrap().retry_after, Some(7 * SECOND));
    advance(7 * SECOND).await;
    let mut third = ask(&staged);
    assert!(third.denied.is_none());
    third.dues.pop().unwrap().settle(&number("used", 0));
    let fourth = ask(&staged);
    assert_eq!(fourth.budgets().next().unwrap().remaining, 0, "the reserve came back");
    drop(fourth);
    assert!(ask(&staged).denied.is_some(), "without a number, the reserve was the cost");
}

#[tokio::test(start_paused = true)]
async fn no_answer_costs_more_than_a_burst() {
    let limits = weighted("used", 2, 10, SECOND);
    let staged = all(&limits);
    for cost in [11, 1 << 53, u64::MAX] {
        let mut verdict = ask(&staged);
        assert_eq!(verdict.budgets().next().unwrap().remaining, 8);
        verdict.dues.pop().unwrap().settle(&number("used", cost));
        assert_eq!(
            ask(&staged).denied.unwrap().retry_after,
            Some(2 * SECOND),
            "not more, not less"
        );
        advance(10 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cost_that_the_request_names_is_taken_whole_or_not_at_all() {
    let limits = weighted("asked", 2, 10, SECOND);
    let staged = all(&limits);
    let left = |verdict: &Verdict| verdict.budgets().next().unwrap().remaining;
    let first = ask_known(&staged, Known::Number(6));
    assert_eq!((left(&first), first.dues.len()), (4, 0));
    let too_early = ask_known(&staged, Known::Number(7)).denied.unwrap();
    assert_eq!(too_early.retry_after, Some(3 * SECOND), "and nothing is taken");
    assert_eq!(left(&ask_known(&staged, Known::Number(0))), 2, "the reserve is the least");
    assert_eq!(left(&ask_known(&staged, Known::Missing)), 0, "and what is taken without a number");
    for beyond in [11, 1 << 53, u64::MAX] {
        let denial = ask_known(&staged, Known::Number(beyond)).denied.unwrap();
        assert_eq!(denial, Denial { limit: "a".into(), retry_after: None });
    }
    advance(10 * SECOND).await;
    assert_eq!(left(&ask_known(&staged, Known::Unfit)), 0, "what is no number counts as the most");
    assert_eq!(counts(&limits), Counts { allow: 4, deny: 4, would_deny: 0 });
}

#[tokio::test(start_paused = true)]
async fn in_shadow_a_cost_beyond_the_burst_only_counts() {
    let limits = weighted("asked", 1, 2, SECOND);
    let staged = limits.resolve(&["a".into()], Mode::Shadow);
    let verdict = ask_known(&staged, Known::Number(3));
    assert_eq!((verdict.denied, verdict.would_deny.as_deref()), (None, Some("a")));
    assert_eq!(counts(&limits), Counts { allow: 0, deny: 0, would_deny: 1 });
    assert_eq!(ask_known(&staged, Known::Number(2)).would_deny, None, "it took nothing");
}

#[tokio::test(start_paused = true)]
async fn a_shadow_limit_is_settled_too() {
    let limits = weighted("used", 1, 2, SECOND);
    let staged = limits.resolve(&["a".into()], Mode::Shadow);
    let mut first = ask(&staged);
    first.dues.pop().unwrap().settle(&number("used", 2));
    let second = ask(&staged);
    assert_eq!((second.would_deny.as_deref(), second.dues.len()), (Some("a"), 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn buckets_reckon_exactly_as_the_model(
        burst in 1u32..6,
        interval in 1u64..5_000,
        steps in proptest::collection::vec((0u64..4_000, 0u32..4), 1..40),
    ) {
        paused(async {
            let interval = Duration::from_millis(interval);
            let limits = compile(&[limit("a", 1, interval, burst)], None);
            let staged = all(&limits);
            let mut model = Model::new(burst, interval);
            for (pause, requests) in steps {
                let pause = Duration::from_millis(pause);
                advance(pause).await;
                model.wait(pause);
                for _ in 0..requests {
                    let verdict = ask(&staged);
                    match model.take(1) {
                        Ok(left) => {
                            prop_assert!(verdict.denied.is_none());
                            let budget = verdict.budgets().next().unwrap();
                            prop_assert_eq!(i128::from(budget.remaining), left);
                        }
                        Err(wait) => {
                            let denial = verdict.denied.unwrap();
                            prop_assert_eq!(denial.retry_after.unwrap().as_nanos().cast_signed(), wait);
                        }
                    }
                }
            }
            Ok(())
        })?;
    }

    /// Reserves that are settled later and in any order, for two users in two tiers.
    #[test]
    fn reserves_debts_and_tiers_reckon_exactly_as_the_model(
        burst in 1u32..8,
        reserve in 1u32..8,
        steps in proptest::collection::vec(
            (0u64..3_000, any::<bool>(), any::<prop::sample::Index>(), 0u64..12), 1..60),
    ) {
        paused(async {
            let reserve = reserve.min(burst);
            let (base, fast) = (SECOND, SECOND / 4);
            let cost = Cost::Capture { name: "used".into(), reserve: reserve.try_into().unwrap() };
            let rate = |per| Rate { count: NonZeroU32::MIN, per };
            let mut config = config(&[RateLimit {
                key: vec![LimitKey::User],
                cost,
                tier_claim: Some("plan".into()),
                tiers: vec![("fast".into(), rate(fast))],
                ..limit("a", 1, base, burst)
            }]);
            config.captures = captures();
            let staged = all(&Limits::compile(&config, None, None));
            let users = [caller("u", &json!({"plan": "fast"})), caller("u", &json!({}))];
            let mut models = [Model::new(burst, fast), Model::new(burst, base)];
            let mut dues: Vec<(usize, Due)> = Vec::new();
            for (pause, is_request, which, cost) in steps {
                let pause = Duration::from_millis(pause);
                advance(pause).await;
                for model in &mut models {
                    model.wait(pause);
                }
                if !is_request && !dues.is_empty() {
                    let (who, due) = dues.swap_remove(which.index(dues.len()));
                    due.settle(&number("used", cost));
                    models[who].settle(cost, reserve);
                    continue;
                }
                let who = which.index(2);
                let mut verdict = ask_as(&staged, Stage::Known, Some(&users[who]), &[]);
                match models[who].take(reserve) {
                    Ok(left) => {
                        let budget = verdict.budgets().next().unwrap();
                        prop_assert_eq!(i128::from(budget.remaining), left);
                        dues.extend(verdict.dues.pop().map(|due| (who, due)));
                    }
                    Err(wait) => {
                        let denial = verdict.denied.unwrap();
                        prop_assert_eq!(denial.retry_after.unwrap().as_nanos().cast_signed(), wait);
                        prop_assert!(verdict.dues.is_empty());
                    }
                }
            }
            Ok(())
        })?;
    }

    /// Costs that requests name, whatever they say.
    #[test]
    fn known_costs_reckon_exactly_as_the_model(
        burst in 1u32..8,
        reserve in 1u32..8,
        steps in proptest::collection::vec((0u64..3_000, known()), 1..60),
    ) {
        paused(async {
            let reserve = reserve.min(burst);
            let limits = weighted("asked", reserve, burst, SECOND);
            let (staged, mut model) = (all(&limits), Model::new(burst, SECOND));
            for (pause, cost) in steps {
                let pause = Duration::from_millis(pause);
                advance(pause).await;
                model.wait(pause);
                let verdict = ask_known(&staged, cost);
                match model.take_known(cost, reserve) {
                    Some(Ok(left)) => {
                        let budget = verdict.budgets().next().unwrap();
                        prop_assert_eq!(i128::from(budget.remaining), left);
                    }
                    Some(Err(wait)) => {
                        let denial = verdict.denied.unwrap();
                        prop_assert_eq!(denial.retry_after.unwrap().as_nanos().cast_signed(), wait);
                    }
                    None => prop_assert_eq!(verdict.denied.unwrap().retry_after, None),
                }
            }
            Ok(())
        })?;
    }
}
