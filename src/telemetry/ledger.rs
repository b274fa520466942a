//! What became of everything that was offered to telemetry.
//!
//! For every signal and sink, at every moment:
//! `accepted = exported + dropped (by reason) + in_flight`. *Accepted* is everything that was handed
//! over, what found no room included, and what was *recovered* from the spool of an earlier run;
//! *in flight* is counted in the queues, in memory and in the spool, not derived.
//!
//! It counts nothing itself: every [`Book`] keeps its own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::RwLock;
use serde::{Serialize, Serializer};

use super::timestamp;

/// All accounts of the process.
#[derive(Default)]
pub struct Ledger {
    books: RwLock<Vec<Arc<dyn Book>>>,
}

/// Something that keeps one account.
pub trait Book: Send + Sync {
    /// The account at this moment; it balances.
    fn account(&self) -> Account;
}

/// The account of one signal and sink. Counts are in units of the signal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Account {
    /// What is counted: `traces` (spans), `metrics` (data points), `logs` (lines), `errors` (events), `alerts`
    /// (their turns).
    pub signal: &'static str,
    /// Where it goes: `otlp`, `console`, `file`, `webhook`, …
    pub sink: &'static str,
    /// All that was handed over, and what was recovered.
    pub accepted: u64,
    /// The part of it that an earlier run had left in the spool.
    pub recovered: u64,
    /// What arrived.
    pub exported: u64,
    /// What did not, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// What waits in a queue or in the spool, or is being delivered.
    pub in_flight: u64,
    /// The part of it that is in the spool, where it outlives the process.
    pub spooled: u64,
    /// The size of that on disk; `None` where there is no spool.
    pub spool_bytes: Option<u64>,
    /// The bound of the queue, in records.
    pub capacity: usize,
    /// Attempts to deliver a batch, by result: `success`, `partial`, `failure`.
    pub attempts: BTreeMap<&'static str, u64>,
    /// When something last arrived.
    #[serde(serialize_with = "as_timestamp")]
    pub last_success: Option<SystemTime>,
    /// Why nothing arrives at present; `None` after a success, and for sinks without an outbox other than
    /// the log's own.
    pub failing: Option<Failing>,
}

/// A collector, or a disk, that takes nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failing {
    /// The first attempt in a row that failed.
    #[serde(serialize_with = "as_moment")]
    pub since: SystemTime,
    /// What the last one found. It names no header and no body; of a file, its path.
    pub error: String,
}

impl Ledger {
    /// Adds an account.
    pub fn add(&self, book: Arc<dyn Book>) {
        self.books.write().push(book);
    }

    /// All accounts, in the order they were added. Each balances; they are read one after another.
    pub fn snapshot(&self) -> Vec<Account> {
        self.books.read().iter().map(|book| book.account()).collect()
    }
}

impl Account {
    /// All that was dropped, for whatever reason.
    pub fn lost(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Whether the equation of the ledger holds.
    pub fn is_balanced(&self) -> bool {
        self.accepted == self.exported + self.lost() + self.in_flight
    }
}

impl fmt::Display for Account {
    /// One line for the exit print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signal, sink, accepted, exported, dropped, in_flight, .. } = self;
        write!(f, "{signal} to {sink}: {accepted} accepted")?;
        if self.recovered > 0 {
            write!(f, " ({} recovered)", self.recovered)?;
        }
        write!(f, " = {exported} exported + {} dropped", self.lost())?;
        for (index, (reason, count)) in dropped.iter().enumerate() {
            write!(f, "{}{reason} {count}", if index == 0 { " (" } else { ", " })?;
        }
        let end = if dropped.is_empty() { "" } else { ")" };
        write!(f, "{end} + {in_flight} in flight")?;
        if self.spooled > 0 {
            write!(f, " ({} in the spool)", self.spooled)?;
        }
        Ok(())
    }
}

impl fmt::Display for Ledger {
    /// One account per line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, account) in self.snapshot().iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{account}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.snapshot()).finish()
    }
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn as_timestamp<S: Serializer>(at: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(timestamp::format).serialize(serializer)
}

fn as_moment<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    timestamp::format(*at).serialize(serializer)
}

#[cfg(test)]
mod tests;
