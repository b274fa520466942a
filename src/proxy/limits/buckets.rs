//! The buckets of one limit: `governor`'s arithmetic over a clock and a store of our own.
//!
//! The store holds at most `max_keys` buckets. When it is full, full-again buckets are dropped first,
//! which loses nothing: a fresh bucket is full too. If there are none, newcomers share one overflow
//! bucket; nobody who is being limited is ever forgotten to make room.
//!
//! It knows keys only as the bits that `key` makes of them.

use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::key::Key;

const SHARDS: usize = 16;
/// A full store looks for full-again buckets at most this often per shard, so that a flood of new
/// keys does not turn into a flood of searches.
const SWEEP_EVERY: u64 = 1_000_000_000;

/// The farthest into the future that a debt reaches: two centuries, so that sums of times never
/// overflow their 64 bits of nanoseconds.
const FARTHEST: u64 = 200 * 366 * 86_400 * 1_000_000_000;

/// The buckets of one limit. How fast they fill is said by each [`Pace`] over them.
#[derive(Debug)]
pub(super) struct Buckets(Shared);

/// One rate and burst over the buckets of a limit. All that a bucket remembers is when it is full
/// again, so a key may change its pace at any time: it keeps what it owes.
#[derive(Debug)]
pub(super) struct Pace {
    limiter: RateLimiter<Key, Shared, LimitClock, StateInformationMiddleware>,
    quota: Quota,
}

/// What a bucket said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The tokens were taken; this many whole ones are left.
    Taken {
        /// Whole tokens.
        remaining: u32,
    },
    /// It holds too few; after this long it holds enough.
    Empty {
        /// Time to wait.
        wait: Duration,
    },
    /// More was asked than it ever holds. Nothing was taken.
    TooMuch,
}

impl Buckets {
    pub(super) fn new(max_keys: usize) -> Self {
        Self(Shared(Arc::new(Store {
            shards: std::array::from_fn(|_| Mutex::default()),
            len: AtomicUsize::new(0),
            max_keys,
            origin: Instant::now(),
            sweep_after: AtomicU64::new(0),
            overflow: Mutex::new(None),
            overflowed: AtomicU64::new(0),
        })))
    }

    /// A way to take tokens at this rate.
    pub(super) fn pace(&self, quota: Quota) -> Pace {
        let store = self.0.clone();
        let clock = LimitClock { origin: store.0.origin, has_begun: AtomicBool::new(false) };
        Pace { limiter: RateLimiter::new(quota, store, clock), quota }
    }

    /// Takes (or, below zero, gives back) tokens of this interval without asking whether they are
    /// there. A bucket may owe more than it ever holds; it never holds more than its burst. Returns
    /// how long it takes until the bucket is full again.
    pub(super) fn charge(&self, key: Key, interval: Duration, tokens: i64) -> Duration {
        let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        let shift = interval.saturating_mul(tokens.unsigned_abs());
        let now = since(self.0.0.origin).as_u64();
        let shifted = |full_at: Option<Nanos>| match full_at {
            // A bucket that is not there is full.
            None if tokens <= 0 => Err(()),
            _ => {
                let from = full_at.map_or(now, |full_at| full_at.as_u64().max(now));
                let to = if tokens < 0 {
                    from.saturating_sub(shift).max(now)
                } else {
                    from.saturating_add(shift).min(now.saturating_add(FARTHEST))
                };
                Ok((Duration::from_nanos(to - now), Nanos::new(to)))
            }
        };
        let store = &*self.0.0;
        let shifted = match store.own_bucket(&key, &shifted) {
            Some(shifted) => shifted,
            // What all newcomers share is filled by time alone: nobody can fill it for himself.
            None if tokens <= 0 => Err(()),
            None => store.overflow_bucket(&shifted),
        };
        shifted.unwrap_or_default()
    }

    /// Buckets held, the overflow bucket not counted.
    pub(super) fn len(&self) -> usize {
        self.0.0.len.load(Relaxed)
    }

    /// Requests that shared the overflow bucket.
    pub(super) fn overflowed(&self) -> u64 {
        self.0.0.overflowed.load(Relaxed)
    }
}

impl Pace {
    /// Takes that many tokens from the key's bucket if it has them; more than the burst counts as
    /// the burst. A bucket with too few is left as it is: asking again does not make the wait longer.
    pub(super) fn take(&self, key: Key, weight: NonZeroU32) -> Answer {
        let taken = if weight == NonZeroU32::MIN {
            self.limiter.check_key(&key)
        } else {
            let weight = weight.min(self.quota.burst_size());
            // The burst always fits, so the fallback is never taken.
            self.limiter.check_key_n(&key, weight).unwrap_or_else(|_| self.limiter.check_key(&key))
        };
        match taken {
            Ok(state) => Answer::Taken { remaining: state.remaining_burst_capacity() },
            Err(until) => Answer::Empty { wait: until.wait_time_from(self.limiter.clock().now()) },
        }
    }

