//! The audit writer: a commit protocol, not a logger.
//!
//! One thread owns the file. A request takes a [`Seat`] (a place for its two records), waits until
//! its `initiated` record is durable, and gives the `completed` record back through the seat without
//! waiting. Refusals go through a small lane of their own, with counted loss.
//!
//! # What it promises
//!
//! - **Durable means durable.** [`Seat::initiate`] answers `Ok` only after `fdatasync` of the file
//!   that holds the record (and `fsync` of the directory, when the file is new) has answered `Ok`.
//!   Commits are grouped: the first waiter wakes the writer, all who come while it syncs share the
//!   next sync.
//! - **What was begun is ended.** The seat's place is kept until its end is durable, so giving the
//!   end cannot fail for want of room; a seat that is dropped writes `completed`, `aborted`, reason
//!   `abandoned`. A request that stopped waiting for its `initiated` (deadline, client gone) changes
//!   nothing of that: the record may still become durable, and then its end follows it, because the
//!   seat has the same ticket. If the record did not become durable, a dropped seat writes nothing
//!   and a given end is written alone. [`Audit::stop`] ends what is still open as `aborted`, reason
//!   `shutdown`; only a crash or a disk that fails until the end leaves a beginning open, and the
//!   next [`Audit::open`] closes it with reason `crash`.
//! - **A failed write or sync is never repeated on the same file.** After a failed `fsync` Linux may
//!   call the lost pages clean, so that a second `fsync` answers `Ok` for data that is gone. The
//!   segment is therefore poisoned: every waiter of that batch is refused, the chain goes back to
//!   the last commit that is known durable, and a new segment continues from there, with the ends
//!   and refusals of the failed batch written again. The poisoned segment is cut back to its durable
//!   length. Should even that be lost in a crash, the name of the new segment says from which `seq`
//!   on the old one does not count; see [`crate::audit::verify`]. What is cut off then was reported
//!   as not durable to everybody who waited for it.
//! - **While the disk fails, requests are refused at once**, not after the deadline; the writer tries
//!   a new segment by itself, after 100 ms at first and 5 s at most.
//! - **Opening repairs.** A torn tail is moved to `<segment>.cut` and counted, the chain goes on from
//!   its last line, open beginnings are closed. Damage inside the chain is evidence: it is reported
//!   and left as it is.
//!
//! # What it does not do
//!
//! No rotation by size, no retention, no signing, no checkpoints, no limit on the disk's free space.
//! Segments and their names are ready for them. It does not decide what happens to a request that
//! could not be recorded; the route's mode does.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::audit::Draft;
use crate::config::model;
use crate::telemetry::directory::explained;
use crate::telemetry::log::Log;

pub mod disk;
#[doc(hidden)]
pub mod fake;
mod queue;
mod recover;
mod seat;
mod segment;
mod stats;
mod voice;
mod writer;

pub use disk::{Disk, RealDisk, SegmentFile, segments};
pub use seat::{Seat, Unavailable};
pub use stats::Stats;

use queue::Shared;
use writer::Writer;

/// Exchanges that can hold a [`Seat`] at once.
pub const PLACES: usize = 4096;

/// The open audit trail. Clones share it; the last one that goes (seats included) stops the writer
/// without waiting for it.
#[derive(Clone, Debug)]
pub struct Audit {
    handle: Arc<Handle>,
}

impl Audit {
    /// Takes the directory for this process, repairs what a crash left, and starts the writer.
    ///
    /// Reads every segment once, so its time grows with the trail. It blocks: call it before the
    /// runtime is busy.
    pub fn open(config: &model::Audit, disk: impl Disk + 'static) -> Result<Self, OpenError> {
        let (shared, writer) = assemble(config, disk)?;
        let thread = std::thread::Builder::new()
            .name("audit-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::io(config, "starting the writer", source))?;
        Ok(Self::around(shared, Some(thread)))
    }

    /// Takes a place, waiting for one until the deadline.
    ///
    /// Cancel safe: dropping the future takes nothing.
    pub async fn reserve(&self, deadline: Instant) -> Result<Seat, Unavailable> {
        let places = Arc::clone(&self.handle.shared.places);
        let place = match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => match tokio::time::timeout_at(deadline, places.acquire_owned()).await {
                Ok(Ok(place)) => place,
                Ok(Err(_)) | Err(_) => return Err(Unavailable::NoPlace),
            },
        };
        Ok(Seat::new(self.clone(), place))
    }

