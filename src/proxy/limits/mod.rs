//! Token buckets: how often somebody may ask.
//!
//! A bucket holds `burst` tokens and gets one back per interval (`rate`), by the generic cell rate
//! algorithm of `governor`. So within any time `w` at most `burst + rate × w` requests pass. Buckets
//! survive a reload as long as key, rate, burst and `max_keys` of their limit stay; counters
//! survive as long as its name does.
//!
//! Memory is bounded (see `buckets`). Nothing here waits, and a denial is a verdict, not an
//! answer: the pipeline makes that.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use governor::Quota;
use http::HeaderValue;

use crate::config::Config;
use crate::config::model::{Mode, RateLimit, RateLimitHeaders};
use crate::record::ConfigName;
use crate::units::Rate;

mod buckets;
mod dress;
mod key;
pub mod store;

pub use buckets::Answer;
pub use dress::dress;
pub use key::Keys;

use buckets::{Buckets, Pace};
use key::Recipe;

/// All limits of a configuration.
#[derive(Debug, Default)]
pub struct Limits(Vec<Arc<Limiter>>);

impl Limits {
    /// Makes the limits of a configuration, keeping the buckets and counters of the previous one
    /// where they still fit. Limits whose mode is `off` are not there.
    pub fn compile(config: &Config, previous: Option<&Self>) -> Self {
        let announce = config.rate_limit_headers == RateLimitHeaders::Ietf;
        let limiter = |limit: &RateLimit| {
            let before = previous.and_then(|previous| previous.find(&limit.name));
            Arc::new(Limiter::compile(limit, announce, before))
        };
        let there = config.rate_limits.iter().filter(|limit| limit.mode != Mode::Off);
        Self(there.map(limiter).collect())
    }

    /// The limits of these names, in this order. A name of no limit, or of one that is off, is
    /// skipped: the configuration's check knows which names are wrong.
    pub fn resolve(&self, names: &[ConfigName]) -> Arc<[Arc<Limiter>]> {
        names.iter().filter_map(|name| self.find(name).cloned()).collect()
    }

    /// All limits, for metrics.
    pub fn iter(&self) -> impl Iterator<Item = &Limiter> {
        self.0.iter().map(|limiter| &**limiter)
    }

    fn find(&self, name: &str) -> Option<&Arc<Limiter>> {
        self.0.iter().find(|limiter| &*limiter.name == name)
    }
}

/// One limit with its buckets.
#[derive(Debug)]
pub struct Limiter {
    name: ConfigName,
    /// What was asked for, to tell on a reload whether the buckets still fit.
    limit: RateLimit,
    quota: Quota,
    /// Whether answers mention it.
    announce: bool,
    /// The name as header fields write it.
    quoted: Box<[u8]>,
    /// Its `RateLimit-Policy`.
    policy: HeaderValue,
    /// Its last `RateLimit`.
    written: dress::Written,
    /// Keys and buckets belong together: a key is a hash with the recipe's secrets.
    state: Arc<(Recipe, Buckets)>,
    pace: Pace,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    allow: AtomicU64,
    deny: AtomicU64,
    would_deny: AtomicU64,
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

impl Limiter {
    fn compile(limit: &RateLimit, announce: bool, before: Option<&Arc<Self>>) -> Self {
        let quota = quota(limit.rate, limit.burst);
        let fits = |before: &&Arc<Self>| {
            let RateLimit { name: _, key, rate, burst, mode: _, max_keys } = &before.limit;
            (key, rate, burst, max_keys) == (&limit.key, &limit.rate, &limit.burst, &limit.max_keys)
        };
        let state = before.filter(fits).map(|before| Arc::clone(&before.state));
        let state = state
            .unwrap_or_else(|| Arc::new((Recipe::new(&limit.key), Buckets::new(limit.max_keys))));
        let quoted = dress::quoted(&limit.name);
        Self {
            name: limit.name.clone(),
            limit: limit.clone(),
            quota,
            announce: announce && limit.mode == Mode::Enforce,
            policy: dress::policy(&quoted, quota),
            written: dress::Written::default(),
            quoted,
            pace: state.1.pace(quota),
            state,
            counters: before.map(|before| Arc::clone(&before.counters)).unwrap_or_default(),
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

    fn take(&self, request: &Keys<'_>) -> Answer {
        self.pace.take(self.state.0.key(request), NonZeroU32::MIN)
    }
}

/// The longest time between two tokens.
const CENTURY: Duration = Duration::from_hours(100 * 366 * 24);

/// The quota of a rate. A burst that would take over a century to come back is cut to that: more is
/// beyond what 64 bits of nanoseconds can reckon with.
fn quota(rate: Rate, burst: NonZeroU32) -> Quota {
    let interval = (rate.per / rate.count.get()).clamp(Duration::from_nanos(1), CENTURY);
    let most = u32::try_from(CENTURY.as_nanos() / interval.as_nanos()).ok();
    let burst = most.and_then(NonZeroU32::new).map_or(burst, |most| burst.min(most));
    // The period is not zero, so the fallback is never taken.
    Quota::with_period(interval).unwrap_or(Quota::per_second(burst)).allow_burst(burst)
}

/// What the limits say about one request.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Verdict {
    /// The limit that refuses, if one does.
    pub denied: Option<Denial>,
    /// The first limit in shadow mode that would have refused.
    pub would_deny: Option<ConfigName>,
    /// What is left in the first enforced limit that was asked; apart from the others, because one
    /// limit is the usual case and needs no allocation.
    first: Option<Budget>,
    others: Vec<Budget>,
}

/// A refusal by a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Its name.
    pub limit: ConfigName,
    /// How long until it has a token again.
    pub retry_after: Duration,
}

/// What is left in a bucket.
#[derive(Clone, Debug)]
pub struct Budget {
    limiter: Arc<Limiter>,
    /// Whole tokens.
    pub remaining: u32,
    /// Until the bucket is full again; after a denial, until its next token.
    pub reset: Duration,
}

impl Verdict {
    /// What is left in every enforced limit that was asked, in order.
    pub fn budgets(&self) -> impl Iterator<Item = &Budget> {
        self.first.iter().chain(&self.others)
    }

    fn note(&mut self, budget: Budget) {
        match &self.first {
            None => self.first = Some(budget),
            Some(_) => self.others.push(budget),
        }
    }
}

/// Takes a token from each limit in turn, up to the first enforced one that has none. Tokens taken
/// before a denial are not given back.
pub fn admit(limiters: &[Arc<Limiter>], request: &Keys<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    for limiter in limiters {
        let enforced = limiter.limit.mode == Mode::Enforce;
        match limiter.take(request) {
            Answer::Taken { remaining } => {
                limiter.counters.allow.fetch_add(1, Relaxed);
                if enforced {
                    let spent = limiter.quota.burst_size().get().saturating_sub(remaining);
                    let reset = limiter.quota.replenish_interval().saturating_mul(spent);
                    verdict.note(Budget { limiter: Arc::clone(limiter), remaining, reset });
                }
            }
            Answer::Empty { wait } if enforced => {
                limiter.counters.deny.fetch_add(1, Relaxed);
                verdict.note(Budget { limiter: Arc::clone(limiter), remaining: 0, reset: wait });
                let limit = limiter.name.clone();
                verdict.denied = Some(Denial { limit, retry_after: wait });
                break;
            }
            Answer::Empty { .. } => {
                limiter.counters.would_deny.fetch_add(1, Relaxed);
                verdict.would_deny.get_or_insert_with(|| limiter.name.clone());
            }
        }
    }
    verdict
}

#[cfg(test)]
mod tests;
