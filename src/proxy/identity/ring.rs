//! The keys in force, and whether they may be asked.
//!
//! Requests read them without waiting; a task of the house replaces them. Keys that a URL gave are
//! good for a day after the last time they could be fetched: longer would mean that a stolen key lives
//! on for as long as somebody keeps us from the issuer. A request whose token names a key that is not
//! here may ask for newer ones, but all requests together only twice a minute.
//!
//! It fetches and reads nothing itself.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::jwt::Keys;

/// How long keys are good after they were fetched, while they cannot be fetched again.
pub(super) const STALE_AFTER: Duration = Duration::from_hours(24);
/// At most one request in this time makes us ask for newer keys.
const BETWEEN_ASKS: Duration = Duration::from_secs(30);
/// How long a request waits for newer keys.
const PATIENCE: Duration = Duration::from_secs(1);
/// Requests that wait at once; the next one is refused without.
const WAITING: usize = 64;

/// The keys of one moment.
#[derive(Debug)]
pub(super) struct Set {
    /// `None` until there were any.
    pub(super) keys: Option<Arc<Keys>>,
    /// Grows whenever the keys change.
    pub(super) generation: u64,
    /// Until when they may be asked; `None` for ever.
    good_until: Option<Instant>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ring {
    set: ArcSwap<Set>,
    asked: Mutex<Option<Instant>>,
    wake: Notify,
    /// Counts the attempts to get keys that are over.
    rounds: watch::Sender<u64>,
    waiting: Semaphore,
    attempts: Mutex<Attempts>,
}

/// How the attempts to get keys went.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts {
    /// When the last one that went well began.
    pub(super) last_success: Option<Instant>,
    /// Why the last one went wrong; `None` where it went well.
    pub(super) trouble: Option<Arc<str>>,
    /// When the next one begins, where that is known.
    pub(super) next: Option<Instant>,
}

impl Set {
    /// The keys, where they may be asked at this moment.
    pub(super) fn usable(&self, now: Instant) -> Option<&Arc<Keys>> {
        self.keys.as_ref().filter(|_| self.good_until.is_none_or(|until| now < until))
    }
}

impl Ring {
    /// A ring with these keys, which are good for ever; or with none yet.
    pub(super) fn new(keys: Option<Arc<Keys>>) -> Self {
        // Those of a file have just been read.
        let last_success = keys.is_some().then(Instant::now);
        Self {
            set: ArcSwap::from_pointee(Set { keys, generation: 1, good_until: None }),
            asked: Mutex::new(None),
            wake: Notify::new(),
            rounds: watch::Sender::new(0),
            waiting: Semaphore::new(WAITING),
            attempts: Mutex::new(Attempts { last_success, ..Attempts::default() }),
        }
    }

    /// How the attempts to get keys went so far.
    pub(super) fn attempts(&self) -> Attempts {
        self.attempts.lock().clone()
    }

