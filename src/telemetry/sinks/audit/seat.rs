//! A reserved place for the two records of one exchange.
//!
//! A seat is spent exactly once, by [`Seat::complete`] or by being dropped. It never writes itself.

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::Audit;
use super::queue::Ticket;
use crate::audit::Draft;

/// A place for the records of one exchange. Dropping it after [`Seat::initiate`] writes `completed`,
/// `aborted`, reason `abandoned`.
#[derive(Debug)]
#[must_use = "a dropped seat ends its exchange as aborted"]
pub struct Seat {
    audit: Audit,
    place: Option<OwnedSemaphorePermit>,
    ticket: Option<Ticket>,
}

/// The record could not be made durable in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// All places stayed taken until the deadline.
    #[error("no place in the audit queue until the deadline")]
    NoPlace,
    /// The disk refuses, or the writer has stopped.
    #[error("the audit trail cannot be written")]
    NotWritable,
    /// The disk was too slow. The record may still become durable.
    #[error("the audit record was not durable until the deadline")]
    TooLate,
}

impl Seat {
    pub(super) fn new(audit: Audit, place: OwnedSemaphorePermit) -> Self {
        Self { audit, place: Some(place), ticket: None }
    }

    /// Hands over the `initiated` record and waits until it is durable. Call it once; a
    /// second call changes nothing and answers `NotWritable`.
    ///
    /// After `Err`, and after the future was dropped, the record may or may not become durable. In
    /// both cases go on to [`Seat::complete`] or drop the seat: if it did, its end is written too.
    pub async fn initiate(&mut self, draft: Draft, deadline: Instant) -> Result<(), Unavailable> {
        let durable = self.begin(draft)?;
        match tokio::time::timeout_at(deadline, durable).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Unavailable::NotWritable),
            Err(_) => Err(Unavailable::TooLate),
        }
    }

    /// Gives the end. Neither waits nor fails, so it works from `Drop`; it is durable within a sweep
    /// (20 ms) of a healthy disk.
    pub fn complete(mut self, draft: Draft) {
        self.end(Some(Box::new(draft)));
    }

    /// The part of [`Seat::initiate`] that does not wait.
    pub(super) fn begin(&mut self, draft: Draft) -> Result<oneshot::Receiver<()>, Unavailable> {
        if self.ticket.is_some() {
            return Err(Unavailable::NotWritable);
        }
        let (waiter, durable) = oneshot::channel();
        self.ticket = Some(self.audit.shared().begin(Box::new(draft), waiter)?);
        Ok(durable)
    }

    fn end(&mut self, draft: Option<Box<Draft>>) {
        if let Some(place) = self.place.take() {
            self.audit.shared().end(self.ticket, draft, place);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            self.end(None);
        }
    }
}
