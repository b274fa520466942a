//! What the log says, and to whom.
//!
//! A [`Log`] offers each [`Entry`] to the lane of every output: the console, the files, and what ships
//! lines elsewhere. It waits for none of them and wakes nobody; an output that is full loses the entry,
//! counted in its own books. What an output's line looks like is in [`mod@line`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::lane::Lane;
use crate::config::model::LogLevel;

pub mod entry;
mod fields;
pub mod line;
#[cfg(test)]
pub(in crate::telemetry) mod sample;
mod schema;

pub use entry::{Audited, Datum, Entry, Incoming, Said};

/// The outputs of the log.
#[derive(Debug)]
pub struct Log {
    /// The most talkative level that is heard, as a number.
    level: AtomicU8,
    /// Hears all but the diagnostics: those are on stderr beside it.
    console: Option<Arc<Lane<Entry>>>,
    /// Hear everything.
    others: Vec<Arc<Lane<Entry>>>,
}

impl Log {
    /// A log of this level without an output.
    pub fn silent(level: LogLevel) -> Self {
        Self { level: AtomicU8::new(level as u8), console: None, others: Vec::new() }
    }

    /// Another level from now on.
    pub fn listen_from(&self, level: LogLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    fn wants(&self, level: LogLevel) -> bool {
        level as u8 <= self.level.load(Ordering::Relaxed)
    }

    /// Adds the console.
    pub(super) fn hear_on_console(&mut self, lane: Arc<Lane<Entry>>) {
        self.console = Some(lane);
    }

    /// Adds an output that hears the diagnostics too.
    pub(super) fn hear(&mut self, lane: Arc<Lane<Entry>>) {
        self.others.push(lane);
    }

    /// Whether anybody would hear what is said at this level.
    pub fn hears(&self, level: LogLevel) -> bool {
        self.wants(level) && (self.console.is_some() || !self.others.is_empty())
    }

    /// Says something, where its level is wanted. Never waits, wakes nobody.
    pub fn say(&self, entry: &Entry) {
        if !self.wants(entry.level()) {
            return;
        }
        let console = self.console.as_ref().filter(|_| !matches!(entry, Entry::Said(_)));
        for lane in console.into_iter().chain(&self.others) {
            // A full lane drops the entry and counts it.
            lane.offer(entry.clone());
        }
    }
}

#[cfg(test)]
mod tests;
