//! Where a clerk brings parcels to the spool and gets them back, without ever blocking its thread.
//!
//! It tells the operator when the disk begins to fail and when it works again, and keeps away from a
//! failing disk for a second at a time. Dropping a future leaves the disk's work to be finished in the
//! blocking pool; the books are right all the same.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::Spool;
use super::store::{NotTaken, Store};
use crate::telemetry::books::{Books, Place};
use crate::telemetry::export::ring::Posted;

/// How long a failing disk is left alone.
const RESPITE: Duration = Duration::from_secs(1);

/// One signal's door to the spool.
#[derive(Debug)]
pub(in crate::telemetry::export) struct Desk {
    spool: Arc<Spool>,
    signal: &'static str,
    books: Arc<Books>,
    writing: Health,
    reading: Health,
}

/// How one side of the disk's work goes. A full disk can still be read.
#[derive(Debug)]
struct Health {
    verb: &'static str,
    /// Since it failed: when to try it again.
    resting_until: Option<Instant>,
}

/// A parcel in the clerk's hands, and where it is kept meanwhile.
#[derive(Debug)]
pub(in crate::telemetry::export) struct Held {
    pub(in crate::telemetry::export) posted: Posted,
    pub(in crate::telemetry::export) place: Place,
}

impl Desk {
    pub(super) fn new(spool: Arc<Spool>, signal: &'static str, books: Arc<Books>) -> Self {
        let well = |verb| Health { verb, resting_until: None };
        Self { spool, signal, books, writing: well("written"), reading: well("read") }
    }

    /// Puts a parcel into the spool; gives it back where the disk does not take it. One that could
    /// never be taken is dropped as `spool_full`.
    pub(in crate::telemetry::export) async fn put(&mut self, posted: Posted) -> Result<(), Posted> {
        let signal = self.signal;
        let (parcel, order) = (posted.parcel.clone(), posted.order);
        match self.with(move |store| store.put(order, signal, &parcel)).await {
            Ok(Ok(()) | Err(NotTaken::TooLate)) => {
                self.writing.note_success(signal);
                Ok(())
            }
            Ok(Err(NotTaken::NoRoom)) => {
                self.books.lost(posted.parcel.items, "spool_full", Place::Memory);
                Ok(())
            }
            Ok(Err(NotTaken::Io(error))) | Err(error) => {
                self.writing.note_failure(signal, &error);
                Err(posted)
            }
        }
    }

    /// The oldest parcel of the signal but this one; it stays in the spool until it is [`Desk::done`]. `None` also
    /// while the disk cannot be read.
    pub(in crate::telemetry::export) async fn oldest(&mut self, but: Option<u64>) -> Option<Held> {
        let signal = self.signal;
        match self.with(move |store| store.oldest_but(signal, but)).await {
            Ok(Ok(oldest)) => {
                self.reading.note_success(signal);
                let (order, parcel, bytes) = oldest?;
                Some(Held { posted: Posted { order, parcel }, place: Place::Spool { bytes } })
            }
            Ok(Err(error)) | Err(error) => {
                self.reading.note_failure(signal, &error);
                None
            }
        }
    }

    /// A parcel that [`Desk::oldest`] gave is settled: its file goes.
    pub(in crate::telemetry::export) async fn done(&mut self, order: u64) {
        if let Err(error) = self.with(move |store| store.done(order)).await {
            self.writing.note_failure(self.signal, &error);
        }
    }

    /// A parcel that [`Desk::oldest`] gave could not be delivered: it is the oldest again, or, where it
    /// is stuck, comes after all others.
    pub(in crate::telemetry::export) async fn release(&mut self, order: u64, is_stuck: bool) {
        if let Err(error) = self.with(move |store| store.release(order, is_stuck)).await {
            self.writing.note_failure(self.signal, &error);
        }
    }

    /// Whether parcels can be put there, or it is time to try again.
    pub(in crate::telemetry::export) fn is_writable(&self) -> bool {
        self.writing.is_open()
    }

    /// When a disk that could not be read is to be tried again; `None` if it is well, or it is time.
    pub(in crate::telemetry::export) fn unreadable_until(&self) -> Option<Instant> {
        self.reading.resting_until.filter(|_| !self.reading.is_open())
    }

    /// Whether the disk gave nothing the last time.
    pub(in crate::telemetry::export) fn is_unreadable(&self) -> bool {
        self.reading.resting_until.is_some()
    }

    /// Whether the disk took nothing the last time.
    pub(in crate::telemetry::export) fn is_failing(&self) -> bool {
        self.writing.resting_until.is_some()
    }

    async fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Store) -> T + Send + 'static,
    ) -> io::Result<T> {
        let spool = Arc::clone(&self.spool);
        spawn_blocking(move || act(&mut spool.store.lock())).await.map_err(io::Error::other)
    }
}

impl Health {
    fn is_open(&self) -> bool {
        self.resting_until.is_none_or(|until| until <= Instant::now())
    }

    fn note_success(&mut self, signal: &str) {
        if self.resting_until.take().is_some() {
            tracing::info!(signal, "The spool can be {} again.", self.verb);
        }
    }

    fn note_failure(&mut self, signal: &str, error: &io::Error) {
        if self.resting_until.replace(Instant::now() + RESPITE).is_none() {
            tracing::warn!(signal, %error, "The spool cannot be {}; what it is needed for waits.", self.verb);
        }
    }
}
