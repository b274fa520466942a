//! The clerk's rounds: the oldest parcel to the collector, and again while that helps.
//!
//! Everything a parcel can come to is settled in the books here. One attempt runs at a time; between
//! failed ones the clerk rests as [`Retry`] says. While the collector fails, everything goes to the
//! spool, where there is one; once it is back, the spool and new parcels take turns. A parcel that
//! fails again and again lets the others go first: it may be the only one that the collector cannot take.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::notices::{Fate, Notices};
use super::outbox::{Settings, Shared};
use super::retry::Retry;
use super::ring::Posted;
use super::spool::{Desk, Held};
use super::{Answer, Carrier, Parcel};
use crate::telemetry::books::Place;
use crate::telemetry::worker::calmly;

/// What the clerk knows.
pub(super) struct Rounds {
    shared: Arc<Shared>,
    desk: Option<Desk>,
    carrier: Arc<dyn Carrier>,
    notices: Notices,
    retry: Retry,
    stuck: Stuck,
    timeout: Duration,
    /// Whether an absent collector is waited for.
    is_patient: bool,
    /// Whether the last attempt found the collector unable.
    is_failing: bool,
    /// When to try again, after a failure.
    rest: Option<Rest>,
    /// Whose turn it is, the spool's or the ring's.
    is_spools_turn: bool,
}

struct Rest {
    until: Instant,
    /// By the collector; a wish to be respected to the end.
    is_asked_for: bool,
}

/// A parcel that failed, and how often it did in a row.
#[derive(Debug, Default)]
struct Stuck {
    order: u64,
    points: u32,
}

impl Stuck {
    /// So many points, and it is the parcel's fault.
    const ENOUGH: u32 = 20;
    /// Of an answer: the collector is there, and might take another parcel.
    const ANSWERED: u32 = 5;

    /// Says whether the others shall go first, now and after each further failure.
    fn failed(&mut self, order: u64, reason: &str) -> bool {
        if self.order != order {
            *self = Self { order, points: 0 };
        }
        let points = if reason == "refused" { Self::ANSWERED } else { 1 };
        self.points = self.points.saturating_add(points);
        self.points >= Self::ENOUGH
    }
}

impl Rounds {
    pub(super) fn new(
        settings: Settings,
        shared: Arc<Shared>,
        desk: Option<Desk>,
        carrier: Box<dyn Carrier>,
    ) -> Self {
        Self {
            // Whoever configured a spool asked for patience.
            is_patient: settings.is_configured || desk.is_some(),
            shared,
            desk,
            carrier: Arc::from(carrier),
            notices: Notices::new(settings.signal, settings.endpoint, settings.is_configured),
            retry: Retry::new(),
            stuck: Stuck::default(),
            timeout: settings.timeout,
            is_failing: false,
            rest: None,
            is_spools_turn: false,
        }
    }

    pub(super) async fn run(mut self) {
        while self.rest().await {
            // Asked before looking: what was posted before the stop is seen.
            let is_last = self.shared.stopping.is_cancelled();
            match self.next().await {
                Some(held) => self.attempt(held).await,
                None if is_last => break,
                None => self.wait().await,
            }
        }
        while let Some(posted) = self.shared.take() {
            let left = match self.desk.as_mut() {
                Some(desk) => desk.put(posted).await,
                None => Err(posted),
            };
            if let Err(posted) = left {
                self.shared.lose(&[posted], "shutdown");
            }
        }
    }

    /// The oldest parcel: of the spool and of the ring in turns, so that neither waits for the other
    /// to be empty.
    async fn next(&mut self) -> Option<Held> {
        self.is_spools_turn = !self.is_spools_turn;
        if self.is_spools_turn
            && let Some(held) = self.spooled().await
        {
            return Some(held);
        }
        if let Some(posted) = self.shared.take() {
            return Some(Held { posted, place: Place::Memory });
        }
        self.spooled().await
    }

    async fn spooled(&mut self) -> Option<Held> {
        let desk = self.desk.as_mut().filter(|desk| desk.unreadable_until().is_none())?;
        // Memory knows; nobody asks a disk in vain.
        if self.shared.books.is_spooling() { desk.oldest().await } else { None }
    }

    /// Waits until there may be something to do.
    async fn wait(&self) {
        let readable = self.desk.as_ref().and_then(Desk::unreadable_until);
        tokio::select! {
            () = self.shared.posted.notified() => {}
            () = self.shared.stopping.cancelled() => {}
            () = sleep_until(readable.unwrap_or_else(Instant::now)), if readable.is_some() => {}
        }
    }

