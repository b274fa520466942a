//! What every place that records leave through has in common.

use std::time::Duration;

use async_trait::async_trait;

use super::export::outbox::Clerk;

/// Where items leave the process. One worker owns one sink and calls it with one batch at a time.
#[async_trait]
pub trait Sink: Send + 'static {
    /// What it takes.
    type Item: Send + 'static;

    /// Its name in the ledger, e.g. `otlp`.
    fn name(&self) -> &'static str;

    /// How long an item may wait for others to share its delivery, while there is room.
    fn patience(&self) -> Duration {
        Duration::from_millis(20)
    }

    /// What an item counts for in the ledger: an exchange is one log line but two or three spans.
    fn weight(item: &Self::Item) -> u64
    where
        Self: Sized,
    {
        let _ = item;
        1
    }

    /// The clerk of the outbox that this sink hands its batches over to, if it has one. Whoever runs
    /// the sink asks once, before the first batch, and stops the clerk after the last.
    fn clerk(&mut self) -> Option<Clerk> {
        None
    }

    /// Hears how much the lane has dropped for want of room since it was opened, before the batches
    /// that found some.
    fn missed(&mut self, total: u64) {
        let _ = total;
    }

    /// Delivers a batch and says what became of each item: the counts of the answer add up to the
    /// batch's weight. It bounds its own waiting. Dropping the future loses the batch; the worker
    /// counts it as dropped then.
    async fn deliver(&mut self, batch: Vec<Self::Item>) -> Delivery;

    /// Why nothing arrives at present, as the last delivery found. Only of sinks that bring things
    /// where they belong themselves: an outbox keeps its own account.
    fn trouble(&self) -> Option<&str> {
        None
    }

    /// Flushes what the sink itself holds, after the last batch.
    async fn close(&mut self) {}
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Items that arrived.
    pub exported: u64,
    /// Items that did not, by reason. Reasons are a closed set, safe as a label:
    /// `unreachable`, `timeout`, `refused`, `rejected`, `io`, `rate_limited`, `sampled`, `unencodable`, `too_large`. The lane
    /// and its worker add `queue_full`, `closed`, `panic`, `shutdown` and `unaccounted`.
    pub dropped: Vec<(&'static str, u64)>,
    /// Items that an outbox has taken over, and settles in the same books.
    pub handed_over: u64,
    /// How many requests were made, and how many of them failed, where a batch is not one request.
    pub requests: Option<(u64, u64)>,
}

impl Delivery {
    /// All arrived.
    pub fn all(items: usize) -> Self {
        Self { exported: items as u64, ..Self::default() }
    }

    /// None arrived.
    pub fn none(items: usize, reason: &'static str) -> Self {
        Self { dropped: vec![(reason, items as u64)], ..Self::default() }
    }
}
