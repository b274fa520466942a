//! The clock of the metrics that are pushed: what a scraper would read now, handed on every so often.
//!
//! Promises: the first push comes one interval after the start, each later one an interval after the
//! one before; [`Pusher::stop`] pushes once more, so that what was counted last leaves, too. A push that
//! takes longer than an interval puts the next one off; none are made up for.
//!
//! It neither sends nor retries: whoever is handed a push does that.

use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;

/// One encoded export request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// A protobuf `ExportMetricsServiceRequest`.
    pub body: Vec<u8>,
    /// How many data points are in it.
    pub points: u64,
}

/// The task that pushes.
#[derive(Debug)]
pub struct Pusher {
    stopping: CancellationToken,
    task: JoinHandle<()>,
}

impl Pusher {
    /// Starts pushing every `interval`. `hand_on` is called in the blocking pool: it may compress, and
    /// must not wait for a network. Needs a runtime.
    pub fn start(
        metrics: Metrics,
        interval: Duration,
        hand_on: impl Fn(Push) + Clone + Send + 'static,
    ) -> Self {
        let stopping = CancellationToken::new();
        let asked = stopping.clone();
        #[expect(clippy::disallowed_methods, reason = "`stop` awaits it")]
        let task = tokio::spawn(async move {
            let mut ticks = interval_at(Instant::now() + interval, interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let tick = asked.run_until_cancelled(ticks.tick()).await;
                push(metrics.clone(), hand_on.clone()).await;
                if tick.is_none() {
                    return;
                }
            }
        });
        Self { stopping, task }
    }

    /// Pushes for the last time, and returns when that is handed on, or at `deadline`. Not cancel safe:
    /// dropped, it leaves the last push to the runtime.
    pub async fn stop(self, deadline: Instant) {
        self.stopping.cancel();
        let ended = tokio::time::timeout_at(deadline, self.task).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::warn!("The last push of metrics was not handed on in time.");
        }
    }
}

/// Thousands of series take milliseconds to write, which no request waits for.
async fn push(metrics: Metrics, hand_on: impl FnOnce(Push) + Send + 'static) {
    let pushing = spawn_blocking(move || {
        let (body, points) = metrics.export();
        hand_on(Push { body, points });
    });
    if pushing.await.is_err() {
        tracing::error!("A push of metrics panicked.");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::config::Config;

    const MINUTE: Duration = Duration::from_mins(1);

    fn metrics() -> Metrics {
        let upstream = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        Metrics::new(&Config::for_upstream(upstream).service)
    }

    /// A pusher, and what it has handed on.
    fn pushing() -> (Pusher, Arc<Mutex<Vec<Push>>>) {
        let seen = Arc::<Mutex<Vec<Push>>>::default();
        let kept = Arc::clone(&seen);
        (Pusher::start(metrics(), MINUTE, move |push| kept.lock().push(push)), seen)
    }

    #[tokio::test(start_paused = true)]
    async fn a_push_comes_every_interval_and_once_more_at_the_end() {
        let (pusher, seen) = pushing();
        tokio::time::sleep(MINUTE / 2).await;
        assert_eq!(seen.lock().len(), 0, "nothing before the first interval is over");
        tokio::time::sleep(3 * MINUTE).await;
        assert_eq!(seen.lock().len(), 3);
        pusher.stop(Instant::now() + MINUTE).await;
        tokio::time::sleep(3 * MINUTE).await;
        let all = std::mem::take(&mut *seen.lock());
        assert_eq!(all.len(), 4, "one at the end, and none after it");
        assert!(all.iter().all(|push| push.points > 0 && !push.body.is_empty()));
    }

    #[tokio::test]
    async fn a_push_that_does_not_end_is_given_up_at_the_deadline() {
        let (free, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let hand_on = move |_| {
            held.lock().recv().ok();
        };
        let pusher = Pusher::start(metrics(), MINUTE, hand_on);
        let began = Instant::now();
        pusher.stop(began + Duration::from_millis(50)).await;
        assert!(began.elapsed() < Duration::from_secs(5));
        drop(free);
    }
}
