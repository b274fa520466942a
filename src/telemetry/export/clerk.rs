//! Who empties an outbox, seen from whoever must stop it.
//!
//! Its task is [`Rounds`]. Asked to stop, it goes on until shortly before the deadline; what is left
//! then goes to the spool, or is dropped as `shutdown`.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Carrier;
use super::outbox::{Ends, Settings, Shared};
use super::rounds::Rounds;
use super::spool::Desk;
use crate::telemetry::books::Books;
use crate::telemetry::deadline::{Deadline, whole};

/// The last part of the time to stop, for what is left: at most this, at most a quarter of it.
const RESERVE: Duration = Duration::from_millis(100);
/// The same where what is left goes to a disk.
const SPOOL_RESERVE: Duration = Duration::from_secs(1);

/// A running clerk. Dropping it ends the task; what was in memory stays in flight for ever.
#[derive(Debug)]
pub struct Clerk {
    shared: Arc<Shared>,
    reserve: Duration,
    task: JoinSet<()>,
}

impl Clerk {
    pub(super) fn start(
        settings: Settings,
        shared: Arc<Shared>,
        desk: Option<Desk>,
        carrier: Box<dyn Carrier>,
    ) -> Self {
        let reserve = if desk.is_some() { SPOOL_RESERVE } else { RESERVE };
        let mut task = JoinSet::new();
        task.spawn(Rounds::new(settings, Arc::clone(&shared), desk, carrier).run());
        Self { shared, reserve, task }
    }

    /// The books in which it settles.
    pub fn books(&self) -> Arc<Books> {
        Arc::clone(&self.shared.books)
    }

    /// Delivers what the outbox holds. Nothing may be posted any more. What is not delivered shortly
    /// before the deadline is spooled, or dropped as `shutdown`. Dropping the future ends the task at
    /// once, uncounted.
    pub async fn stop(mut self, deadline: impl Into<Deadline>) {
        let (deadline, began) = (deadline.into(), Instant::now());
        self.shared.stop(Ends { deadline: deadline.clone(), began, reserve: self.reserve });
        if deadline.bound(whole, self.task.join_next()).await.is_none() {
            self.task.abort_all();
        }
        self.shared.books.give_up_post();
    }
}
