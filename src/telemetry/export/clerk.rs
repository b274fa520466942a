//! Who empties an outbox: takes the oldest parcel to the collector, and tries again while that helps.
//!
//! Everything a parcel can come to is settled in the books here. One attempt runs at a time; between
//! failed ones it rests as [`Retry`] says. Asked to stop, it goes on until shortly before the
//! deadline; what is left then is dropped as `shutdown`.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::outbox::{Settings, Shared};
use super::retry::Retry;
use super::ring::Posted;
use super::voice::{Fate, Voice};
use super::{Answer, Carrier, Parcel};
use crate::telemetry::books::{Books, Place};
use crate::telemetry::worker::calmly;

/// The last part of the time to stop, for what is left: at most this, at most a quarter of it.
const RESERVE: Duration = Duration::from_millis(100);

/// A running clerk. Dropping it ends the task; what it held stays in flight for ever.
#[derive(Debug)]
pub struct Clerk {
    shared: Arc<Shared>,
    task: JoinSet<()>,
}

impl Clerk {
    pub(super) fn start(settings: Settings, shared: Arc<Shared>, carrier: impl Carrier) -> Self {
        let mut task = JoinSet::new();
        task.spawn(Rounds::new(settings, Arc::clone(&shared), carrier).run());
        Self { shared, task }
    }

    /// The books in which it settles.
    pub fn books(&self) -> Arc<Books> {
        Arc::clone(&self.shared.books)
    }

    /// Delivers what the outbox holds. Nothing may be posted any more. What is not delivered at the
    /// deadline is dropped as `shutdown`. Dropping the future ends the task at once, uncounted.
    pub async fn stop(mut self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        self.shared.stop(deadline - RESERVE.min(left / 4));
        if timeout_at(deadline, self.task.join_next()).await.is_err() {
            self.task.abort_all();
        }
        self.shared.books.give_up_post();
    }
}

/// The clerk's task.
struct Rounds<C> {
    shared: Arc<Shared>,
    carrier: C,
    voice: Voice,
    retry: Retry,
    timeout: Duration,
    /// Whether an absent collector is waited for.
    is_patient: bool,
    /// When to try again, after a failure.
    rest: Option<Rest>,
    is_hurrying: bool,
}

struct Rest {
    until: Instant,
    /// By the collector; a wish to be respected to the end.
    is_asked_for: bool,
}

impl<C: Carrier> Rounds<C> {
    fn new(settings: Settings, shared: Arc<Shared>, carrier: C) -> Self {
        let is_patient = settings.is_configured;
        Self {
            shared,
            carrier,
            voice: Voice::new(settings.signal, settings.endpoint, settings.is_configured),
            retry: Retry::new(),
            timeout: settings.timeout,
            is_patient,
            rest: None,
            is_hurrying: false,
        }
    }

    async fn run(mut self) {
        while self.rest().await {
            // Asked before looking: what was posted before the stop is seen.
            let is_last = self.shared.stopping.is_cancelled();
            match self.shared.take() {
                Some(posted) => self.attempt(posted).await,
                None if is_last => break,
                None => tokio::select! {
                    () = self.shared.posted.notified() => {}
                    () = self.shared.stopping.cancelled() => {}
                },
            }
        }
        while let Some(posted) = self.shared.take() {
            self.shared.lose(&[posted], "shutdown");
        }
    }

    /// Waits until the collector may be asked again. `false` if there is no time for that.
    async fn rest(&mut self) -> bool {
        let Some(rest) = self.rest.take() else { return true };
        let resting = sleep_until(rest.until);
        if self.shared.stopping.run_until_cancelled(resting).await.is_some() {
            return true;
        }
        let mut until = rest.until;
        if !rest.is_asked_for && !std::mem::replace(&mut self.is_hurrying, true) {
            // Who must leave does not wait half a minute to find the collector back.
            self.retry.reset();
            until = until.min(Instant::now() + self.retry.pause(None));
        }
        let is_worth_it = self.shared.is_open_at(until);
        if is_worth_it {
            sleep_until(until).await;
        }
        is_worth_it
    }

    async fn attempt(&mut self, posted: Posted) {
        let books = &self.shared.books;
        let items = posted.parcel.items;
        match self.carry(&posted.parcel).await {
            Answer::Taken { rejected } => {
                books.delivered(items, rejected, Place::Memory);
                self.voice.note_success();
                self.retry.reset();
            }
            Answer::Never { reason, detail } => {
                books.failed();
                books.lost(items, reason, Place::Memory);
                self.voice.note_failure(&detail, Fate::Dropped);
                self.retry.reset();
            }
            Answer::Later { reason, detail, .. } if !self.is_patient && is_absence(reason) => {
                books.failed();
                books.lost(items, reason, Place::Memory);
                self.voice.note_failure(&detail, Fate::Dropped);
            }
            Answer::Later { detail, after, .. } => {
                books.failed();
                self.shared.put_back(posted);
                self.voice.note_failure(&detail, Fate::Waits);
                let until = Instant::now() + self.retry.pause(after);
                self.rest = Some(Rest { until, is_asked_for: after.is_some() });
            }
        }
    }

    async fn carry(&self, parcel: &Parcel) -> Answer {
        let given_up = |detail: &str| Answer::Later {
            reason: "shutdown",
            detail: detail.to_owned(),
            after: None,
        };
        tokio::select! {
            answer = calmly(self.carrier.carry(parcel, self.timeout)) => {
                let panicked = "the exporter panicked".to_owned();
                answer.unwrap_or(Answer::Never { reason: "panic", detail: panicked })
            }
            () = self.shared.time_is_up() => given_up("no answer before the end"),
        }
    }
}

/// Whether nobody is there, rather than somebody who is busy.
fn is_absence(reason: &str) -> bool {
    matches!(reason, "unreachable" | "timeout")
}
