//! One limit: its buckets, its rates and what it counts.
//!
//! It finds the bucket of a request, says what the request costs, and takes or settles tokens. A reload
//! hands its buckets on where they still fit. What its word means for the request is decided by the
//! [`Verdict`](super::Verdict).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use governor::Quota;
use http::HeaderValue;

use super::buckets::{Answer, Buckets, Pace};
use super::key::{Key, Recipe};
use super::store::{Ask, SharedKey, Store, Told};
use super::{Keys, Stage, dress};
use crate::config::model::{Cost, LimitKey, Mode, RateLimit, RateLimitHeaders};
use crate::record::{ConfigName, Fact, Value};
use crate::units::Rate;

/// The longest time between two tokens.
pub(super) const CENTURY: Duration = Duration::from_hours(100 * 366 * 24);

/// One limit with its buckets.
#[derive(Debug)]
pub struct Limiter {
    pub(super) name: ConfigName,
    /// What was asked for, to tell on a reload whether the buckets still fit.
    limit: RateLimit,
    /// How answers mention it.
    pub(super) form: RateLimitHeaders,
    /// Where its keys, and what it costs, are known.
    stage: Stage,
    /// Whether what a request costs is known before the request goes on.
    is_cost_known: bool,
    /// Its own rate; apart from the tiers', because it is the usual one.
    base: Tariff,
    tiers: Box<[Tariff]>,
    /// Keys and buckets belong together: a key is a hash with the recipe's secrets.
    state: Arc<(Recipe, Buckets)>,
    store: Option<Arc<dyn Store>>,
    pub(super) counters: Arc<Counters>,
}

/// A rate of a limit, and what is said of it.
#[derive(Debug)]
pub(super) struct Tariff {
    pub(super) pace: Pace,
    /// Its `RateLimit-Policy`.
    pub(super) policy: HeaderValue,
    /// The name of its limit as header fields write it.
    pub(super) quoted: Box<[u8]>,
    /// Its last `RateLimit`.
    pub(super) written: dress::Written,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) allow: AtomicU64,
    pub(super) deny: AtomicU64,
    pub(super) would_deny: AtomicU64,
    /// Whether an answer cost more than the burst, which is said once.
    has_cut: AtomicBool,
}

/// What a limit decided so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that got a token.
    pub allow: u64,
    /// Requests that were refused.
    pub deny: u64,
    /// Requests that a limit in shadow mode would have refused.
    pub would_deny: u64,
}

/// The bucket that a request has to do with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) tariff: usize,
    /// What is taken from it at first; `None` for more than it ever holds.
    weight: Option<NonZeroU32>,
    key: Key,
    shared: Option<SharedKey>,
}

impl Limiter {
    /// `of_answers` names the captures that are known only at the end.
    pub(super) fn compile(
        limit: &RateLimit,
        form: RateLimitHeaders,
        of_answers: &[&ConfigName],
        store: Option<Arc<dyn Store>>,
        before: Option<&Arc<Self>>,
    ) -> Self {
        let has_tiers = limit.tier_claim.is_some();
        let fits = |before: &&Arc<Self>| {
            let was = &before.limit;
            let is_same_place = (&was.key, was.max_keys, &was.tier_claim)
                == (&limit.key, limit.max_keys, &limit.tier_claim);
            // Where there are tiers, the quota is part of the key.
            is_same_place && (has_tiers || (was.rate, was.burst) == (limit.rate, limit.burst))
        };
        let state = before.filter(fits).map(|before| Arc::clone(&before.state));
        let state = state.unwrap_or_else(|| {
            Arc::new((Recipe::new(&limit.key, has_tiers), Buckets::new(limit.max_keys)))
        });
        let quoted = dress::quoted(&limit.name);
        let tariff = |rate: &Rate| {
            let quota = quota(*rate, limit.burst);
            let policy = dress::policy(&quoted, quota);
            let quoted = quoted.clone();
            Tariff { pace: state.1.pace(quota), policy, quoted, written: dress::Written::default() }
        };
        let is_cost_known = match &limit.cost {
            Cost::Request => true,
            Cost::Capture { name, .. } => !of_answers.contains(&name),
        };
        Self {
            name: limit.name.clone(),
            form,
            stage: stage(limit, is_cost_known),
            is_cost_known,
            base: tariff(&limit.rate),
            tiers: limit.tiers.iter().map(|(_, rate)| tariff(rate)).collect(),
            limit: limit.clone(),
            store,
            counters: before.map(|before| Arc::clone(&before.counters)).unwrap_or_default(),
            state,
        }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &ConfigName {
        &self.name
    }

    /// What it decided so far.
    pub fn counts(&self) -> Counts {
        Counts {
            allow: self.counters.allow.load(Relaxed),
            deny: self.counters.deny.load(Relaxed),
            would_deny: self.counters.would_deny.load(Relaxed),
        }
    }

    /// Buckets held now; at most `max_keys`.
    pub fn keys(&self) -> usize {
        self.state.1.len()
    }

    /// Requests that shared the overflow bucket, because `max_keys` others were being limited.
    pub fn overflowed(&self) -> u64 {
        self.state.1.overflowed()
    }

    /// The earliest stage at which it can be asked.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    pub(super) fn mode(&self) -> Mode {
        self.limit.mode
    }

    pub(super) fn quota(&self, tariff: usize) -> Quota {
        self.tariff(tariff).pace.quota()
    }

    /// The base is the first, the tiers follow.
    pub(super) fn tariff(&self, tariff: usize) -> &Tariff {
        tariff.checked_sub(1).and_then(|tier| self.tiers.get(tier)).unwrap_or(&self.base)
    }

