//! The store of `[rate_limit_store]`: a Redis or Valkey that all replicas ask.
//!
//! A request waits for the store no longer than the budget, and only while the store is known to be
//! there. The first call that fails or is late closes the link: from then on every limit is asked
//! here, at one replica's share, and a task of ours ([`Remote::tend`]) tries to come back. It opens the
//! link again when a whole call, within the same budget, has succeeded.
//!
//! What was granted here meanwhile is told to the store by the first request of each key that comes
//! back to it (see `owing`), so that a recovery is no second burst. What a request was charged twice,
//! because its call was late but arrived, errs on the strict side.
//!
//! Nothing here is on the path of a request that no limit applies to. Keys reach the store as hashes
//! only; neither logs nor spans show them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest;
use governor::Quota;
use hashbrown::HashMap;
use parking_lot::Mutex;
use redis::Script;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use super::{Answer, Ask, Call, SharedKey, Store, Taking, Told};
use crate::config::Config;
use crate::config::model::{RateLimitStore, Service};
use crate::record::{ConfigName, StoreEnding};
use crate::telemetry::metrics::Metrics;

mod dial;
mod frames;
mod owing;
mod script;
mod tend;
mod trouble;

use dial::{Connection, Dialler};
use owing::Owing;
use script::{Debt, Question};
use trouble::Trouble;

/// Charges on their way to the store. Beyond them, the next request of the key brings them.
const CHARGES: usize = 1024;

/// See the module.
pub struct Remote {
    dialler: Dialler,
    /// What tells this service's buckets from those of others in the same store.
    scope: u128,
    script: Script,
    /// The connection, while the store is there.
    link: ArcSwapOption<Link>,
    state: Mutex<State>,
    budget: AtomicU64,
    replicas: AtomicU32,
    owing: Owing,
    charges: mpsc::Sender<Charge>,
    arriving: Mutex<Option<mpsc::Receiver<Charge>>>,
    degraded: Mutex<HashMap<ConfigName, u64>>,
    metrics: Metrics,
}

/// One life of a connection.
struct Link {
    connection: Connection,
    lost: Notify,
}

/// What is known of the store.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Nobody has reached it yet, and nobody has failed to.
    Starting,
    Here,
    Away {
        since: Instant,
        why: Trouble,
    },
}

/// How the store is, for `/status`.
#[derive(Clone, Debug)]
pub struct Health {
    /// Its URL, without credentials.
    pub url: String,
    /// Whether limits are asked locally.
    pub is_degraded: bool,
    /// Why, and for how long, where that is known.
    pub trouble: Option<(String, Duration)>,
    /// Decisions taken locally, by limit.
    pub degraded: Vec<(ConfigName, u64)>,
    /// Grants that the store will never hear of, because too many keys were waiting to be told.
    pub forgotten: u64,
}

/// Tokens that turned out to be due.
#[derive(Clone, Copy, Debug)]
struct Charge {
    key: SharedKey,
    quota: Quota,
    tokens: i64,
}

impl Remote {
    /// The store of a configuration; `None` where it names none. It is away until [`Self::tend`] has
    /// reached it.
    pub fn new(config: &Config, metrics: &Metrics) -> Option<Arc<Self>> {
        let (service, config) = (&config.service, &config.rate_limit_store);
        let url = config.url.as_ref()?;
        let (charges, arriving) = mpsc::channel(CHARGES);
        let remote = Self {
            dialler: Dialler::new(config, url),
            scope: scope(service),
            script: Script::new(script::TEXT),
            link: ArcSwapOption::empty(),
            state: Mutex::new(State::Starting),
            budget: AtomicU64::new(0),
            replicas: AtomicU32::new(0),
            owing: Owing::default(),
            charges,
            arriving: Mutex::new(Some(arriving)),
            degraded: Mutex::default(),
            metrics: metrics.clone(),
        };
        remote.adopt(config);
        Some(Arc::new(remote))
    }

    /// Takes over what can change while it runs: the budget and the number of replicas.
    pub fn adopt(&self, config: &RateLimitStore) {
        let nanos = u64::try_from(config.timeout.as_nanos()).unwrap_or(u64::MAX);
        self.budget.store(nanos, Relaxed);
        self.replicas.store(config.replicas.get(), Relaxed);
    }

    /// How it is now.
    pub fn health(&self) -> Health {
        let degraded = self.degraded.lock().iter().map(|(name, n)| (name.clone(), *n)).collect();
        let trouble = match *self.state.lock() {
            State::Away { since, why } => Some((why.to_string(), since.elapsed())),
            State::Starting | State::Here => None,
        };
        Health {
            url: self.dialler.url().to_string(),
            is_degraded: self.link.load().is_none(),
            trouble,
            degraded,
            forgotten: self.owing.forgotten(),
        }
    }

