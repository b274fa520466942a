//! The chain: gives a record its `v`, `seq`, `prev` and `hash` (the format is in [`super`]).
//!
//! A [`Chain`] is two values, the last `seq` and its hash, so a writer can try a batch on a copy and
//! keep the old one when the disk says no. It writes into memory only.

use aws_lc_rs::digest;

use super::entry::Draft;
use super::line;

/// The version of the line format.
pub const VERSION: u64 = 1;
/// `,"hash":"` + 64 hex digits + `"}`: what ends every line, not hashed.
pub const HASH_SUFFIX: usize = 9 + 64 + 2;

/// The end of a chain: what the next record follows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    seq: u64,
    hash: [u8; 64],
}

impl Chain {
    /// A chain without records.
    pub const GENESIS: Self = Self { seq: 0, hash: [b'0'; 64] };

    /// The end of a chain whose last record has this `seq` and this `hash` (64 hex digits).
    pub fn after(seq: u64, hash: &str) -> Option<Self> {
        let is_hex = |b: &u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
        let hash: [u8; 64] = hash.as_bytes().try_into().ok()?;
        hash.iter().all(is_hex).then_some(Self { seq, hash })
    }

    /// Appends one record as a line.
    pub fn append(&mut self, draft: &Draft, out: &mut Vec<u8>) {
        self.seal(out, |out| line::write_members(draft, out));
    }

    /// Appends the `completed`, `aborted` end of the `initiated` line given (without its newline).
    /// Answers `false`, and writes nothing, if it is not a line of ours.
    pub fn append_end(
        &mut self,
        initiated: &[u8],
        at: std::time::SystemTime,
        reason: &str,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(kept) = line::Kept::of(initiated) else { return false };
        self.seal(out, |out| line::write_end(&kept, at, reason, out));
        true
    }

    /// The `seq` of the last record; 0 before the first.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The hash of the last record, in hex; zeros before the first.
    pub fn hash(&self) -> &str {
        std::str::from_utf8(&self.hash).unwrap_or_default()
    }

    /// Writes `{`, the members, the chain's own members and the newline.
    fn seal(&mut self, out: &mut Vec<u8>, members: impl FnOnce(&mut Vec<u8>)) {
        let start = out.len();
        // A forged line may claim any number; saturating keeps it from stopping us.
        self.seq = self.seq.saturating_add(1);
        out.push(b'{');
        members(out);
        out.extend_from_slice(b",\"v\":");
        line::number(VERSION, out);
        out.extend_from_slice(b",\"seq\":");
        line::number(self.seq, out);
        out.extend_from_slice(b",\"prev\":\"");
        out.extend_from_slice(&self.hash);
        out.extend_from_slice(b"\"");
        self.hash = hash_of(&out[start..]);
        out.extend_from_slice(b",\"hash\":\"");
        out.extend_from_slice(&self.hash);
        out.extend_from_slice(b"\"}\n");
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("seq", &self.seq).field("hash", &self.hash()).finish()
    }
}

/// The hash of a line, given what precedes `,"hash":"`.
pub fn hash_of(hashed: &[u8]) -> [u8; 64] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(hashed);
    context.update(b"}");
    let mut hex = [0; 64];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(context.finish().as_ref()) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
    hex
}

const HEX: &[u8; 16] = b"0123456789abcdef";