    /// Finds the bucket of a request.
    pub(super) fn place(&self, request: &Keys<'_>) -> Place {
        let (recipe, _) = &*self.state;
        let (mut tariff, mut tier) = (0, None);
        if let Some(claim) = &self.limit.tier_claim {
            tariff = self.tier_of(claim, request);
            tier = Some(self.quota(tariff));
        }
        let shared =
            self.store.is_some().then(|| recipe.shared(&self.name, self.quota(tariff), request));
        let weight = self.price(tariff, request);
        Place { tariff, weight, key: recipe.key(request, tier), shared }
    }

    /// What a request takes at first: its cost where that is known, else its reserve. `None` where it
    /// costs more than a bucket ever holds.
    fn price(&self, tariff: usize, request: &Keys<'_>) -> Option<NonZeroU32> {
        let (name, reserve) = match &self.limit.cost {
            Cost::Request => return Some(NonZeroU32::MIN),
            Cost::Capture { name, reserve } => (name, *reserve),
        };
        let most = self.quota(tariff).burst_size();
        let reserve = reserve.min(most);
        match number(name, request.facts) {
            _ if !self.is_cost_known => Some(reserve),
            Some(cost) if cost > u64::from(most.get()) => None,
            // The number is the client's word: it may raise what a request costs, and not lower it.
            Some(cost) => u32::try_from(cost).ok().and_then(NonZeroU32::new).max(Some(reserve)),
            None if request.unfit.contains(name) => Some(most),
            None => Some(reserve),
        }
    }

    /// The tariff of the tier that the caller's claim names; the base, where it names none that exists.
    fn tier_of(&self, claim: &str, request: &Keys<'_>) -> usize {
        let tier = request.identity.and_then(|identity| identity.claim(claim)?.as_str());
        let is_it = |tier: &str| self.limit.tiers.iter().position(|(name, _)| **name == *tier);
        tier.and_then(is_it).map_or(0, |index| index + 1)
    }

    /// Takes what a request needs at first, from this process's bucket.
    pub(super) fn take(&self, place: &Place) -> Answer {
        let take = |weight| self.tariff(place.tariff).pace.take(place.key, weight);
        place.weight.map_or(Answer::TooMuch, take)
    }

    /// The same, from the bucket of all replicas, where there is one.
    pub(super) async fn take_shared(&self, place: &Place, waited: Duration) -> Told {
        let (Some(store), Some(key), Some(weight)) = (&self.store, place.shared, place.weight)
        else {
            return Told { answer: self.take(place), divided: None, call: None };
        };
        let local = (&self.state.1, place.key);
        let (rule, quota) = (&self.name, self.quota(place.tariff));
        store.take(Ask { rule, key, weight, quota, waited, local }).await
    }

    /// Whether the cost of a request is still open after its reserve was taken.
    pub(super) fn is_due(&self) -> bool {
        !self.is_cost_known
    }

    /// Settles what a request cost against what was taken for it. No request costs more than a burst,
    /// so that no answer, however wrong, keeps its caller out for longer than a bucket takes to fill.
    pub(super) fn settle(&self, place: &Place, facts: &[Fact]) {
        let Cost::Capture { name, .. } = &self.limit.cost else { return };
        let (Some(cost), Some(taken)) = (number(name, facts), place.weight) else { return };
        let quota = self.quota(place.tariff);
        let most = quota.burst_size().get();
        if cost > u64::from(most) && !self.counters.has_cut.swap(true, Relaxed) {
            tracing::warn!(
                limit = %self.name,
                "An answer costs more than the limit's burst, and is charged the burst. A larger burst \
                 would charge all of it. This is said once."
            );
        }
        let cost = u32::try_from(cost).unwrap_or(most).min(most);
        let tokens = i64::from(cost) - i64::from(taken.get());
        if let (Some(store), Some(key)) = (&self.store, place.shared) {
            store.charge(&self.name, key, quota, tokens);
        } else {
            self.state.1.charge(place.key, quota.replenish_interval(), tokens);
        }
    }
}

/// The captured number of this name.
fn number(name: &ConfigName, facts: &[Fact]) -> Option<u64> {
    match facts.iter().find(|fact| fact.name == *name)?.value {
        Value::Number(number) | Value::Length(number) => Some(number),
        _ => None,
    }
}

/// The earliest stage at which everything is known that a limit asks for.
fn stage(limit: &RateLimit, is_cost_known: bool) -> Stage {
    let mut stages = limit.key.iter().map(|part| match part {
        LimitKey::Ip | LimitKey::Route | LimitKey::Header(_) => Stage::Door,
        LimitKey::User | LimitKey::Tenant | LimitKey::Claim(_) => Stage::Known,
        LimitKey::Capture(_) => Stage::Body,
    });
    if matches!(limit.cost, Cost::Capture { .. }) && is_cost_known {
        return Stage::Body;
    }
    let tier = if limit.tier_claim.is_some() { Stage::Known } else { Stage::Door };
    stages.by_ref().fold(tier, Stage::max)
}

/// The quota of a rate. A burst that would take over a century to come back is cut to that: more is
/// beyond what 64 bits of nanoseconds can reckon with.
pub(super) fn quota(rate: Rate, burst: NonZeroU32) -> Quota {
    let interval = (rate.per / rate.count.get()).clamp(Duration::from_nanos(1), CENTURY);
    let most = u32::try_from(CENTURY.as_nanos() / interval.as_nanos()).ok();
    let burst = most.and_then(NonZeroU32::new).map_or(burst, |most| burst.min(most));
    // The period is not zero, so the fallback is never taken.
    Quota::with_period(interval).unwrap_or(Quota::per_second(burst)).allow_burst(burst)
}