    async fn ask(&self, ask: Ask<'_>) -> Told {
        let budget = self.budget().saturating_sub(ask.waited);
        let link = self.link.load_full().filter(|_| !budget.is_zero());
        let Some(link) = link else { return self.decide(&ask, None) };

        let key = self.scoped(ask.key);
        let mut owed = Owed::of(self, key);
        let due =
            Debt(i128::try_from(owed.time.as_nanos()).unwrap_or(0) / i128::from(self.share()));
        let (quota, weight) = (ask.quota, ask.weight.get());
        let question = Question { key, quota, weight, due };
        let began = Instant::now();
        let outcome = self.call(&link, &question, budget).await;
        let took = began.elapsed();

        let ending =
            outcome.as_ref().map_or_else(|trouble| ending(*trouble), |_| StoreEnding::Answered);
        self.metrics.rate_limit_store_asked(took, ending);
        let call = Some(Call { began, took, ending });
        match outcome {
            Ok(answer) => {
                owed.is_told();
                Told { answer, divided: None, call }
            }
            Err(trouble) => {
                // A call that had less than its budget proves nothing.
                if trouble != Trouble::Late || ask.waited.is_zero() {
                    self.lose(&link, trouble);
                }
                drop(owed);
                self.decide(&ask, call)
            }
        }
    }

    async fn call(
        &self,
        link: &Link,
        question: &Question,
        budget: Duration,
    ) -> Result<Answer, Trouble> {
        let reply = timeout(budget, link.connection.ask(&self.script, question)).await;
        question.read(reply.map_err(|_late| Trouble::Late)??).ok_or(Trouble::Nonsense)
    }

    /// Decides here, at this replica's share.
    fn decide(&self, ask: &Ask<'_>, call: Option<Call>) -> Told {
        let replicas = NonZeroU32::new(self.share()).unwrap_or(NonZeroU32::MIN);
        let answer = ask.take_locally(replicas);
        if matches!(answer, Answer::Taken { .. }) {
            let time = super::share(ask.quota, replicas).replenish_interval();
            self.owing.add(self.scoped(ask.key), time.saturating_mul(ask.weight.get()));
        }
        *self.degraded.lock().entry(ask.rule.clone()).or_default() += 1;
        Told { answer, divided: Some(replicas), call }
    }

    /// Closes this link, if it is still the one in use. The first who does so says why.
    fn lose(&self, link: &Arc<Link>, why: Trouble) {
        let before = self.link.compare_and_swap(link, None);
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, link)) {
            self.note_away(why);
            link.lost.notify_one();
        }
    }

    fn note_away(&self, why: Trouble) {
        let mut state = self.state.lock();
        if let State::Away { since, .. } = *state {
            *state = State::Away { since, why };
            return;
        }
        *state = State::Away { since: Instant::now(), why };
        tracing::warn!(
            store = %self.dialler.url(),
            error = %why,
            "The shared rate-limit store is away; each replica grants its share.",
        );
    }

    fn scoped(&self, SharedKey(bits): SharedKey) -> SharedKey {
        SharedKey(bits ^ self.scope)
    }

    fn budget(&self) -> Duration {
        Duration::from_nanos(self.budget.load(Relaxed))
    }

    /// Of how many replicas this is one.
    fn share(&self) -> u32 {
        self.replicas.load(Relaxed).max(1)
    }
}

impl Store for Remote {
    fn take<'a>(&'a self, ask: Ask<'a>) -> Taking<'a> {
        Box::pin(self.ask(ask))
    }

    fn charge(&self, _rule: &ConfigName, key: SharedKey, quota: Quota, tokens: i64) {
        let key = self.scoped(key);
        let charge = Charge { key, quota, tokens };
        if self.link.load().is_some() && self.charges.try_send(charge).is_ok() {
            return;
        }
        // Told by the key's next request. What should be given back is kept: that is the strict side.
        if let Ok(tokens) = u32::try_from(tokens) {
            let interval = quota.replenish_interval().saturating_mul(self.share());
            self.owing.add(key, interval.saturating_mul(tokens));
        }
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote")
            .field("url", &format_args!("{}", self.dialler.url()))
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Half a hash of the service's name and environment.
fn scope(service: &Service) -> u128 {
    let text = [service.name.as_str(), "\0", service.environment.as_str()].concat();
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte))
}

fn ending(trouble: Trouble) -> StoreEnding {
    if trouble == Trouble::Late { StoreEnding::Late } else { StoreEnding::Failed }
}

/// What a key owes, on its way to the store. Dropped before it was told, also because the client
/// left, it is owed again.
struct Owed<'a> {
    remote: &'a Remote,
    key: SharedKey,
    time: Duration,
}

impl<'a> Owed<'a> {
    fn of(remote: &'a Remote, key: SharedKey) -> Self {
        Self { remote, key, time: remote.owing.take(key) }
    }

    fn is_told(&mut self) {
        self.time = Duration::ZERO;
    }
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        if !self.time.is_zero() {
            self.remote.owing.add(self.key, self.time);
        }
    }
}