    /// Waits until the collector may be asked again; what is posted meanwhile goes to the spool.
    /// `false` if there is no time for that.
    async fn rest(&mut self) -> bool {
        let Some(rest) = self.rest.take() else { return true };
        let shared = Arc::clone(&self.shared);
        loop {
            tokio::select! {
                biased;
                () = shared.stopping.cancelled() => break,
                () = sleep_until(rest.until) => return true,
                () = shared.posted.notified(), if self.desk.is_some() => self.shelve().await,
            }
        }
        if self.desk.as_ref().is_some_and(|desk| !desk.is_failing()) {
            return false; // All of it is safe.
        }
        let mut until = rest.until;
        if !rest.is_asked_for
            && let Some(pause) = self.retry.hurry()
        {
            until = until.min(Instant::now() + pause);
        }
        if !shared.is_open_at(until) {
            return false;
        }
        tokio::select! {
            biased;
            () = shared.time_is_up() => false,
            () = sleep_until(until) => true,
        }
    }

        self.shared.note_held_up(self.is_failing && self.is_patient);
    async fn attempt(&mut self, held: Held) {
        let answer = self.carry(&held.posted.parcel).await;
        let (books, items) = (&self.shared.books, held.posted.parcel.items);
        self.is_failing = matches!(answer, Answer::Later { .. });
        match answer {
            Answer::Taken { rejected } => {
                books.delivered(items, rejected, held.place);
                self.notices.note_success();
            }
            Answer::Never { reason, detail } => {
                books.failed(&detail);
                books.lost(items, reason, held.place);
                self.notices.note_failure(&detail, Fate::Dropped);
            }
            Answer::Later { reason, detail, .. } if !self.is_patient && is_absence(reason) => {
                books.failed(&detail);
                books.lost(items, reason, held.place);
                self.notices.note_failure(&detail, Fate::Dropped);
            }
            Answer::Later { reason, detail, after } => {
                books.failed(&detail);
                self.notices.note_failure(&detail, self.fate());
                let until = Instant::now() + self.retry.pause(after);
                self.rest = Some(Rest { until, is_asked_for: Retry::wish(after).is_some() });
                let is_stuck = self.stuck.failed(held.posted.order, reason);
                return self.keep(held, is_stuck).await;
            }
        }
        self.retry.reset();
        if let (Place::Spool { .. }, Some(desk)) = (held.place, self.desk.as_mut()) {
            desk.done(held.posted.order).await;
        }
    }

    /// One attempt. A parcel that is posted meanwhile does not have to fear for its place.
    async fn carry(&mut self, parcel: &Parcel) -> Answer {
        let (carrier, shared) = (Arc::clone(&self.carrier), Arc::clone(&self.shared));
        let mut carrying = std::pin::pin!(calmly(carrier.carry(parcel, self.timeout)));
        let mut time_is_up = std::pin::pin!(shared.time_is_up());
        loop {
            tokio::select! {
                biased;
                () = &mut time_is_up => {
                    let detail = "no answer before the end".to_owned();
                    return Answer::Later { reason: "shutdown", detail, after: None };
                }
                answer = &mut carrying => {
                    let panicked = "the exporter panicked".to_owned();
                    return answer.unwrap_or(Answer::Never { reason: "panic", detail: panicked });
                }
                () = shared.posted.notified(), if self.desk.is_some() => {
                    if self.is_failing || shared.is_crowded() {
                        self.shelve().await;
                    }
                }
            }
        }
    }

    /// Keeps what could not be delivered, and whatever else is in memory, in the spool if possible.
    /// What is stuck comes after all that waits now.
    async fn keep(&mut self, held: Held, is_stuck: bool) {
        match held.place {
            Place::Memory if is_stuck && self.desk.is_none() => self.shared.put_last(held.posted),
            Place::Memory => drop(self.keep_posted(held.posted).await),
            Place::Spool { .. } => {
                if let Some(desk) = self.desk.as_mut() {
                    desk.release(held.posted.order, is_stuck).await;
                }
            }
        }
        self.shelve().await;
    }

    /// Brings everything in memory to the spool, oldest first.
    async fn shelve(&mut self) {
        while self.desk.as_ref().is_some_and(Desk::is_writable) {
            let Some(posted) = self.shared.take() else { return };
            if !self.keep_posted(posted).await {
                return;
            }
        }
    }

    /// To the spool with it, or back into memory: where there is no spool, or the disk fails or wants
    /// to be left alone. Says whether it is in the spool.
    async fn keep_posted(&mut self, posted: Posted) -> bool {
        let refused = match self.desk.as_mut().filter(|desk| desk.is_writable()) {
            Some(desk) => desk.put(posted).await.err(),
            None => Some(posted),
        };
        let is_spooled = refused.is_none();
        if let Some(posted) = refused {
            self.shared.note_spool(self.desk.is_some());
            self.shared.put_back(posted);
        } else {
            self.shared.note_spool(false);
        }
        is_spooled
    }

    fn fate(&self) -> Fate {
        if self.desk.is_some() { Fate::Spooled } else { Fate::Waits }
    }
}

/// Whether nobody is there, rather than somebody who is busy.
fn is_absence(reason: &str) -> bool {
    matches!(reason, "unreachable" | "timeout")
}
