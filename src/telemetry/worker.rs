//! The task that carries items from a lane to its sink.
//!
//! It sleeps while the lane is empty. Once there is an item it sweeps when the sink's patience is over
//! or a batch is there, and delivers in batches, one at a time. A sink that fails or panics loses its
//! batch, counted; the worker goes on. [`Worker::stop`] awaits it.
//!
//! It does not retry: a sink, or the outbox it hands over to, knows best what is worth a second attempt.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::deadline::{Deadline, half_since, whole};
use super::export::outbox::Clerk;
use super::lane::Lane;
use super::sink::{Delivery, Sink};

/// A lane, whatever is on it, as far as its end goes.
trait Queue: Send + Sync + fmt::Debug {
    /// See [`Lane::close`].
    fn close(&self);
    /// See [`Lane::abandon`].
    fn abandon(&self);
}

impl<T: Send> Queue for Lane<T> {
    fn close(&self) {
        Self::close(self);
    }

    fn abandon(&self) {
        Self::abandon(self);
    }
}

/// A running worker. Dropping it ends the task without a last sweep.
#[derive(Debug)]
pub struct Worker {
    lane: Arc<dyn Queue>,
    stopping: CancellationToken,
    task: JoinSet<()>,
    /// Of the outbox that the sink posts to.
    clerk: Option<Clerk>,
}

/// Starts a worker for this sink, with a lane of at most `capacity` items of which at most `batch`
/// are delivered at a time. Needs a runtime.
pub fn start<S: Sink>(
    mut sink: S,
    signal: &'static str,
    capacity: usize,
    batch: usize,
) -> (Arc<Lane<S::Item>>, Worker) {
    let clerk = sink.clerk();
    let books = clerk.as_ref().map(Clerk::books).unwrap_or_default();
    let lane = Lane::new(signal, sink.name(), capacity, S::weight).swept_at(batch).keeping(books);
    let lane = Arc::new(lane);
    let stopping = CancellationToken::new();
    let mut task = JoinSet::new();
    task.spawn(run(Arc::clone(&lane), sink, batch.max(1), stopping.clone()));
    let queue: Arc<dyn Queue> = Arc::<Lane<S::Item>>::clone(&lane);
    (lane, Worker { lane: queue, stopping, task, clerk })
}

impl Worker {
    /// Closes the lane, delivers what it holds, and closes the sink and its outbox. What is not
    /// delivered at the deadline is dropped as `shutdown`, or waits in the spool. Dropping the future
    /// ends the tasks at once, uncounted.
    pub async fn stop(mut self, deadline: impl Into<Deadline>) {
        let deadline = deadline.into();
        self.lane.close();
        self.stopping.cancel();
        // To fill an outbox is quick; to empty it takes what there is of time.
        let half = half_since(Instant::now());
        let filled_by = |at| if self.clerk.is_some() { half(at) } else { whole(at) };
        if deadline.bound(filled_by, self.task.join_next()).await.is_none() {
            self.task.abort_all();
        }
        self.lane.abandon();
        if let Some(clerk) = self.clerk {
            clerk.stop(deadline).await;
        }
    }
}

async fn run<S: Sink>(
    lane: Arc<Lane<S::Item>>,
    mut sink: S,
    batch: usize,
    stopping: CancellationToken,
) {
    let mut swept = Vec::new();
    loop {
        let last = tokio::select! {
            biased;
            () = stopping.cancelled() => true,
            () = worth_a_sweep(&lane, sink.patience()) => false,
        };
        if let Some(dropped) = lane.sweep(&mut swept) {
            sink.missed(dropped);
        }
        let mut items = swept.drain(..);
        loop {
            let batch: Vec<_> = items.by_ref().take(batch).collect();
            if batch.is_empty() {
                break;
            }
            let (count, weight) = (batch.len(), lane.weight_of(&batch));
            let delivery = calmly(sink.deliver(batch)).await;
            let panicked = || Delivery { dropped: vec![("panic", weight)], ..Delivery::default() };
            lane.settle(&delivery.unwrap_or_else(panicked), count, weight);
            if let Some(error) = sink.trouble() {
                lane.is_failing(error);
            }
        }
        if last {
            break;
        }
    }
    if calmly(sink.close()).await.is_none() {
        tracing::error!(sink = sink.name(), "A sink panicked while closing.");
    }
}

