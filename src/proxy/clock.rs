//! One timer per connection, re-armed lazily.
//!
//! Registering a tokio timer costs about 2,000 instructions; a proxied request needs several clocks
//! that almost never fire. So a [`Timer`] keeps its registration: moving the deadline later only
//! writes a field, and the sleep that fires too early is put off then. It promises that a due time
//! that has passed is seen at the next poll, and that the polling task is woken for it.
//!
//! It does not know what it is waiting for.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A deadline that can be moved cheaply.
#[derive(Debug, Default)]
pub struct Timer {
    due: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whom the sleep will wake.
    waker: Option<Waker>,
}

impl Timer {
    /// Sets the deadline; `None` disarms it.
    pub fn set(&mut self, due: Option<Instant>) {
        self.due = due;
    }

    /// Whether a deadline is set.
    pub fn is_set(&self) -> bool {
        self.due.is_some()
    }

    /// Resolves once the deadline has passed. Never resolves while disarmed.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if sleep.deadline() > due {
            sleep.as_mut().reset(due);
            self.waker = None; // A moved sleep wakes nobody until it is polled.
        }
        // A request looks here several times, and asking the runtime each time is what costs.
        let is_registered = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_registered && !sleep.is_elapsed() {
            return Poll::Pending;
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= due {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// `now + wait`, or `None` where the wait is off.
pub fn after(wait: Option<Duration>) -> Option<Instant> {
    wait.map(|wait| Instant::now() + wait)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moves_later_fires_later() {
        let start = Instant::now();
        let mut timer = Timer::default();
        timer.set(Some(start + SECOND));
        assert!(poll_fn(|cx| Poll::Ready(timer.poll(cx))).await.is_pending());
        timer.set(Some(start + 3 * SECOND));
        poll_fn(|cx| timer.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moves_earlier_fires_earlier() {
        let start = Instant::now();
        let mut timer = Timer::default();
        timer.set(Some(start + 9 * SECOND));
        assert!(poll_fn(|cx| Poll::Ready(timer.poll(cx))).await.is_pending());
        timer.set(Some(start + SECOND));
        poll_fn(|cx| timer.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_disarmed_timer_never_fires() {
        let mut timer = Timer::default();
        timer.set(Some(Instant::now() + SECOND));
        assert!(poll_fn(|cx| Poll::Ready(timer.poll(cx))).await.is_pending());
        timer.set(None);
        let fired = tokio::time::timeout(60 * SECOND, poll_fn(|cx| timer.poll(cx))).await;
        assert!(fired.is_err());
    }
}
