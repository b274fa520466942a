//! The last exchanges, for who asks what became of one (`explain REQUEST-ID`).
//!
//! Records are kept as they are, shared with the other voices: the last [`SMOOTH`] of those that went
//! smoothly at most, and the last [`ODD`] of the others. A flood of the one kind does not push the other
//! out. Of the smooth ones few are kept, because a record that is freed late is cold by then: the next
//! request gets its memory, and pays for it.
//! Keeping one takes a short lock of the caller's own shard, wakes nobody and allocates nothing once a
//! ring is full; what it displaces is freed.
//!
//! It outlives no process, and it is searched only when somebody asks.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value as Json;

use crate::record::{Kept, Outcome, Record};

mod document;

/// Records kept of exchanges that went smoothly, over all shards.
const SMOOTH: usize = 64;
/// Records kept of the others.
const ODD: usize = 512;

/// See the module.
pub(super) struct Recent {
    shards: Box<[Shard]>,
}

/// On its own cache line, so that workers do not disturb each other.
#[repr(align(128))]
struct Shard(Mutex<[Ring; 2]>);

struct Ring {
    records: Vec<Arc<Record>>,
    capacity: usize,
    /// Where the next one goes, once it is full.
    next: usize,
}

impl Recent {
    pub(super) fn new() -> Self {
        let shards = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_shards(shards.clamp(1, SMOOTH))
    }

    fn with_shards(shards: usize) -> Self {
        let ring =
            |kept: usize| Ring { records: Vec::new(), capacity: (kept / shards).max(1), next: 0 };
        let shard = || Shard(Mutex::new([SMOOTH, ODD].map(ring)));
        Self { shards: (0..shards).map(|_| shard()).collect() }
    }

    /// Keeps a record, in the place of the oldest of its kind.
    pub(super) fn keep(&self, record: &Arc<Record>) {
        // Threads outside the runtime share the first shard.
        let slot = tokio::runtime::worker_index().unwrap_or(0) % self.shards.len();
        let Some(Shard(shard)) = self.shards.get(slot) else { return };
        let displaced = shard.lock()[usize::from(is_notable(record))].push(Arc::clone(record));
        drop(displaced); // Its last holder frees it: not under the lock.
    }

    /// What became of the exchange with this id, in whatever letter case.
    pub(super) fn explain(&self, id: &str) -> Option<Json> {
        let record = self.shards.iter().find_map(|Shard(shard)| {
            let rings = shard.lock();
            let mut all = rings.iter().flat_map(|ring| &ring.records);
            let found = all
                .find(|record| record.request_id.with_str(|known| known.eq_ignore_ascii_case(id)));
            found.map(Arc::clone)
        })?;
        Some(document::of(&record))
    }
}

/// Whether something was refused, cut, broken or slow, or would have been refused.
fn is_notable(record: &Record) -> bool {
    record.outcome != Outcome::Served
        || record.status.is_none_or(|status| status >= 400)
        || matches!(record.kept, Some(Kept::End(_) | Kept::Unsent(_)))
        || record.limited_by.is_some()
        || record.trail.would_refuse != 0
}

impl Ring {
    /// Returns what it displaces.
    fn push(&mut self, record: Arc<Record>) -> Option<Arc<Record>> {
        if self.records.len() < self.capacity {
            self.records.push(record);
            return None;
        }
        let place = self.records.get_mut(self.next)?;
        self.next = (self.next + 1) % self.capacity;
        Some(std::mem::replace(place, record))
    }
}

impl std::fmt::Debug for Recent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recent").field("shards", &self.shards.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ids::RequestId;
    use crate::record::Refusal;
    use crate::telemetry::log::sample;

    fn record(outcome: Outcome) -> (String, Arc<Record>) {
        let request_id = RequestId::generate();
        let id = request_id.with_str(str::to_owned);
        (id, Arc::new(Record { request_id, outcome, ..sample::record() }))
    }

    #[test]
    fn all_that_is_kept_has_room_in_half_a_mebibyte() {
        // But for what a record has beside itself: captured facts, and what a stream measured.
        assert!((SMOOTH + ODD) * size_of::<Record>() < 512 << 10, "{}", size_of::<Record>());
    }

    #[test]
    fn the_last_are_kept_and_a_flood_of_one_kind_does_not_push_out_the_other() {
        let recent = Recent::with_shards(2);
        let (refused, record_of_it) = record(Outcome::Refused(Refusal::Csrf));
        recent.keep(&record_of_it);
        let served: Vec<_> = (0..=SMOOTH / 2).map(|_| record(Outcome::Served)).collect();
        for (_, record) in &served {
            recent.keep(record);
        }
        let is_known = |id: &str| recent.explain(id).is_some();
        assert!(is_known(&refused) && is_known(&served[1].0) && is_known(&served[SMOOTH / 2].0));
        assert!(!is_known(&served[0].0), "it made room for the last");
        assert!(!is_known("another"));
        assert_eq!(Arc::strong_count(&served[0].1), 1, "and is held no longer");
    }
}
