//! Where encoded parcels of one signal wait for the collector.
//!
//! [`Outbox::post`] never waits: a parcel is remembered in a bounded ring, and a [`Clerk`] delivers,
//! oldest first, one at a time. Every item stays in flight in the [`Books`] until the clerk, or the
//! bound of the ring, has settled it. With a spool, the clerk brings there what has to wait.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use super::clerk::Clerk;
pub use super::ring::Bound;
use super::ring::{Posted, Ring};
use super::spool::Spool;
use super::{Carrier, Encoding, Parcel};
use crate::config::model::{OtlpTarget, Signal};
use crate::telemetry::books::{Books, Place};
use crate::telemetry::deadline::Deadline;

/// What is remembered while the collector is slow or away: minutes of spans, compressed.
const REMEMBERED: Bound = Bound { bytes: 16 << 20, parcels: 1024 };

/// How an outbox is kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `traces`, `metrics` or `logs`, or `datadog` for the logs that go there: its parcels' name in the spool.
    pub signal: &'static str,
    /// Where the parcels go, for our own log: without user, password and query.
    pub endpoint: String,
    /// Whether somebody asked for this endpoint. A default one that nobody is at gets no patience.
    pub is_configured: bool,
    /// The limit of one attempt.
    pub timeout: Duration,
    /// How the bodies of its parcels are compressed.
    pub encoding: Encoding,
    /// What is remembered at most.
    pub remembered: Bound,
}

impl Settings {
    /// Of the outbox to this target.
    pub fn of(target: &OtlpTarget, signal: Signal) -> Self {
        Self {
            signal: signal.as_str(),
            endpoint: target.place(),
            is_configured: target.is_configured,
            timeout: target.timeout,
            encoding: if target.compress { Encoding::Gzip } else { Encoding::Identity },
            remembered: REMEMBERED,
        }
    }

    /// Of the outbox to Datadog's intake, at a URL without user, password and query.
    pub fn to_datadog(url: &str, timeout: Duration) -> Self {
        Self {
            signal: "datadog",
            endpoint: url.to_owned(),
            is_configured: true,
            timeout,
            encoding: Encoding::Gzip,
            remembered: REMEMBERED,
        }
    }
}

/// The place to post parcels at. Clones share it.
#[derive(Clone, Debug)]
pub struct Outbox(Arc<Shared>);

/// What the outbox and its clerk share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) books: Arc<Books>,
    ring: Mutex<Ring>,
    /// Of the whole process where there is a spool, so that the oldest is known across signals.
    orders: Arc<AtomicU64>,
    /// There is a spool, and it takes nothing: what finds no room is its fault.
    spool_fails: AtomicBool,
    /// Parcels wait for a collector that takes none.
    is_held_up: AtomicBool,
    /// Something was posted.
    pub(super) posted: Notify,
    pub(super) stopping: CancellationToken,
    /// When to give up, once stopping.
    ends: OnceLock<Ends>,
}

/// How much time a clerk has who is to stop.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) deadline: Deadline,
    pub(super) began: Instant,
    /// The last part of the time, for what is left: at most this, at most a quarter of it.
    pub(super) reserve: Duration,
}

impl Ends {
    /// When to give up, for a deadline.
    fn before(&self, deadline: Instant) -> Instant {
        deadline - self.reserve.min(deadline.saturating_duration_since(self.began) / 4)
    }
}

/// Opens an outbox, and starts the clerk who empties it: first of what the spool has of an earlier
/// run. Needs a runtime.
pub fn start(
    settings: Settings,
    spool: Option<&Arc<Spool>>,
    carrier: Box<dyn Carrier>,
) -> (Outbox, Clerk) {
    let shared = Arc::new(Shared {
        books: Arc::default(),
        ring: Mutex::new(Ring::new(settings.remembered)),
        orders: spool.map(|spool| spool.orders()).unwrap_or_default(),
        spool_fails: AtomicBool::new(false),
        is_held_up: AtomicBool::new(false),
        posted: Notify::new(),
        stopping: CancellationToken::new(),
        ends: OnceLock::new(),
    });
    let desk = spool.map(|spool| spool.join(settings.signal, &shared.books));
    (Outbox(Arc::clone(&shared)), Clerk::start(settings, shared, desk, carrier))
}

