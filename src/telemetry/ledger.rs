//! What became of everything that was offered to telemetry.
//!
//! For every signal and sink, at every moment:
//! `accepted = exported + dropped (by reason) + in_flight`. *Accepted* is everything that was handed
//! over, what found no room included; *in flight* is counted in the queues, not derived.
//!
//! It counts nothing itself: every [`Book`] keeps its own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use super::timestamp;

/// All accounts of the process.
#[derive(Clone, Default)]
pub struct Ledger {
    books: Vec<Arc<dyn Book>>,
}

/// Something that keeps one account.
pub trait Book: Send + Sync {
    /// The account at this moment; it balances.
    fn account(&self) -> Account;
}

/// The account of one signal and sink. Counts are in units of the signal (spans, lines, events).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Account {
    /// What is counted: `spans`, `logs`, `errors`, …
    pub signal: &'static str,
    /// Where it goes: `otlp`, `console`, `file`, …
    pub sink: &'static str,
    /// All that was handed over.
    pub accepted: u64,
    /// What arrived.
    pub exported: u64,
    /// What did not, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// What waits in the queue or is being delivered.
    pub in_flight: u64,
    /// The bound of the queue, in records.
    pub capacity: usize,
    /// Delivered batches, by result: `success`, `partial`, `failure`.
    pub attempts: BTreeMap<&'static str, u64>,
    /// When something last arrived.
    #[serde(serialize_with = "as_timestamp")]
    pub last_success: Option<SystemTime>,
}

impl Ledger {
    /// Adds an account.
    pub fn add(&mut self, book: Arc<dyn Book>) {
        self.books.push(book);
    }

    /// All accounts, in the order they were added. Each balances; they are read one after another.
    pub fn snapshot(&self) -> Vec<Account> {
        self.books.iter().map(|book| book.account()).collect()
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
        write!(f, "{signal} to {sink}: {accepted} accepted = {exported} exported + ")?;
        write!(f, "{} dropped", self.lost())?;
        for (index, (reason, count)) in dropped.iter().enumerate() {
            write!(f, "{}{reason} {count}", if index == 0 { " (" } else { ", " })?;
        }
        let end = if dropped.is_empty() { "" } else { ")" };
        write!(f, "{end} + {in_flight} in flight")
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use proptest::prelude::*;

    use super::*;
    use crate::telemetry::lane::Lane;
    use crate::telemetry::sink::Delivery;

    #[test]
    fn an_account_reads_as_a_sentence() {
        let lane = Lane::with_shards("spans", "otlp", 1, |weight: &u64| *weight, 2);
        let mut ledger = Ledger::default();
        assert!(lane.offer(3) && !lane.offer(2));
        ledger.add(Arc::new(lane));
        assert_eq!(
            ledger.to_string(),
            "spans to otlp: 5 accepted = 0 exported + 2 dropped (queue_full 2) + 3 in flight"
        );
        let json = serde_json::to_value(ledger.snapshot()).unwrap();
        assert_eq!(json[0]["dropped"]["queue_full"], 2);
        assert_eq!(json[0]["last_success"], serde_json::Value::Null);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Three threads offer, one delivers with random success, one looks on, and at a random
        /// moment the lane closes: every snapshot balances, and in the end nothing is missing.
        #[test]
        fn nothing_is_ever_lost_uncounted(
            capacity in 1_usize..64,
            offers in 1_u64..400,
            close_after in 0_u64..500,
            verdicts in proptest::collection::vec(0_u8..4, 1..20),
        ) {
            let lane = Lane::with_shards("spans", "test", capacity, |weight: &u64| *weight, 4);
            let offering = AtomicBool::new(true);
            std::thread::scope(|scope| {
                let lane = &lane;
                let offering = &offering;
                let threads: Vec<_> = (0..3).map(|thread| scope.spawn(move || {
                    for item in 0..offers {
                        if thread == 0 && item == close_after {
                            lane.close();
                        }
                        lane.offer(1 + item % 3);
                    }
                })).collect();
                scope.spawn(move || {
                    while offering.load(Ordering::Acquire) {
                        assert!(lane.account().is_balanced());
                    }
                });
                scope.spawn(move || {
                    let mut verdicts = verdicts.iter().cycle();
                    while offering.load(Ordering::Acquire) {
                        deliver_once(lane, verdicts.next().copied().unwrap_or(0));
                    }
                });
                for thread in threads {
                    thread.join().unwrap();
                }
                offering.store(false, Ordering::Release);
            });
            lane.close();
            lane.abandon();
            let account = lane.account();
            let offered: u64 = 3 * (0..offers).map(|item| 1 + item % 3).sum::<u64>();
            prop_assert_eq!(account.accepted, offered);
            prop_assert_eq!(account.in_flight, 0);
            prop_assert!(account.is_balanced());
        }
    }

    fn deliver_once(lane: &Lane<u64>, verdict: u8) {
        let mut items = Vec::new();
        lane.sweep(&mut items);
        for batch in items.chunks(7) {
            let weight = lane.weight_of(batch);
            let delivery = match verdict {
                0 => Delivery { exported: weight, dropped: vec![] },
                1 => Delivery { exported: 0, dropped: vec![("timeout", weight)] },
                2 => Delivery {
                    exported: weight / 2,
                    dropped: vec![("rejected", weight - weight / 2)],
                },
                _ => Delivery { exported: weight + 1, dropped: vec![("io", 5)] },
            };
            lane.settle(&delivery, batch.len(), weight);
        }
    }
}
