//! The way of diagnostics to the outputs of a sidecar's log.
//!
//! It promises that what is said before the log is there waits for it, as far as there is room, that
//! what is said after it has gone is dropped (stderr has it), and that nobody waits: the lanes of the log
//! never do. An output that fails may say so through `tracing`; that comes back here as one more entry,
//! so an output speaks of itself only when its state changes.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::telemetry::log::{Entry, Log};

/// Diagnostics that wait for the log.
const BACKLOG: usize = 256;

/// Where diagnostics go beside stderr. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Feed(Arc<Mutex<State>>);

#[derive(Debug)]
enum State {
    /// There is no log yet; this is what it has missed.
    Before(Vec<Entry>),
    /// To this log.
    During(Arc<Log>),
    /// The log takes no more.
    After,
}

impl Default for State {
    fn default() -> Self {
        Self::Before(Vec::new())
    }
}

impl Feed {
    /// Hands everything on to this log from now on, and what was said before.
    pub fn attach(&self, log: &Arc<Log>) {
        let before = std::mem::replace(&mut *self.0.lock(), State::During(Arc::clone(log)));
        if let State::Before(missed) = before {
            for entry in &missed {
                log.say(entry);
            }
        }
    }

    /// Hands nothing on any more. Call it before the log's lanes are closed, or they count what is said
    /// of their closing as lost.
    pub fn detach(&self) {
        *self.0.lock() = State::After;
    }

    pub(super) fn say(&self, entry: &Entry) {
        // The lock is not held while the log speaks: should a lane ever say something, it comes here.
        let log = match &mut *self.0.lock() {
            State::Before(missed) => {
                if missed.len() < BACKLOG {
                    missed.push(entry.clone());
                }
                return;
            }
            State::During(log) => Arc::clone(log),
            State::After => return,
        };
        log.say(entry);
    }
}