impl Outbox {
    /// Posts a parcel whose items are in the hands of the caller, by the [`Books`]. Never waits. Says
    /// how many items it took over: none once it is stopped.
    pub fn post(&self, mut parcel: Parcel) -> u64 {
        let mut ring = self.0.ring.lock();
        let Some(items) = self.0.books.hand_over(parcel.items) else { return 0 };
        parcel.items = items;
        let order = self.0.orders.fetch_add(1, Ordering::Relaxed);
        let pushed_out = ring.push(Posted { order, parcel });
        self.0.lose(&pushed_out, self.0.no_room());
        drop(ring);
        self.0.posted.notify_one();
        items
    }

    /// Whether parcels wait for a collector that takes none at present.
    pub fn is_held_up(&self) -> bool {
        self.0.is_held_up()
    }

    /// The books in which its items are settled.
    pub fn books(&self) -> Arc<Books> {
        Arc::clone(&self.0.books)
    }
}

impl Shared {
    /// Takes the oldest parcel.
    pub(super) fn take(&self) -> Option<Posted> {
        self.ring.lock().pop()
    }

    /// Takes the oldest parcel but this one.
    pub(super) fn take_but(&self, but: Option<u64>) -> Option<Posted> {
        self.ring.lock().pop_but(but)
    }

    /// Puts back what was taken; without room for it, it is lost.
    pub(super) fn put_back(&self, posted: Posted) {
        let pushed_out = self.ring.lock().put_back(posted);
        self.lose(&pushed_out, self.no_room());
    }

    /// Puts back what was taken, behind all others; what has no room then is lost.
    pub(super) fn put_last(&self, posted: Posted) {
        let pushed_out = self.ring.lock().push(posted);
        self.lose(&pushed_out, self.no_room());
    }

    /// Whether more than half of the room is taken.
    pub(super) fn is_crowded(&self) -> bool {
        self.ring.lock().is_crowded()
    }

    /// Says whether the spool, where there is one, refuses to take parcels.
    pub(super) fn note_spool(&self, fails: bool) {
        self.spool_fails.store(fails, Ordering::Relaxed);
    }

    /// Whether parcels wait for a collector that takes none: the last attempt found it unable.
    pub(super) fn is_held_up(&self) -> bool {
        self.is_held_up.load(Ordering::Relaxed)
    }

    /// Says whether parcels wait for a collector that takes none.
    pub(super) fn note_held_up(&self, is_held_up: bool) {
        self.is_held_up.store(is_held_up, Ordering::Relaxed);
    }

    /// The reason of what finds no room.
    fn no_room(&self) -> &'static str {
        if self.spool_fails.load(Ordering::Relaxed) { "spool_io" } else { "ring_full" }
    }

    pub(super) fn lose(&self, lost: &[Posted], reason: &'static str) {
        for posted in lost {
            self.books.lost(posted.parcel.items, reason, Place::Memory);
        }
    }

    /// Lets the clerk know that it has until then.
    pub(super) fn stop(&self, ends: Ends) {
        self.ends.get_or_init(|| ends);
        self.stopping.cancel();
    }

    /// Whether there will be time then.
    pub(super) fn is_open_at(&self, at: Instant) -> bool {
        self.ends.get().is_none_or(|ends| at < ends.before(ends.deadline.at()))
    }

    /// Returns when the clerk's time is up.
    pub(super) async fn time_is_up(&self) {
        self.stopping.cancelled().await;
        if let Some(ends) = self.ends.get() {
            ends.deadline.passes(|at| ends.before(at)).await;
        }
    }
}
