//! Token buckets: how often somebody may ask.
//!
//! A bucket holds `burst` tokens and gets one back per interval (`rate`), by the generic cell rate
//! algorithm of `governor`. So within any time `w` at most `burst + rate × w` requests pass. A request
//! costs one token, or as many as a captured number says. A number of the request is taken at once; for
//! one of the answer a reserve is taken first, and the difference when it is known. What is missing then
//! is owed, and the next requests wait for it. No request costs more than a burst.
//!
//! Each limit is asked at the earliest [`Stage`] at which its keys are known. Buckets survive a reload as
//! long as their limit's key and `max_keys` and their own rate and burst stay; counters survive as long
//! as the name does.
//!
//! Memory is bounded (see `buckets`). The buckets of this process are asked without waiting; those that
//! replicas share may take a round trip (see [`store`]). A denial is a verdict, not an answer: the
//! pipeline makes that.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::config::model::{Mode, RateLimit};
use crate::record::{ConfigName, Step};

mod buckets;
mod dress;
mod key;
mod limiter;
pub mod store;
mod verdict;

pub use buckets::Answer;
pub use dress::dress;
pub use key::Keys;
pub use limiter::{Counts, Limiter};
pub use verdict::{Budget, Denial, Due, Verdict};

use limiter::CENTURY;
use store::{Store, Told};

/// When a limit is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// With the head alone: address, route, header fields.
    Door,
    /// Once the caller is known: user, tenant, claims, tier.
    Known,
    /// Once the body was looked into: captured facts.
    Body,
}

impl Stage {
    /// The gate that it is.
    pub fn step(self) -> Step {
        match self {
            Self::Door => Step::Door,
            Self::Known => Step::Known,
            Self::Body => Step::Body,
        }
    }
}

/// All limits of a configuration.
#[derive(Debug, Default)]
pub struct Limits {
    limiters: Vec<Arc<Limiter>>,
    is_shared: bool,
}

/// The limits of a route, by the stage at which they are asked.
#[derive(Debug, Default)]
pub struct Staged([Box<[Slot]>; 3]);

/// A limit as one route has it.
#[derive(Debug)]
pub struct Slot {
    pub(super) limiter: Arc<Limiter>,
    /// The laxer of the limit's mode and the route's.
    pub(super) mode: Mode,
}

impl Limits {
    /// Makes the limits of a configuration, keeping the buckets and counters of the previous one
    /// where they still fit. Limits whose mode is `off` are not there. With a store they are asked
    /// there, together with those of other replicas.
    pub fn compile(
        config: &Config,
        store: Option<&Arc<dyn Store>>,
        previous: Option<&Self>,
    ) -> Self {
        let of_answers =
            config.captures.iter().filter(|capture| !capture.place.is_of_the_request());
        let of_answers: Vec<_> = of_answers.map(|capture| &capture.name).collect();
        let limiter = |limit: &RateLimit| {
            let before = previous.and_then(|previous| previous.find(&limit.name));
            let form = config.rate_limit_headers;
            Arc::new(Limiter::compile(limit, form, &of_answers, store.cloned(), before))
        };
        let there = config.rate_limits.iter().filter(|limit| limit.mode != Mode::Off);
        Self { limiters: there.map(limiter).collect(), is_shared: store.is_some() }
    }

    /// The limits of these names, in this order, at most as strict as `mode`. A name of no limit, or of
    /// one that is off, is skipped: the configuration's check knows which names are wrong.
    pub fn resolve(&self, names: &[ConfigName], mode: Mode) -> Staged {
        let at = |stage| {
            let limiters = names.iter().filter_map(|name| self.find(name));
            let slots = limiters.filter(|limiter| limiter.stage() == stage).map(|limiter| Slot {
                limiter: Arc::clone(limiter),
                mode: limiter.mode().max(mode),
            });
            slots.filter(|slot| slot.mode != Mode::Off).collect()
        };
        Staged([Stage::Door, Stage::Known, Stage::Body].map(at))
    }

    /// Whether they are shared with other replicas, so that asking may wait.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// All limits, for metrics.
    pub fn iter(&self) -> impl Iterator<Item = &Limiter> {
        self.limiters.iter().map(|limiter| &**limiter)
    }

    fn find(&self, name: &str) -> Option<&Arc<Limiter>> {
        self.limiters.iter().find(|limiter| *limiter.name == *name)
    }
}

impl Slot {
    /// The limit.
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// How strictly this route takes it.
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

impl Staged {
    /// The limits to ask at a stage.
    pub fn at(&self, stage: Stage) -> &[Slot] {
        &self.0[stage as usize]
    }

    /// All in the order in which they are asked, as records show them.
    pub fn shown(&self) -> Box<[(Step, ConfigName, &'static str)]> {
        let of = |slot: &Slot| {
            let limiter = slot.limiter();
            (limiter.stage().step(), limiter.name().clone(), slot.mode().as_str())
        };
        self.0.iter().flatten().map(of).collect()
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|slots| slots.is_empty())
    }
}

/// Takes tokens from each limit in turn, up to the first enforced one that has too few. Tokens taken
/// before a denial are not given back.
pub fn admit(slots: &[Slot], request: &Keys<'_>, verdict: &mut Verdict) {
    for slot in slots {
        let place = slot.limiter.place(request);
        let answer = slot.limiter.take(&place);
        if !verdict.take_in(slot, &place, answer, None) {
            break;
        }
    }
}

/// The same, where replicas share the limits. `waited` is how long the request has waited for them at
/// earlier stages.
///
/// Cancel safe: what was taken stays taken, as for any request whose client leaves.
pub async fn admit_shared(
    slots: &[Slot],
    request: &Keys<'_>,
    mut waited: Duration,
    verdict: &mut Verdict,
) {
    for slot in slots {
        let place = slot.limiter.place(request);
        let Told { answer, divided, call } = slot.limiter.take_shared(&place, waited).await;
        waited += call.map_or(Duration::ZERO, |call| call.took);
        verdict.calls.extend(call);
        if !verdict.take_in(slot, &place, answer, divided) {
            break;
        }
    }
}

#[cfg(test)]
mod tests;
