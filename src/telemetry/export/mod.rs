//! The way out for finished batches: what is to be delivered, and what a delivery can come to.
//!
//! A [`Parcel`] is encoded once, and is the same bytes in memory, on disk and on the wire. Every signal
//! has an `outbox`, the front of a queue that never makes anybody wait:
//!
//! - `dispatch` is how a sink gets there: it compresses a batch and posts it;
//! - `ring` is the queue in memory, bounded; `spool` the one on disk, of all signals together;
//! - `clerk` is the task that empties both, as its owner sees it; `rounds` is what it does all day;
//! - `stuck` judges whether it is a parcel that fails, or all;
//! - `retry` says how long it pauses, `notices` what the operator is told;
//! - a [`Carrier`] (`transport`) makes one attempt with one parcel and says what came of it. It neither
//!   waits for better times nor counts.
//!
//! Where every item is at every moment stands in the [`Books`](super::books::Books).

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

mod clerk;
pub mod dispatch;
pub mod gzip;
mod notices;
pub mod outbox;
mod retry;
mod ring;
mod rounds;
pub mod spool;
mod stuck;
#[cfg(test)]
mod tests;
pub mod transport;

/// One encoded export request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// What it counts for in the ledger: spans, data points, log records.
    pub items: u64,
    /// How `body` is compressed.
    pub encoding: Encoding,
    /// A protobuf export request of its signal; for Datadog a JSON array.
    pub body: Bytes,
}

/// How the body of a parcel is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// As one gzip stream.
    Gzip,
}

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The collector took it, all but this many items that it rejected (OTLP partial success).
    Taken {
        /// Items that were not taken, at most the parcel's.
        rejected: u64,
    },
    /// It may be taken another time (OTLP: retryable).
    Later {
        /// A drop reason of the ledger, should there be no other time: `unreachable`, `timeout`, `refused`.
        reason: &'static str,
        /// For our own log. It names no header and no body.
        detail: String,
        /// How long the collector asks to be left alone.
        after: Option<Duration>,
    },
    /// It will never be taken.
    Never {
        /// A drop reason of the ledger.
        reason: &'static str,
        /// For our own log. It names no header and no body.
        detail: String,
    },
}

/// Something that takes parcels to a collector.
#[async_trait]
pub trait Carrier: Send + Sync + 'static {
    /// Makes one attempt, in at most `limit`. Dropping the future gives the attempt up.
    async fn carry(&self, parcel: &Parcel, limit: Duration) -> Answer;
}