    pub(super) fn quota(&self) -> Quota {
        self.quota
    }
}

/// Nanoseconds since the buckets were made. It follows tokio's clock, which tests can pause.
#[derive(Debug)]
struct LimitClock {
    origin: Instant,
    /// A limiter counts from its first look at the clock. Limiters of the same buckets must count
    /// from the same zero, whenever they were made: so the first look shows zero.
    has_begun: AtomicBool,
}

impl Clone for LimitClock {
    fn clone(&self) -> Self {
        Self { origin: self.origin, has_begun: AtomicBool::new(false) }
    }
}

impl Clock for LimitClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        if !self.has_begun.load(Relaxed) {
            self.has_begun.store(true, Relaxed);
            return Nanos::new(0);
        }
        since(self.origin)
    }
}

fn since(origin: Instant) -> Nanos {
    Nanos::new(u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// The store, shared by the limiter (which owns its store) and its observer.
#[derive(Clone, Debug)]
struct Shared(Arc<Store>);

/// For each key the time at which its bucket is full again.
#[derive(Debug)]
struct Store {
    shards: [Mutex<Shard>; SHARDS],
    /// Buckets in all shards; never above `max_keys`.
    len: AtomicUsize,
    max_keys: usize,
    origin: Instant,
    /// When the next shard may be swept; until then newcomers need not ask the shards.
    sweep_after: AtomicU64,
    overflow: Mutex<Option<Nanos>>,
    overflowed: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    full_at: HashMap<Key, Nanos, AlreadyHashed>,
    sweep_after: u64,
}

impl StateStore for Shared {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let store = &*self.0;
        store.own_bucket(key, &measure).unwrap_or_else(|| {
            store.overflowed.fetch_add(1, Relaxed);
            store.overflow_bucket(&measure)
        })
    }
}

impl Store {
    /// `None` where the key has no bucket and no room for one can be made.
    fn own_bucket<T, E>(
        &self,
        key: &Key,
        measure: &impl Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    ) -> Option<Result<T, E>> {
        let answer = self.try_own_bucket(key, measure);
        if answer.is_some() || !self.sweep(key.shard()) {
            return answer;
        }
        self.try_own_bucket(key, measure)
    }

    fn overflow_bucket<T, E>(
        &self,
        measure: &impl Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    ) -> Result<T, E> {
        let mut full_at = self.overflow.lock();
        let (answer, next) = measure(*full_at)?;
        *full_at = Some(next);
        Ok(answer)
    }

    /// `None` where the key has no bucket and there is no room for one.
    fn try_own_bucket<T, E>(
        &self,
        key: &Key,
        measure: &impl Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    ) -> Option<Result<T, E>> {
        let mut shard = self.shards[key.shard() % SHARDS].lock();
        if let Some(full_at) = shard.full_at.get_mut(key) {
            return Some(measure(Some(*full_at)).map(|(answer, next)| {
                *full_at = next;
                answer
            }));
        }
        let room = |len: usize| (len < self.max_keys).then_some(len + 1);
        self.len.fetch_update(Relaxed, Relaxed, room).ok()?;
        Some(match measure(None) {
            Ok((answer, next)) => {
                shard.full_at.insert(*key, next);
                Ok(answer)
            }
            Err(refusal) => {
                self.len.fetch_sub(1, Relaxed);
                Err(refusal)
            }
        })
    }

    /// Drops full-again buckets, the key's own shard first, until some were found. Whether some were.
    fn sweep(&self, first: usize) -> bool {
        let now = since(self.origin);
        if now.as_u64() < self.sweep_after.load(Relaxed) {
            return false;
        }
        let mut next = u64::MAX;
        for offset in 0..SHARDS {
            let mut shard = self.shards[first.wrapping_add(offset) % SHARDS].lock();
            if now.as_u64() < shard.sweep_after {
                next = next.min(shard.sweep_after);
                continue;
            }
            shard.sweep_after = now.as_u64().saturating_add(SWEEP_EVERY);
            next = next.min(shard.sweep_after);
            let before = shard.full_at.len();
            shard.full_at.retain(|_, full_at| *full_at > now);
            let dropped = before - shard.full_at.len();
            if dropped > 0 {
                self.len.fetch_sub(dropped, Relaxed);
                return true;
            }
        }
        self.sweep_after.store(next, Relaxed);
        false
    }
}

/// Keys are hashes already; hashing them again would only cost time.
#[derive(Clone, Copy, Debug, Default)]
struct AlreadyHashed;

impl BuildHasher for AlreadyHashed {
    type Hasher = LowHalf;

    fn build_hasher(&self) -> LowHalf {
        LowHalf(0)
    }
}

struct LowHalf(u64);

impl Hasher for LowHalf {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, half: u64) {
        self.0 = half;
    }

    // `Key` writes one `u64` and nothing else; this is here for completeness.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
}

#[cfg(test)]
mod tests;
