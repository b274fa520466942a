//! Buckets that all replicas share: what a limit asks of a store outside this process.
//!
//! Only limits with a shared store come here. The buckets of this process are asked directly, without
//! a future and without an allocation.
//!
//! A store never sees what a key was made of: see [`SharedKey`].

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::time::Duration;

use governor::Quota;
use tokio::time::Instant;

use super::buckets::Buckets;
use super::key::Key;
use super::{Answer, CENTURY};
use crate::record::{ConfigName, StoreEnding};

mod remote;

pub use remote::{Health, Remote};

/// A key that is the same in every replica and after every restart, and shows nothing of its value:
/// the first half of a SHA-256 over the limit's name and the parts of the key, each with its kind and
/// length.
///
/// It is not keyed: that would take a secret which all replicas hold, and a limit must not fail for
/// want of one. So whoever may read the store can try out whether an address he thinks of was there,
/// as he could in a log. 128 bits leave no room to aim at another client's bucket: a collision with a
/// given key takes 2¹²⁷ tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SharedKey(pub u128);

/// What a store told, when it comes.
pub type Taking<'a> = Pin<Box<dyn Future<Output = Told> + Send + 'a>>;

/// A decision, and the call that it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The decision.
    pub answer: Answer,
    /// Among how many replicas the quota was divided, where it was decided here for want of the store.
    pub divided: Option<NonZeroU32>,
    /// The call, if the store was asked at all.
    pub call: Option<Call>,
}

/// One call to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// When it began.
    pub began: Instant,
    /// How long the request waited for it.
    pub took: Duration,
    /// What became of it.
    pub ending: StoreEnding,
}

/// Buckets outside this process.
pub trait Store: fmt::Debug + Send + Sync {
    /// Takes `ask.weight` tokens if they are there. It always answers within the store's own budget:
    /// where the store is away, by [`Ask::take_locally`].
    ///
    /// Cancel safe: a dropped call may or may not have taken its tokens.
    fn take<'a>(&'a self, ask: Ask<'a>) -> Taking<'a>;

    /// Takes (or, below zero, gives back) tokens that turned out to be due, whether they are there or
    /// not. It is called where an exchange ends, also from a `Drop`: it neither waits nor fails, and
    /// what it cannot pass on in time is lost and counted.
    fn charge(&self, rule: &ConfigName, key: SharedKey, quota: Quota, tokens: i64);
}

/// What a limit asks of a store.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The limit.
    pub rule: &'a ConfigName,
    /// Whose bucket.
    pub key: SharedKey,
    /// How many tokens; at most the quota's burst.
    pub weight: NonZeroU32,
    /// The quota that is meant for all replicas together.
    pub quota: Quota,
    /// How long this request has waited for the store already, for its other limits.
    pub waited: Duration,
    pub(super) local: (&'a Buckets, Key),
}

impl Ask<'_> {
    /// Asks the bucket of this process, which holds and gains one replica's share. It is one bucket
    /// whether the store was away before or not: being away again and again gives nobody new bursts.
    pub fn take_locally(&self, replicas: NonZeroU32) -> Answer {
        let (buckets, key) = self.local;
        buckets.pace(share(self.quota, replicas)).take(key, self.weight)
    }
}

/// One replica's share of a quota: rate and burst divided, the burst at least one.
pub fn share(quota: Quota, replicas: NonZeroU32) -> Quota {
    let interval = quota.replenish_interval().saturating_mul(replicas.get()).min(CENTURY);
    let burst = NonZeroU32::new(quota.burst_size().get() / replicas.get());
    let burst = burst.unwrap_or(NonZeroU32::MIN);
    // An interval is never zero, so the fallback is never taken.
    Quota::with_period(interval).unwrap_or(quota).allow_burst(burst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_divide_rate_and_burst_but_each_has_one_token() {
        let of = |n| NonZeroU32::new(n).unwrap();
        let quota = Quota::with_period(Duration::from_millis(100)).unwrap().allow_burst(of(7));
        let shared = share(quota, of(3));
        assert_eq!(shared.replenish_interval(), Duration::from_millis(300));
        assert_eq!(shared.burst_size().get(), 2);
        assert_eq!(share(quota, of(100)).burst_size().get(), 1);
        assert_eq!(share(quota, of(1)), quota);
    }
}
