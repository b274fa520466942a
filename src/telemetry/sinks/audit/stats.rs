//! Numbers about the audit trail: written by the writer, read by anybody without a lock.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::audit::{AuditResult, Draft, Event};

const EVENTS: usize = Event::ALL.len();
const RESULTS: usize = AuditResult::ALL.len();

/// A snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Durable records by [`Event::index`] and [`AuditResult::index`], since the start.
    pub records: [[u64; RESULTS]; EVENTS],
    /// Writes, syncs and new segments that failed.
    pub failures: u64,
    /// Refusals that found their lane full.
    pub denied_dropped: u64,
    /// Ends that came after the close, or could not be written before it. Until then they wait.
    pub lost: u64,
    /// Ends and refusals that are kept while the disk fails. Closing the trail tries them once more, and
    /// counts what still cannot be written as lost.
    pub waiting: u64,
    /// Beginnings without an end that the start closed, reason `crash`.
    pub closed_after_crash: u64,
    /// Bytes of torn tails that the start moved to `.cut` files.
    pub torn_bytes: u64,
    /// Flaws that the start found inside the chain.
    pub flaws: u64,
    /// The `seq` of the last durable record.
    pub sequence: u64,
    /// When the last record became durable.
    pub last_durable: Option<SystemTime>,
    /// Commits since the start.
    pub commits: u64,
    /// Time spent in them, write and sync together.
    pub commit_time: Duration,
    /// Whether the writer runs and its segment takes records.
    pub is_writable: bool,
}

impl Stats {
    /// Durable records of this result, of all events.
    pub fn records_with(&self, result: AuditResult) -> u64 {
        self.records.iter().map(|of_event| of_event[result.index()]).sum()
    }
}

/// Who wants to know how long each commit took.
struct Observer(Box<dyn Fn(Duration) + Send + Sync>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    records: [[AtomicU64; RESULTS]; EVENTS],
    failures: AtomicU64,
    denied_dropped: AtomicU64,
    lost: AtomicU64,
    waiting: AtomicU64,
    closed_after_crash: AtomicU64,
    torn_bytes: AtomicU64,
    flaws: AtomicU64,
    sequence: AtomicU64,
    last_durable_millis: AtomicU64,
    commits: AtomicU64,
    commit_micros: AtomicU64,
    observer: OnceLock<Observer>,
    is_writable: AtomicBool,
}

impl Counters {
    pub(super) fn recorded(&self, draft: &Draft, result: AuditResult) {
        self.records[draft.event.index()][result.index()].fetch_add(1, Relaxed);
    }

    /// Calls `observe` with the time of each commit from now on. Only the first observer counts.
    pub(super) fn observe_commits(&self, observe: Box<dyn Fn(Duration) + Send + Sync>) {
        drop(self.observer.set(Observer(observe)));
    }

    pub(super) fn committed(&self, sequence: u64, took: Duration) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.sequence.store(sequence, Relaxed);
        self.last_durable_millis.store(saturate(now.as_millis()), Relaxed);
        self.commits.fetch_add(1, Relaxed);
        if let Some(Observer(observe)) = self.observer.get() {
            observe(took);
        }
        self.commit_micros.fetch_add(saturate(took.as_micros()), Relaxed);
    }

    pub(super) fn opened(&self, sequence: u64, closed: u64, torn_bytes: u64, flaws: u64) {
        self.sequence.store(sequence, Relaxed);
        self.closed_after_crash.store(closed, Relaxed);
        self.torn_bytes.store(torn_bytes, Relaxed);
        self.flaws.store(flaws, Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    pub(super) fn denied_dropped(&self, count: u64) {
        self.denied_dropped.fetch_add(count, Relaxed);
    }

    pub(super) fn lost(&self, count: u64) {
        self.lost.fetch_add(count, Relaxed);
    }

    pub(super) fn set_waiting(&self, count: u64) {
        self.waiting.store(count, Relaxed);
    }

    pub(super) fn set_writable(&self, is_writable: bool) {
        self.is_writable.store(is_writable, Relaxed);
    }

    pub(super) fn is_writable(&self) -> bool {
        self.is_writable.load(Relaxed)
    }

    pub(super) fn snapshot(&self) -> Stats {
        let millis = self.last_durable_millis.load(Relaxed);
        Stats {
            records: self
                .records
                .each_ref()
                .map(|of_event| of_event.each_ref().map(|counter| counter.load(Relaxed))),
            failures: self.failures.load(Relaxed),
            denied_dropped: self.denied_dropped.load(Relaxed),
            lost: self.lost.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            closed_after_crash: self.closed_after_crash.load(Relaxed),
            torn_bytes: self.torn_bytes.load(Relaxed),
            flaws: self.flaws.load(Relaxed),
            sequence: self.sequence.load(Relaxed),
            last_durable: (millis > 0).then(|| UNIX_EPOCH + Duration::from_millis(millis)),
            commits: self.commits.load(Relaxed),
            commit_time: Duration::from_micros(self.commit_micros.load(Relaxed)),
            is_writable: self.is_writable(),
        }
    }
}

fn saturate(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
