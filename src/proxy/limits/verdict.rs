//! What the limits of a route say about one request, stage by stage.
//!
//! The first enforced limit that refuses ends it; one in shadow mode leaves its name and refuses nobody.
//! What is left in each bucket is kept for the answer, and what is owed for the end of the exchange. It
//! asks no limit itself.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use governor::Quota;

use super::Slot;
use super::buckets::Answer;
use super::limiter::{Limiter, Place};
use super::store::{self, Call};
use crate::config::model::Mode;
use crate::record::{ConfigName, Fact, Limited};

/// What the limits say about one request.
#[derive(Debug, Default)]
#[must_use]
pub struct Verdict {
    /// The limit that refuses, if one does.
    pub denied: Option<Denial>,
    /// The first limit in shadow mode that would have refused.
    pub would_deny: Option<ConfigName>,
    /// What the exchange owes when it ends; empty where every cost is known.
    pub dues: Vec<Due>,
    /// What each of them said.
    pub limited: Limited,
    /// The calls that a shared store was asked with, since they were last taken out.
    pub calls: Vec<Call>,
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
    /// How long until it has enough tokens again; `None` where it never will.
    pub retry_after: Option<Duration>,
}

/// What is left in a bucket.
#[derive(Clone, Debug)]
pub struct Budget {
    pub(super) limiter: Arc<Limiter>,
    pub(super) tariff: usize,
    /// Among how many replicas the quota is divided at present, where they should share it and cannot.
    pub(super) divided: Option<NonZeroU32>,
    /// Whole tokens.
    pub remaining: u32,
    /// Until the bucket is full again; after a denial, until it has enough.
    pub reset: Duration,
}

/// Tokens that were reserved for a request whose cost is known at its end.
#[derive(Debug)]
pub struct Due {
    limiter: Arc<Limiter>,
    place: Place,
}

impl Due {
    /// Takes what the request cost beyond its reserve, or gives back what it did not cost. Where the
    /// number is not among the facts, the reserve was the cost.
    pub fn settle(self, facts: &[Fact]) {
        self.limiter.settle(&self.place, facts);
    }
}

impl Budget {
    /// What holds at present.
    pub(super) fn quota(&self) -> Quota {
        quota(&self.limiter, self.tariff, self.divided)
    }
}

fn quota(limiter: &Limiter, tariff: usize, divided: Option<NonZeroU32>) -> Quota {
    let whole = limiter.quota(tariff);
    divided.map_or(whole, |replicas| store::share(whole, replicas))
}

impl Verdict {
    /// What is left in every enforced limit that was asked, in order.
    pub fn budgets(&self) -> impl Iterator<Item = &Budget> {
        self.first.iter().chain(&self.others)
    }

    /// Takes a limit's answer in. `divided` is as in [`store::Told`]. Whether the next limit is to be
    /// asked.
    pub(super) fn take_in(
        &mut self,
        slot: &Slot,
        place: &Place,
        answer: Answer,
        divided: Option<NonZeroU32>,
    ) -> bool {
        let limiter = &slot.limiter;
        let is_enforced = slot.mode == Mode::Enforce;
        self.limited.note(!matches!(answer, Answer::Taken { .. }));
        match answer {
            Answer::Taken { remaining } => {
                limiter.counters.allow.fetch_add(1, Relaxed);
                let quota = quota(limiter, place.tariff, divided);
                let spent = quota.burst_size().get().saturating_sub(remaining);
                let reset = quota.replenish_interval().saturating_mul(spent);
                if limiter.is_due() {
                    self.dues.push(Due { limiter: Arc::clone(limiter), place: *place });
                }
                if is_enforced {
                    let (limiter, tariff) = (Arc::clone(limiter), place.tariff);
                    self.note(Budget { limiter, tariff, divided, remaining, reset });
                }
                true
            }
            Answer::Empty { wait } if is_enforced => {
                let (limiter, tariff) = (Arc::clone(limiter), place.tariff);
                self.deny(&limiter, Some(wait));
                self.note(Budget { limiter, tariff, divided, remaining: 0, reset: wait });
                false
            }
            Answer::TooMuch if is_enforced => {
                self.deny(limiter, None);
                false
            }
            Answer::Empty { .. } | Answer::TooMuch => {
                limiter.counters.would_deny.fetch_add(1, Relaxed);
                self.would_deny.get_or_insert_with(|| limiter.name.clone());
                true
            }
        }
    }

    fn deny(&mut self, limiter: &Limiter, retry_after: Option<Duration>) {
        limiter.counters.deny.fetch_add(1, Relaxed);
        self.denied = Some(Denial { limit: limiter.name.clone(), retry_after });
    }

    fn note(&mut self, budget: Budget) {
        match &self.first {
            None => self.first = Some(budget),
            Some(_) => self.others.push(budget),
        }
    }
}
