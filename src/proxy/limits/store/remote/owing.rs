//! What was granted here while the store was away, so that the store can be told when it is back.
//!
//! A client that used up this replica's share during an outage would otherwise find a full bucket in
//! the store: a burst more at every recovery. Instead, the first request of each key afterwards says
//! what is still owed, and the store charges that first. What comes back by itself, at the replica's
//! share of the rate, is owed no more.
//!
//! At most [`MOST`] keys are remembered; what finds no room is counted, and forgotten.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::SharedKey;

/// Keys remembered: some 5 MiB.
const MOST: usize = 100_000;
/// The farthest that a debt reaches.
const FARTHEST: Duration = Duration::from_hours(100 * 366 * 24);
/// A full memory looks for what is owed no more at most this often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Owing {
    book: Mutex<Book>,
    /// Keys in the book, so that nobody locks an empty one.
    len: AtomicUsize,
    forgotten: AtomicU64,
}

#[derive(Debug, Default)]
struct Book {
    /// When each key owes nothing any more.
    even_at: HashMap<SharedKey, Instant>,
    swept: Option<Instant>,
}

impl Owing {
    /// Notes that a key owes this much more, as the time in which it comes back here.
    pub(super) fn add(&self, key: SharedKey, more: Duration) {
        let now = Instant::now();
        let mut book = self.book.lock();
        let is_known = book.even_at.contains_key(&key);
        if !is_known && book.even_at.len() >= MOST && !book.sweep(now) {
            self.forgotten.fetch_add(1, Relaxed);
            return;
        }
        let even_at = book.even_at.entry(key).or_insert(now);
        let owed = even_at.saturating_duration_since(now).saturating_add(more).min(FARTHEST);
        *even_at = now + owed;
        self.len.store(book.even_at.len(), Relaxed);
    }

    /// What a key still owes, which is then no longer noted here.
    pub(super) fn take(&self, key: SharedKey) -> Duration {
        if self.len.load(Relaxed) == 0 {
            return Duration::ZERO;
        }
        let mut book = self.book.lock();
        let even_at = book.even_at.remove(&key);
        self.len.store(book.even_at.len(), Relaxed);
        even_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
    }

    /// Grants that found no room.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten.load(Relaxed)
    }

    /// Drops what owes nothing any more.
    pub(super) fn sweep(&self) {
        if self.len.load(Relaxed) > 0 {
            let mut book = self.book.lock();
            book.sweep(Instant::now());
            self.len.store(book.even_at.len(), Relaxed);
        }
    }
}

impl Book {
    /// Whether there is room now.
    fn sweep(&mut self, now: Instant) -> bool {
        if self.swept.is_some_and(|at| now.saturating_duration_since(at) < SWEEP_EVERY) {
            return self.even_at.len() < MOST;
        }
        self.swept = Some(now);
        self.even_at.retain(|_, even_at| *even_at > now);
        if self.even_at.is_empty() {
            self.even_at = HashMap::new(); // An outage's memory goes with it.
        }
        self.even_at.len() < MOST
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_is_owed_shrinks_with_time_and_is_told_once() {
        let owing = Owing::default();
        let key = SharedKey(1);
        owing.add(key, 3 * SECOND);
        owing.add(key, 2 * SECOND);
        advance(SECOND).await;
        assert_eq!(owing.take(SharedKey(2)), Duration::ZERO);
        assert_eq!(owing.take(key), 4 * SECOND);
        assert_eq!(owing.take(key), Duration::ZERO);
        owing.add(key, SECOND);
        advance(2 * SECOND).await;
        assert_eq!(owing.take(key), Duration::ZERO, "it has come back by itself");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_book_forgets_the_newcomer_and_counts_it() {
        let owing = Owing::default();
        (0..MOST).for_each(|n| owing.add(SharedKey(n as u128), SECOND));
        owing.add(SharedKey(u128::MAX), SECOND);
        assert_eq!((owing.forgotten(), owing.take(SharedKey(u128::MAX))), (1, Duration::ZERO));
        advance(2 * SECOND).await;
        owing.add(SharedKey(u128::MAX), SECOND);
        assert_eq!((owing.forgotten(), owing.take(SharedKey(u128::MAX))), (1, SECOND));
        owing.add(SharedKey(7), Duration::MAX);
        assert_eq!(owing.take(SharedKey(7)), FARTHEST);
    }
}
