//! Identities of tokens that were verified before.
//!
//! A token is known by its SHA-256, so a look-up costs little more than that hash, and no token is kept.
//! An entry holds no longer than its token, and only under the very keys that verified it: whoever
//! takes a key out of the set takes all entries with it. Only tokens that hold come in, so nobody can
//! fill it without the issuer's help; its size is bounded all the same, by the bytes of the tokens.
//!
//! It verifies nothing.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::Mutex;

use super::Identity;

/// A power of two: the workers seldom meet.
const SHARDS: usize = 16;
/// Bytes of the tokens behind one half of a shard: 4 MiB of tokens altogether, which is some thousands,
/// and several times that in memory.
const MOST: usize = 128 * 1024;

/// A token, by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Cache([Mutex<Shard>; SHARDS]);

/// Two halves: the young one takes what comes; once it is full it becomes the old one, and the old one
/// goes. What is used in the meantime moves on.
#[derive(Debug, Default)]
struct Shard {
    young: HashMap<Fingerprint, Entry>,
    old: HashMap<Fingerprint, Entry>,
    bytes: usize,
}

/// What is known of a token.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Whose it is.
    pub(super) identity: Arc<Identity>,
    /// Until when it holds, in seconds since 1970.
    pub(super) until: u64,
    /// Which keys have verified it.
    pub(super) generation: u64,
    /// Its length in bytes.
    pub(super) length: usize,
}

impl Fingerprint {
    pub(super) fn of(token: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token).as_ref());
        Self(bytes)
    }
}

impl Cache {
    /// The identity of a token that these keys have verified, while it holds.
    pub(super) fn find(
        &self,
        token: &Fingerprint,
        generation: u64,
        now: u64,
    ) -> Option<Arc<Identity>> {
        let holds = |entry: &&Entry| entry.generation == generation && now < entry.until;
        let mut shard = self.shard(token).lock();
        if let Some(entry) = shard.young.get(token) {
            return Some(entry).filter(holds).map(|entry| Arc::clone(&entry.identity));
        }
        let entry = shard.old.get(token).filter(holds).cloned()?;
        let identity = Arc::clone(&entry.identity);
        shard.take(*token, entry);
        Some(identity)
    }

    /// Keeps what was found out about a token.
    pub(super) fn keep(&self, token: Fingerprint, entry: Entry) {
        self.shard(&token).lock().take(token, entry);
    }

    fn shard(&self, token: &Fingerprint) -> &Mutex<Shard> {
        &self.0[usize::from(token.0[0]) % SHARDS]
    }
}

impl Shard {
    fn take(&mut self, token: Fingerprint, entry: Entry) {
        if self.bytes >= MOST {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        let length = entry.length;
        if self.young.insert(token, entry).is_none() {
            self.bytes += length;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn entry(length: usize) -> Entry {
        let identity = Arc::new(Identity::new(Map::new(), None, None));
        Entry { identity, until: 100, generation: 7, length }
    }

    fn numbered(number: u32) -> Fingerprint {
        Fingerprint::of(&number.to_be_bytes())
    }

    #[test]
    fn an_entry_holds_for_its_time_and_under_its_keys() {
        let cache = Cache::default();
        let token = Fingerprint::of(b"a.b.c");
        cache.keep(token, entry(5));
        assert!(cache.find(&token, 7, 99).is_some());
        assert!(cache.find(&token, 7, 100).is_none(), "over");
        assert!(cache.find(&token, 8, 0).is_none(), "other keys");
        assert!(cache.find(&token, 6, 0).is_none(), "other keys");
        assert!(cache.find(&Fingerprint::of(b"a.b.d"), 7, 0).is_none(), "another token");
        cache.keep(token, Entry { generation: 8, until: 200, ..entry(5) });
        assert!(cache.find(&token, 8, 150).is_some(), "verified again");
    }

    #[test]
    fn it_stays_within_its_bound_and_keeps_what_is_used() {
        let cache = Cache::default();
        let used = Fingerprint::of(b"used");
        cache.keep(used, entry(1000));
        for number in 0..50_000 {
            cache.keep(numbered(number), entry(1000));
            assert!(cache.find(&used, 7, 0).is_some(), "{number}");
        }
        let count: usize = cache
            .0
            .iter()
            .map(|shard| {
                let shard = shard.lock();
                shard.young.len() + shard.old.len()
            })
            .sum();
        let most = SHARDS * 2 * (MOST / 1000 + 1);
        assert!(count <= most && count > most / 4, "{count} of at most {most}");
        assert!(cache.find(&numbered(49_999), 7, 0).is_some());
        assert!(cache.find(&numbered(0), 7, 0).is_none());
    }
}
