//! Waiting for something rare beside something that is polled often.
//!
//! The future of a `CancellationToken` takes a lock at every poll. A connection is polled several times
//! per request, and the signals that end it come once in its life. A [`Rare`] polls its future once,
//! and again only after that future has asked for it. It resolves at the same poll as the future
//! itself would.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

/// A future that is seldom ready. See the module. Cancel safe if the future is.
#[derive(Debug)]
pub(super) struct Rare<'a, F> {
    future: Pin<&'a mut F>,
    /// The task that polled last.
    task: Option<Waker>,
    bell: Arc<Bell>,
}

/// What the future gets for a waker.
#[derive(Debug, Default)]
struct Bell {
    has_rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl<'a, F: Future> Rare<'a, F> {
    /// Waits for `future`.
    pub(super) fn new(future: Pin<&'a mut F>) -> Self {
        Self { future, task: None, bell: Arc::default() }
    }

    #[cold]
    fn ask(&mut self, is_known: bool, cx: &mut Context<'_>) -> Poll<F::Output> {
        if !is_known {
            self.task = Some(cx.waker().clone());
            *self.bell.task.lock() = Some(cx.waker().clone());
        }
        // Before the poll: what rings from now on counts for the next one.
        self.bell.has_rung.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&self.bell));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

impl<F: Future> Future for Rare<'_, F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let is_known = this.task.as_ref().is_some_and(|task| task.will_wake(cx.waker()));
        if is_known && !this.bell.has_rung.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        this.ask(is_known, cx)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        let task = self.task.lock().clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::AtomicU32;

    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn it_is_asked_again_only_once_it_has_something_to_say() {
        let token = CancellationToken::new();
        let polls = AtomicU32::new(0);
        let mut cancelled = pin!(token.cancelled());
        let mut counted = pin!(poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            cancelled.as_mut().poll(cx)
        }));
        let mut rare = Rare::new(counted.as_mut());
        for _ in 0..3 {
            assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut rare).poll(cx))).await.is_pending());
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        token.cancel();
        rare.await;
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn it_wakes_the_task_that_polled_last() {
        let token = CancellationToken::new();
        let mut cancelled = pin!(token.cancelled());
        let mut rare = Rare::new(cancelled.as_mut());
        let stranger = &mut Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut rare).poll(stranger).is_pending());
        tokio::join!(rare, async {
            tokio::task::yield_now().await;
            token.cancel();
        });
    }
}
