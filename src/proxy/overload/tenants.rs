//! Who holds how many permits, so that one tenant does not hold them all while others wait.
//!
//! While somebody waits in line and more than one tenant has come within the last minute, a tenant that
//! has its share (`overload.tenant_share` of `max_in_flight`) gets nothing more. So, from the moment
//! there are two, whatever one of them has beyond its share only shrinks until the line is empty. A
//! tenant alone, or one in a house with room, is never held back; what runs is never cut.
//!
//! Requests without a tenant belong to nobody and are not counted. A tenant is known here as a hash
//! with a secret: two that collide (n²/2⁶⁵ for n tenants) share a share.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU64;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a tenant that came is thought to be there.
const PRESENCE: Duration = Duration::from_mins(1);

/// A permit's note of whose it is; given back when it ends.
pub type Holding = NonZeroU64;

/// Permits by tenant.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    secret: RandomState,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// Only those who hold some: never more entries than permits.
    permits: HashMap<Holding, u64>,
    /// Who came last.
    latest: Option<Holding>,
    /// When somebody came last who was not the one before.
    changed: Option<Instant>,
}

impl Tenants {
    /// Counts a permit for a tenant. `None` where it has its share of `share` and must not have more.
    pub(super) fn enter(
        &self,
        tenant: &str,
        now: Instant,
        share: u64,
        does_anybody_wait: bool,
    ) -> Option<Holding> {
        let who = Holding::new(self.secret.hash_one(tenant)).unwrap_or(Holding::MIN);
        let mut held = self.held.lock();
        if held.latest.is_some_and(|latest| latest != who) {
            held.changed = Some(now);
        }
        held.latest = Some(who);
        let changed = held.changed.map(|changed| now.saturating_duration_since(changed));
        let are_there_others = changed.is_some_and(|ago| ago < PRESENCE);
        let has = held.permits.get(&who).copied().unwrap_or(0);
        if does_anybody_wait && are_there_others && has >= share {
            return None;
        }
        held.permits.insert(who, has + 1);
        Some(who)
    }

    /// Gives back what [`Self::enter`] counted.
    pub(super) fn leave(&self, who: Holding) {
        let mut held = self.held.lock();
        match held.permits.get_mut(&who) {
            Some(permits) if *permits > 1 => *permits -= 1,
            _ => drop(held.permits.remove(&who)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 3] = ["a", "b", "c"];

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Enter(usize),
        Leave(usize),
        Line(bool),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..NAMES.len()).prop_map(Step::Enter),
            3 => any::<prop::sample::Index>().prop_map(|n| Step::Leave(n.index(1_000))),
            1 => any::<bool>().prop_map(Step::Line),
            1 => (0..90u64).prop_map(Step::Pass),
        ]
    }

    proptest! {
        /// Against the rule in words: what a tenant has grows beyond its share only while nobody waits
        /// or nobody else is there, and is refused for no other reason.
        #[test]
        fn beyond_its_share_a_tenant_gets_nothing_while_others_wait(
            share in 1u64..5,
            steps in proptest::collection::vec(step(), 1..200),
        ) {
            let tenants = Tenants::default();
            let mut now = Instant::now();
            let (mut line, mut holdings) = (false, Vec::new());
            let mut visits: Vec<(usize, Instant)> = Vec::new();
            for step in steps {
                match step {
                    Step::Line(waits) => line = waits,
                    Step::Pass(seconds) => now += Duration::from_secs(seconds),
                    Step::Leave(n) if !holdings.is_empty() => {
                        let (_, holding) = holdings.swap_remove(n % holdings.len());
                        tenants.leave(holding);
                    }
                    Step::Leave(_) => {}
                    Step::Enter(who) => {
                        visits.push((who, now));
                        let is_change = |pair: &&[(usize, Instant)]| pair[0].0 != pair[1].0;
                        let change = visits.windows(2).rfind(is_change);
                        let others = change.is_some_and(|pair| now - pair[1].1 < PRESENCE);
                        let has = holdings.iter().filter(|(name, _)| *name == who).count() as u64;
                        let holding = tenants.enter(NAMES[who], now, share, line);
                        prop_assert_eq!(holding.is_none(), line && others && has >= share);
                        holdings.extend(holding.map(|holding| (who, holding)));
                    }
                }
                let counted: u64 = tenants.held.lock().permits.values().sum();
                prop_assert_eq!(counted, holdings.len() as u64);
                prop_assert!(tenants.held.lock().permits.len() <= NAMES.len());
            }
            for (_, holding) in holdings {
                tenants.leave(holding);
            }
            prop_assert!(tenants.held.lock().permits.is_empty(), "nothing is remembered");
        }
    }
}
