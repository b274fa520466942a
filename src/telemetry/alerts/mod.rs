//! Alerts without Prometheus: conditions over the books, judged here, and told once each way.
//!
//! One task looks at the books every few seconds, and more often where a window is short. It reads what a
//! scrape reads, off the runtime; requests notice nothing. An alert that fires is told once, and once more
//! when it is over. Another configuration keeps the state of every alert whose name and condition stay; one that
//! goes while it fires is over.
//!
//! It forgets with the process: what still fires after a restart is told again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify as Bell;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::StartError;
use super::deadline::{Deadline, whole};
use super::ledger::Ledger;
use super::metrics::{Metrics, Tally, sources};
use crate::config::Config;
use crate::config::model::{Alert, Series};
use outlets::Outlets;
use watch::Watch;

mod outlets;
mod turn;
mod watch;
mod window;

pub use turn::Turn;
pub use watch::Standing;

/// Between two looks at most, and at least.
const LOOKS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(100));
/// Looks per window at least.
const LOOKS_PER_WINDOW: u32 = 12;

/// The alerts of the process.
#[derive(Debug)]
pub struct Alerts {
    shared: Arc<Shared>,
    stopping: CancellationToken,
    task: Mutex<JoinSet<()>>,
}

/// What the task that looks and those who ask share.
#[derive(Debug)]
struct Shared {
    metrics: Metrics,
    board: Mutex<Board>,
    /// Rung when other alerts are watched for.
    changed: Bell,
}

#[derive(Debug)]
struct Board {
    watches: Vec<Watch>,
    /// Grows whenever the watches are others.
    edition: u64,
    outlets: Outlets,
}

impl Alerts {
    /// Begins to watch for what the configuration names. Needs a runtime.
    pub fn start(
        config: &Config,
        metrics: &Metrics,
        ledger: &Arc<Ledger>,
    ) -> Result<Self, StartError> {
        let mut outlets = Outlets::new(config, Arc::clone(ledger))?;
        let now = Instant::now();
        let watches: Vec<_> = alerts_of(config).map(|alert| Watch::new(alert, Some(now))).collect();
        outlets.open_for(watches.iter().map(Watch::alert))?;
        let shared = Arc::new(Shared {
            metrics: metrics.clone(),
            board: Mutex::new(Board { watches, edition: 0, outlets }),
            changed: Bell::new(),
        });
        let shown = Arc::downgrade(&shared);
        metrics.register(sources::alerts(move || {
            shown.upgrade().map(|shared| shared.board.lock().firing()).unwrap_or_default()
        }));
        let stopping = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(look_on(Arc::clone(&shared), stopping.clone()));
        Ok(Self { shared, stopping, task: Mutex::new(task) })
    }

    /// Watches for what another configuration names.
    pub fn adopt(&self, config: &Config) {
        self.shared.board.lock().adopt(alerts_of(config).collect());
        self.shared.changed.notify_one();
    }

    /// Where those stand that are watched for.
    pub fn standing(&self) -> Vec<Standing> {
        self.shared.board.lock().watches.iter().map(Watch::standing).collect()
    }

    /// Looks no more, and tells what is still to be told until the deadline.
    pub async fn stop(&self, deadline: Deadline) {
        self.stopping.cancel();
        let mut task = std::mem::take(&mut *self.task.lock());
        if deadline.bound(whole, task.join_next()).await.is_none() {
            task.abort_all();
        }
        let workers = self.shared.board.lock().outlets.take_workers();
        outlets::stop(workers, deadline).await;
    }
}

fn alerts_of(config: &Config) -> impl Iterator<Item = Alert> {
    let environment = &config.service.environment;
    config.alerts.iter().filter(move |alert| alert.is_for(environment)).cloned()
}

async fn look_on(shared: Arc<Shared>, stopping: CancellationToken) {
    let looking = async {
        loop {
            let pause = shared.board.lock().pause();
            let Some(pause) = pause else {
                shared.changed.notified().await;
                continue;
            };
            tokio::select! {
                () = sleep(pause) => look(&shared).await,
                () = shared.changed.notified() => look(&shared).await,
            }
        }
    };
    stopping.run_until_cancelled(looking).await;
}

/// Thousands of series take milliseconds to read.
async fn look(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    if spawn_blocking(move || shared.look(Instant::now())).await.is_err() {
        tracing::error!("A look at the alerts panicked.");
    }
}

impl Shared {
    fn look(&self, now: Instant) {
        let (edition, asked) = self.board.lock().asked();
        let tallies = self.metrics.tally(&asked);
        self.board.lock().judge(edition, now, &tallies);
    }
}

impl Board {
    /// How long until the next look; `None` where there is nothing to look for.
    fn pause(&self) -> Option<Duration> {
        let shortest = self.watches.iter().map(Watch::over).min()?;
        Some((shortest / LOOKS_PER_WINDOW).clamp(LOOKS.1, LOOKS.0))
    }

    fn asked(&self) -> (u64, Vec<Series>) {
        (self.edition, self.watches.iter().flat_map(Watch::series).collect())
    }

    /// Judges the alerts by what was counted for them, unless they have become others meanwhile.
    fn judge(&mut self, edition: u64, now: Instant, mut tallies: &[Tally]) {
        if edition != self.edition {
            return;
        }
        let wall = SystemTime::now();
        let Self { watches, outlets, .. } = self;
        for watch in watches {
            let (own, rest) = tallies.split_at(watch.series().len().min(tallies.len()));
            tallies = rest;
            if let Some(change) = watch.judge(now, wall, own) {
                let alert = watch.alert();
                outlets.tell(&alert.notify, Turn::new(alert, change, wall));
            }
        }
    }

    fn adopt(&mut self, alerts: Vec<Alert>) {
        self.edition += 1;
        let mut before = std::mem::take(&mut self.watches);
        let is_same = |alert: &Alert, watch: &Watch| {
            let known = watch.alert();
            known.name == alert.name && known.when == alert.when
        };
        let keep = |alert: Alert| match before.iter().position(|watch| is_same(&alert, watch)) {
            Some(at) => {
                let mut watch = before.swap_remove(at);
                watch.adopt(alert);
                watch
            }
            None => Watch::new(alert, None),
        };
        self.watches = alerts.into_iter().map(keep).collect();
        for (alert, change) in before.into_iter().filter_map(Watch::end) {
            self.outlets.tell(&alert.notify, Turn::new(&alert, change, SystemTime::now()));
        }
        if self.outlets.open_for(self.watches.iter().map(Watch::alert)).is_err() {
            tracing::error!("Sentry cannot be told of alerts.");
        }
    }

    fn firing(&self) -> Vec<(crate::record::ConfigName, bool)> {
        let watches = self.watches.iter();
        watches.map(|watch| (watch.alert().name.clone(), watch.is_firing())).collect()
    }
}
