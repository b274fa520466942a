//! What an output did not get, until it has been told.
//!
//! Whoever reads a log shall see its gaps in it: before the next lines that get through stands one line
//! per reason with the number of entries that are missing there. Their sum is what the ledger counts as
//! dropped for the output, but for what is lost after its last line.

use std::sync::Arc;
use std::time::SystemTime;

use crate::config::model::LogLevel;
use crate::telemetry::log::{Datum, Entry, Said};

/// The message of those lines.
const MESSAGE: &str = "Log lines were dropped";

/// Losses that nobody has read of.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// What found no room in the queue, since the beginning.
    full: u64,
    untold: Vec<(&'static str, u64)>,
}

impl Missing {
    /// So much found no room in the queue, since the beginning.
    pub(super) fn heard(&mut self, full: u64) {
        let before = std::mem::replace(&mut self.full, full);
        self.add("queue_full", full.saturating_sub(before));
    }

    /// So much could not be written.
    pub(super) fn failed(&mut self, count: u64) {
        self.add("io", count);
    }

    /// A line for each reason.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.untold.iter().map(|(reason, count)| {
            Entry::Said(Arc::new(Said {
                at: SystemTime::now(),
                level: LogLevel::Warn,
                message: MESSAGE.to_owned(),
                fields: vec![
                    ("dropped", Datum::Unsigned(*count)),
                    ("reason", Datum::Text((*reason).to_owned())),
                ],
            }))
        })
    }

    /// So many of those lines, from the first on, got through.
    pub(super) fn told(&mut self, lines: usize) {
        self.untold.drain(..lines.min(self.untold.len()));
    }

    /// How many lines it takes to tell.
    pub(super) fn len(&self) -> usize {
        self.untold.len()
    }

    fn add(&mut self, reason: &'static str, count: u64) {
        if count == 0 {
            return;
        }
        match self.untold.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, untold)) => *untold += count,
            None => self.untold.push((reason, count)),
        }
    }
}