    /// How long until keys are tried to be had again; no time at all where that is not known, or just
    /// happening.
    pub(super) fn next_try(&self, now: Instant) -> Duration {
        let next = self.attempts.lock().next;
        next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now))
    }

    /// The keys in force.
    pub(super) fn set(&self) -> Guard<Arc<Set>> {
        self.set.load()
    }

    /// Puts keys in force. The same keys again only live longer. Returns whether they are others.
    pub(super) fn put(&self, keys: Keys, good_until: Option<Instant>) -> bool {
        let before = self.set.load();
        let (keys, generation) = match &before.keys {
            Some(old) if **old == keys => (Arc::clone(old), before.generation),
            _ => (Arc::new(keys), before.generation + 1),
        };
        let is_new = generation != before.generation;
        self.set.store(Arc::new(Set { keys: Some(keys), generation, good_until }));
        is_new
    }

    /// Says that the attempt to get keys that began then is over, well or not. Returns whether its
    /// outcome is news: another trouble than before, or none any more.
    pub(super) fn end_round(&self, began: Instant, trouble: Option<String>) -> bool {
        let is_news = {
            let mut attempts = self.attempts.lock();
            let is_news = attempts.trouble.as_deref() != trouble.as_deref();
            if trouble.is_none() {
                attempts.last_success = Some(began);
            }
            if is_news {
                attempts.trouble = trouble.map(Arc::from);
            }
            is_news
        };
        self.rounds.send_modify(|rounds| *rounds += 1);
        is_news
    }

    /// Waits for the next attempt to get keys: so long, or until a request asks for newer ones.
    pub(super) async fn rest(&self, pause: Duration) {
        self.attempts.lock().next = Some(Instant::now() + pause);
        let _asked_or_due = timeout(pause, self.asked()).await;
        self.attempts.lock().next = None;
    }

    /// Waits until a request asks for newer keys.
    async fn asked(&self) {
        self.wake.notified().await;
    }

    /// Asks for newer keys than those of `generation` and waits a little for them. `false` where there
    /// are none: it was asked not long ago, or too many wait already, or nothing came.
    ///
    /// Cancel safe.
    pub(super) async fn renew(&self, generation: u64, now: Instant) -> bool {
        let Ok(_place) = self.waiting.try_acquire() else { return false };
        let mut rounds = self.rounds.subscribe();
        {
            let mut asked = self.asked.lock();
            match *asked {
                // Somebody has just asked: their answer is ours.
                Some(at) if now.saturating_duration_since(at) < PATIENCE => {}
                Some(at) if now.saturating_duration_since(at) < BETWEEN_ASKS => return false,
                _ => {
                    *asked = Some(now);
                    self.wake.notify_one();
                }
            }
        }
        // It may have come between the look at the keys and now.
        let is_newer = || self.set.load().generation != generation;
        is_newer() || (timeout(PATIENCE, rounds.changed()).await.is_ok() && is_newer())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::Algorithm;

    fn keys(secret: u8) -> Keys {
        Keys::of_secret(&[secret; 32], &[Algorithm::HS256]).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_are_fetched_are_good_for_a_day() {
        let ring = Ring::new(None);
        assert!(ring.set().usable(Instant::now()).is_none());
        assert!(ring.put(keys(1), Some(Instant::now() + STALE_AFTER)));
        tokio::time::advance(STALE_AFTER.saturating_sub(Duration::from_secs(1))).await;
        assert!(ring.set().usable(Instant::now()).is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(ring.set().usable(Instant::now()).is_none());
        assert!(!ring.put(keys(1), Some(Instant::now() + STALE_AFTER)), "the same");
        assert!(ring.set().usable(Instant::now()).is_some());
        let before = ring.set().generation;
        assert!(ring.put(keys(2), None));
        assert!(ring.set().generation > before);
    }

    #[tokio::test(start_paused = true)]
    async fn newer_keys_are_asked_for_once_in_30_seconds() {
        let ring = Ring::new(Some(Arc::new(keys(1))));
        let mut asks = 0;
        for _ in 0..90 {
            let generation = ring.set().generation;
            assert!(!ring.renew(generation, Instant::now()).await);
            if timeout(Duration::ZERO, ring.asked()).await.is_ok() {
                asks += 1;
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!((3..=4).contains(&asks), "{asks}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_gets_the_keys_that_come() {
        let ring = Ring::new(Some(Arc::new(keys(1))));
        let generation = ring.set().generation;
        let fetch = async {
            ring.asked().await;
            ring.put(keys(2), None);
            ring.end_round(Instant::now(), None);
        };
        let (first, second, ()) = tokio::join!(
            ring.renew(generation, Instant::now()),
            ring.renew(generation, Instant::now()),
            fetch
        );
        assert!(first && second);
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_wait_at_once() {
        let ring = Ring::new(Some(Arc::new(keys(1))));
        let (generation, now) = (ring.set().generation, Instant::now());
        let waits: Vec<_> = (0..WAITING).map(|_| Box::pin(ring.renew(generation, now))).collect();
        let mut waits = futures_joined(waits);
        assert!(
            std::future::poll_fn(|cx| std::task::Poll::Ready(waits.as_mut().poll(cx).is_pending()))
                .await
        );
        let before = Instant::now();
        assert!(!ring.renew(generation, now).await);
        assert_eq!(Instant::now(), before, "without a wait");
        assert!(waits.await.iter().all(|is_newer| !is_newer));
    }

    /// All of them together.
    fn futures_joined<F: Future>(
        mut all: Vec<std::pin::Pin<Box<F>>>,
    ) -> std::pin::Pin<Box<impl Future<Output = Vec<F::Output>>>> {
        let mut done: Vec<Option<F::Output>> = all.iter().map(|_| None).collect();
        Box::pin(std::future::poll_fn(move |cx| {
            for (slot, one) in done.iter_mut().zip(&mut all) {
                if slot.is_none()
                    && let std::task::Poll::Ready(output) = one.as_mut().poll(cx)
                {
                    *slot = Some(output);
                }
            }
            if done.iter().all(Option::is_some) {
                std::task::Poll::Ready(done.drain(..).flatten().collect())
            } else {
                std::task::Poll::Pending
            }
        }))
    }
}