/// Returns once the first item has waited long enough, or there are many.
async fn worth_a_sweep<T>(lane: &Lane<T>, patience: Duration) {
    lane.filled().await;
    tokio::select! {
        () = lane.has_plenty() => {}
        () = sleep(patience) => {}
    }
}

/// The future's result, or `None` if it panicked. The panic hook has already said where.
pub(super) async fn calmly<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use async_trait::async_trait;
    use tokio::sync::mpsc;

    use super::*;
    use crate::telemetry::ledger::Book;

    /// The patience of a sink that does not say otherwise.
    const SWEEP: Duration = Duration::from_millis(20);

    /// Does with a batch what its first item says.
    struct Obedient {
        delivered: mpsc::Sender<Vec<&'static str>>,
    }

    #[async_trait]
    impl Sink for Obedient {
        type Item = &'static str;

        fn name(&self) -> &'static str {
            "obedient"
        }

        async fn deliver(&mut self, batch: Vec<&'static str>) -> Delivery {
            let count = batch.len();
            match batch[0] {
                "panic" => panic!("as told"),
                "hang" => std::future::pending().await,
                "fail" => return Delivery::none(count, "refused"),
                _ => {}
            }
            self.delivered.send(batch).await.unwrap();
            Delivery::all(count)
        }
    }

    fn start_obedient(
        batch: usize,
    ) -> (Arc<Lane<&'static str>>, Worker, mpsc::Receiver<Vec<&'static str>>) {
        let (delivered, deliveries) = mpsc::channel(100);
        let (lane, worker) = start(Obedient { delivered }, "logs", 100, batch);
        (lane, worker, deliveries)
    }

    #[tokio::test(start_paused = true)]
    async fn items_arrive_within_a_sweep_in_batches() {
        let (lane, worker, mut deliveries) = start_obedient(2);
        let offered = Instant::now();
        for item in ["a", "b", "c"] {
            assert!(lane.offer(item));
        }
        assert_eq!(deliveries.recv().await.unwrap(), ["a", "b"]);
        assert_eq!(deliveries.recv().await.unwrap(), ["c"]);
        assert!(offered.elapsed() <= SWEEP);
        worker.stop(Instant::now() + SWEEP).await;
        assert_eq!(lane.account().exported, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panicking_or_failing_sink_loses_its_batch_and_goes_on() {
        let (lane, worker, mut deliveries) = start_obedient(1);
        for item in ["panic", "fail", "fine"] {
            assert!(lane.offer(item));
        }
        assert_eq!(deliveries.recv().await.unwrap(), ["fine"]);
        worker.stop(Instant::now() + SWEEP).await;
        let account = lane.account();
        assert_eq!(account.dropped, BTreeMap::from([("panic", 1), ("refused", 1)]));
        assert_eq!(account.attempts, BTreeMap::from([("failure", 2), ("success", 1)]));
        assert!(account.is_balanced());
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_delivers_what_was_accepted_and_refuses_the_rest() {
        let (lane, worker, mut deliveries) = start_obedient(10);
        assert!(lane.offer("a"));
        worker.stop(Instant::now() + SWEEP).await;
        assert!(!lane.offer("b"));
        assert_eq!(deliveries.recv().await.unwrap(), ["a"]);
        let account = lane.account();
        assert_eq!((account.exported, account.in_flight), (1, 0));
        assert_eq!(account.dropped, BTreeMap::from([("closed", 1)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_sink_is_left_at_the_deadline_and_its_items_are_counted() {
        let (lane, worker, _deliveries) = start_obedient(1);
        for item in ["hang", "a", "b"] {
            assert!(lane.offer(item));
        }
        let asked = Instant::now();
        worker.stop(asked + Duration::from_secs(5)).await;
        assert_eq!(asked.elapsed(), Duration::from_secs(5));
        let account = lane.account();
        assert_eq!(account.dropped, BTreeMap::from([("shutdown", 3)]));
        assert!(account.is_balanced());
    }
}
