//! The way out for finished batches: what is to be delivered, and what a delivery can come to.
//!
//! A [`Parcel`] is encoded once, and is the same bytes in memory, on disk and on the wire. A [`Carrier`]
//! makes one attempt with it and says what came of it; it neither waits for better times nor counts.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

mod clerk;
pub mod gzip;
pub mod outbox;
mod retry;
mod ring;
mod rounds;
pub mod spool;
#[cfg(test)]
mod tests;
pub mod transport;
mod voice;

/// One encoded export request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// What it counts for in the ledger: spans, data points.
    pub items: u64,
    /// How `body` is compressed.
    pub encoding: Encoding,
    /// A protobuf export request of its signal.
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