    /// Records a refusal. Neither waits nor fails; beyond the lane's bound (1024 at once, 100 per
    /// second) the record is dropped and counted, so that a flood cannot fill the disk.
    pub fn deny(&self, draft: Draft) {
        self.handle.shared.deny(draft);
    }

    /// Ends what is open, writes and syncs all, and ends the thread, until the deadline. Call it
    /// after the last exchange has ended: later ends are counted as lost.
    ///
    /// Cancel safe: the writer stops anyway.
    pub async fn stop(&self, deadline: Instant) -> Report {
        self.handle.shared.close();
        let thread = self.handle.thread.lock().take();
        let is_finished = match thread {
            None => true,
            Some(thread) => {
                let join = tokio::task::spawn_blocking(move || thread.join().is_ok());
                matches!(tokio::time::timeout_at(deadline, join).await, Ok(Ok(true)))
            }
        };
        Report { is_finished, stats: self.stats() }
    }

    /// Calls `observe` with the time of each commit from now on, on the writer's thread.
    pub fn observe_commits(&self, observe: impl Fn(Duration) + Send + Sync + 'static) {
        self.handle.shared.counters.observe_commits(Box::new(observe));
    }

    /// Says in this log what becomes durable from now on, and what the start closed: a line for each
    /// record. Only the first log counts.
    pub fn speak_through(&self, log: &Arc<Log>) {
        self.handle.shared.voice.speak_through(log);
    }

    /// Numbers for metrics, readiness and the ledger. Cheap; no lock.
    pub fn stats(&self) -> Stats {
        self.handle.shared.counters.snapshot()
    }

    fn around(shared: Arc<Shared>, thread: Option<JoinHandle<()>>) -> Self {
        Self { handle: Arc::new(Handle { shared, thread: Mutex::new(thread) }) }
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}

/// What [`Audit::stop`] achieved.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whether the writer ended in time, with everything it had written or counted as lost.
    pub is_finished: bool,
    /// The last numbers.
    pub stats: Stats,
}

impl Report {
    /// Whether the writer ended in time, and nothing was lost.
    pub fn is_whole(&self) -> bool {
        self.is_finished && self.stats.lost == 0
    }
}

/// Why the trail could not be opened. The sidecar does not start then.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the directory's lock.
    #[error(
        "audit directory `{}` is in use by another process; give each sidecar its own `audit.directory`",
        .0.display()
    )]
    Locked(PathBuf),
    /// The disk said no.
    #[error(
        "{doing} in audit directory `{}`: {} (`audit.directory`)",
        .directory.display(), explained(.source)
    )]
    Io {
        /// What was tried, as a gerund.
        doing: &'static str,
        /// `audit.directory`.
        directory: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl OpenError {
    fn io(config: &model::Audit, doing: &'static str, source: std::io::Error) -> Self {
        Self::Io { doing, directory: config.directory.clone(), source }
    }
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// Everything but the thread.
fn assemble(
    config: &model::Audit,
    mut disk: impl Disk + 'static,
) -> Result<(Arc<Shared>, Writer), OpenError> {
    disk.lock().map_err(|source| match source.kind() {
        std::io::ErrorKind::WouldBlock => OpenError::Locked(config.directory.clone()),
        _ => OpenError::io(config, "taking the lock", source),
    })?;
    let recovered = recover::recover(&mut disk)
        .map_err(|source| OpenError::io(config, "reading and repairing the trail", source))?;
    let shared = Arc::new(Shared::new(PLACES));
    let writer = Writer::new(Arc::clone(&shared), Box::new(disk), recovered)
        .map_err(|source| OpenError::io(config, "closing what a crash left open", source))?;
    Ok((shared, writer))
}

#[cfg(test)]
mod tests;
