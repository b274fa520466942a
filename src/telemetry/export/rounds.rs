//! The clerk's rounds: the oldest parcel to the collector, and again while that helps.
//!
//! Everything a parcel can come to is settled in the books here. One attempt runs at a time; between
//! failed ones the clerk rests as [`Retry`] says. While the collector fails, everything goes to the
//! spool, where there is one; once it is back, the spool and new parcels take turns. Metrics leave
//! strictly oldest first, while the spool cannot be read, too: who stores them may refuse what is older than
//! what it has. A parcel that fails
//! while others arrive lets those go first (`stuck`): it may be the only one that the collector cannot take.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::notices::{Fate, Notices};
use super::outbox::{Settings, Shared};
use super::retry::Retry;
use super::ring::Posted;
use super::spool::{Desk, Held};
use super::stuck::Stuck;
use super::{Answer, Carrier, Parcel};
use crate::config::model::Signal;
use crate::telemetry::books::Place;
use crate::telemetry::worker::calmly;

/// What a collector that hangs still gets of a clerk who is to stop, where the disk takes what is left.
const GRACE: Duration = Duration::from_secs(1);

/// What the clerk knows.
pub(super) struct Rounds {
    shared: Arc<Shared>,
    desk: Option<Desk>,
    carrier: Arc<dyn Carrier>,
    notices: Notices,
    retry: Retry,
    stuck: Stuck,
    timeout: Duration,
    /// Whether nothing may overtake anything.
    keeps_order: bool,
    /// Whether an absent collector is waited for.
    is_patient: bool,
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

impl Rounds {
    pub(super) fn new(
        settings: Settings,
        shared: Arc<Shared>,
        desk: Option<Desk>,
        carrier: Box<dyn Carrier>,
    ) -> Self {
        let keeps_order = settings.signal == Signal::Metrics.as_str();
        Self {
            // Whoever configured a spool asked for patience.
            is_patient: settings.is_configured || desk.is_some(),
            shared,
            desk,
            carrier: Arc::from(carrier),
            notices: Notices::new(settings.signal, settings.endpoint, settings.is_configured),
            retry: Retry::new(),
            stuck: Stuck::new(keeps_order),
            keeps_order,
            timeout: settings.timeout,
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
                None => {
                    self.wait().await;
                    if self.is_held_by_disk() && self.shared.is_crowded() {
                        self.shelve().await;
                    }
                }
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

    /// The parcel whose turn it is: the oldest, or in the stead of one that may be stuck the next.
    async fn next(&mut self) -> Option<Held> {
        if let Some(doubted) = self.stuck.doubted()
            && let Some(held) = self.oldest(Some(doubted)).await
        {
            return Some(held);
        }
        self.oldest(None).await
    }

    /// The oldest parcel but this one. What is in the spool is older than what is in the ring; the two
    /// take turns, so that neither waits for the other to be empty, unless order is to be kept.
    async fn oldest(&mut self, but: Option<u64>) -> Option<Held> {
        self.is_spools_turn = self.keeps_order || !self.is_spools_turn;
        if self.is_spools_turn
            && let Some(held) = self.spooled(but).await
        {
            return Some(held);
        }
        if self.is_held_by_disk() {
            if !self.shared.stopping.is_cancelled() {
                return None;
            }
            // In the end order is worth a place on the disk, and no parcel that finds none there.
            self.shelve().await;
        }
        if let Some(posted) = self.shared.take_but(but) {
            return Some(Held { posted, place: Place::Memory });
        }
        self.spooled(but).await
    }

    async fn spooled(&mut self, but: Option<u64>) -> Option<Held> {
        let desk = self.desk.as_mut().filter(|desk| desk.unreadable_until().is_none())?;
        // Memory knows; nobody asks a disk in vain.
        if self.shared.books.is_spooling() { desk.oldest(but).await } else { None }
    }

    /// Whether nothing may leave because what is older cannot be read. Not for long: the disk is asked every
    /// second, and a file that it does not give in a few of them is given up.
    fn is_held_by_disk(&self) -> bool {
        let is_unreadable = self.desk.as_ref().is_some_and(Desk::is_unreadable);
        self.keeps_order && is_unreadable && self.shared.books.is_spooling()
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

    async fn attempt(&mut self, held: Held) {
        let answer = self.carry(&held.posted.parcel).await;
        let (books, items) = (&self.shared.books, held.posted.parcel.items);
        self.shared.note_held_up(matches!(answer, Answer::Later { .. }) && self.is_patient);
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
        self.stuck.settled(held.posted.order);
        if let (Place::Spool { .. }, Some(desk)) = (held.place, self.desk.as_mut()) {
            desk.done(held.posted.order).await;
        }
    }

    /// One attempt. A parcel that is posted meanwhile does not have to fear for its place. At the end
    /// a collector that hangs does not hold up what the disk can take.
    async fn carry(&mut self, parcel: &Parcel) -> Answer {
        let (carrier, shared) = (Arc::clone(&self.carrier), Arc::clone(&self.shared));
        let mut carrying = std::pin::pin!(calmly(carrier.carry(parcel, self.timeout)));
        let mut time_is_up = std::pin::pin!(shared.time_is_up());
        let mut grace_is_over = std::pin::pin!(async {
            shared.stopping.cancelled().await;
            sleep(GRACE).await;
        });
        loop {
            let is_safe = self.desk.as_ref().is_some_and(|desk| !desk.is_failing());
            tokio::select! {
                biased;
                () = &mut time_is_up => return unanswered(),
                () = &mut grace_is_over, if is_safe => return unanswered(),
                answer = &mut carrying => {
                    let panicked = "the exporter panicked".to_owned();
                    return answer.unwrap_or(Answer::Never { reason: "panic", detail: panicked });
                }
                () = shared.posted.notified(), if self.desk.is_some() => {
                    if shared.is_held_up() || shared.is_crowded() {
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

/// Of an attempt that the end of the process has cut short.
fn unanswered() -> Answer {
    let detail = "no answer before the end".to_owned();
    Answer::Later { reason: "shutdown", detail, after: None }
}

/// Whether nobody is there, rather than somebody who is busy.
fn is_absence(reason: &str) -> bool {
    matches!(reason, "unreachable" | "timeout")
}
