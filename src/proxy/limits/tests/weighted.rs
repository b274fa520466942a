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

    fn settle(&mut self, tokens: i128) {
        self.level = (self.level - tokens * self.interval).min(self.burst * self.interval);
    }
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

fn number(name: &'static str, number: u64) -> [Fact; 1] {
    [Fact { name: name.into(), value: Value::Number(number) }]
}

#[tokio::test(start_paused = true)]
async fn what_a_request_cost_is_settled_when_it_ends() {
    let limits = weighted("used", 2, 10, SECOND);
    let staged = all(&limits);
    let mut first = ask(&staged);
    assert_eq!(first.budgets().next().unwrap().remaining, 8, "its reserve is taken");
    first.dues.pop().unwrap().settle(&number("used", 15));
    // Ten were there and fifteen are gone; two more are wanted.
    assert_eq!(ask(&staged).denied.unwrap().retry_after, 7 * SECOND);
    advance(7 * SECOND).await;
    let mut second = ask(&staged);
    assert!(second.denied.is_none());
    second.dues.pop().unwrap().settle(&number("used", 0));
    let third = ask(&staged);
    assert_eq!(third.budgets().next().unwrap().remaining, 0, "the reserve came back");
    drop(third);
    assert!(ask(&staged).denied.is_some(), "without a number, the reserve was the cost");
}

#[tokio::test(start_paused = true)]
async fn a_cost_that_is_known_is_charged_before_the_next_request() {
    let limits = weighted("asked", 1, 10, SECOND);
    let staged = all(&limits);
    let ask = |cost| ask_as(&staged, Stage::Body, None, &number("asked", cost));
    let first = ask(4);
    let budget = first.budgets().next().unwrap();
    assert_eq!((budget.remaining, budget.reset, first.dues.len()), (6, 4 * SECOND, 0));
    // A cost beyond the burst is a debt, not a refusal for ever.
    assert_eq!(ask(26).budgets().next().unwrap().remaining, 0);
    assert_eq!(ask(1).denied.unwrap().retry_after, 21 * SECOND);
    advance(21 * SECOND).await;
    assert!(ask(u64::MAX).denied.is_none());
    assert!(ask(1).denied.unwrap().retry_after > 1_000_000_000 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_shadow_limit_is_settled_too() {
    let limits = weighted("used", 1, 2, SECOND);
    let staged = limits.resolve(&["a".into()], Mode::Shadow);
    let mut first = ask(&staged);
    first.dues.pop().unwrap().settle(&number("used", 5));
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
                            prop_assert_eq!(denial.retry_after.as_nanos().cast_signed(), wait);
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
                    models[who].settle(i128::from(cost) - i128::from(reserve));
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
                        prop_assert_eq!(denial.retry_after.as_nanos().cast_signed(), wait);
                        prop_assert!(verdict.dues.is_empty());
                    }
                }
            }
            Ok(())
        })?;
    }
}
