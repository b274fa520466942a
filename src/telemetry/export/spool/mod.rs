//! The disk spool: what a collector did not take waits here, and outlives the process.
//!
//! One directory for all signals, one process at a time, one checksummed file per parcel
//! (`segment`), bounded in bytes and in files; the oldest goes first. Nothing is written while
//! the collector takes everything. What is on disk when a process ends, in whatever way, the next one
//! recovers and delivers: at least once, because a crash may come between the collector's answer and
//! the removal of the file.
//!
//! Every call that touches the disk runs in the blocking pool. A disk that fails costs the spool, and
//! nothing else; a disk that hangs holds up the exporter, and nobody else.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use thiserror::Error;

pub(super) use self::desk::{Desk, Held};
use self::disk::{Disk, RealDisk};
use self::store::Store;
use crate::telemetry::books::Books;
use crate::telemetry::directory::explained;

mod desk;
pub mod disk;
#[cfg(test)]
pub(super) mod fake;
mod segment;
mod store;
#[cfg(test)]
mod tests;

/// Files in the directory at most, whatever their size.
const MAX_FILES: usize = 16_384;

/// An open spool.
pub struct Spool {
    store: Mutex<Store>,
    /// The order of the next parcel, of whatever signal.
    orders: Arc<AtomicU64>,
}

/// The spool cannot be used. A configured one that cannot refuses to start.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// Another process has the directory.
    #[error(
        "spool directory `{}` is in use by another process; give each sidecar its own `spool.directory`",
        .0.display()
    )]
    InUse(PathBuf),
    /// It cannot be made, read or written.
    #[error(
        "opening the spool directory `{}`: {} (`spool.directory`)",
        path.display(), explained(error)
    )]
    Io {
        /// The configured directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl Spool {
    /// Opens a directory, and says in one line what an earlier run has left there. Blocks.
    pub fn open(directory: PathBuf, max_bytes: u64) -> Result<Arc<Self>, SpoolError> {
        let disk = RealDisk::new(&directory);
        Self::on(disk, max_bytes, MAX_FILES).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => SpoolError::InUse(directory),
            _ => SpoolError::Io { path: directory, error },
        })
    }

    pub(super) fn on(disk: impl Disk, max_bytes: u64, max_files: usize) -> io::Result<Arc<Self>> {
        let (store, found) = Store::open(Box::new(disk), max_bytes, max_files)?;
        if found.parcels > 0 {
            let (parcels, items, bytes) = (found.parcels, found.items, found.bytes);
            tracing::info!(parcels, items, bytes, "Recovered from the spool of an earlier run.");
        }
        let orders = Arc::new(AtomicU64::new(found.next));
        Ok(Arc::new(Self { store: Mutex::new(store), orders }))
    }

    /// Where the next parcel's place in the order comes from.
    pub(super) fn orders(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.orders)
    }

    /// Opens the desk of one signal: books what was recovered of it.
    pub(super) fn join(self: &Arc<Self>, signal: &'static str, books: &Arc<Books>) -> Desk {
        self.store.lock().join(signal, books);
        Desk::new(Arc::clone(self), signal, Arc::clone(books))
    }

    /// Books what waits for an outbox that this process does not have, such as data points once their
    /// push is switched off. Each comes with its signal. To be called when all others have joined.
    pub fn left_over(&self) -> Vec<(&'static str, Arc<Books>)> {
        let mut store = self.store.lock();
        let signals = store.unclaimed().into_iter();
        let mut joined = |signal| {
            let books = Arc::default();
            store.join(signal, &books);
            (signal, books)
        };
        signals.map(&mut joined).collect()
    }
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("orders", &self.orders).finish_non_exhaustive()
    }
}
