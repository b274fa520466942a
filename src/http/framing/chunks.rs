//! The chunked coding (RFC 9112 §7.1): sizes, extensions, the CRLF behind each chunk, trailers.
//!
//! Data passes without a look but for the CRLF behind it. What stands around it is bounded: each size line,
//! and all extensions and trailers of a message together. No trailer may frame or route.

use super::{Framing, Part, Refusal, fields, malformed, shorter, too_large};

/// Bytes a chunk-size line may have. Real ones have less than twenty.
const LONGEST_LINE: usize = 256;
/// Bytes that all chunk extensions and trailers of a message may have together.
const MOST_EXTRA: usize = 16 * 1024 - 8;
/// Significant digits of a chunk size; with them it stays below [`fields::LONGEST_BODY`].
const MOST_DIGITS: usize = 15;

/// What a message has spent beside its payload.
#[derive(Debug, Default)]
pub(super) struct Spent {
    bytes: usize,
    trailers: usize,
}

impl Framing {
    /// A chunk-size line goes on as a whole.
    pub(super) fn check_chunk_size(&mut self, rest: &[u8]) -> Result<usize, Refusal> {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let line_end = match rest.get(digits) {
            Some(b';') => fields::value_end(rest, digits),
            Some(b'\r') | None => digits,
            // White space before an extension is allowed by the letter; nobody needs it.
            Some(_) => return Err(malformed("an odd chunk size")),
        };
        if line_end > LONGEST_LINE {
            return Err(malformed("a chunk-size line is too long"));
        }
        let Some(end) = fields::line_break(rest, line_end)? else { return Ok(0) };
        let size = size(&rest[..digits]).ok_or(malformed("an odd chunk size"))?;
        self.spend(line_end - digits)?;
        self.part = if size == 0 { Part::Trailers } else { Part::ChunkData(size + 2) };
        Ok(end)
    }

    /// `left` counts the CRLF behind the data. Only its two bytes are looked at.
    pub(super) fn pass_chunk(&mut self, rest: &[u8], left: u64) -> Result<usize, Refusal> {
        let taken = shorter(rest, left);
        for (from_end, expected) in [(2, b'\r'), (1, b'\n')] {
            let at = left.checked_sub(from_end).and_then(|at| usize::try_from(at).ok());
            if at.and_then(|at| rest.get(at)).is_some_and(|byte| *byte != expected) {
                return Err(malformed("chunk data does not end where its size says"));
            }
        }
        let left = left - taken as u64;
        self.part = if left == 0 { Part::ChunkSize } else { Part::ChunkData(left) };
        Ok(taken)
    }

    /// A trailer line goes on as a whole.
    pub(super) fn check_trailer(&mut self, rest: &[u8]) -> Result<usize, Refusal> {
        if matches!(rest.first(), Some(b'\r' | b'\n')) {
            let Some(end) = fields::line_break(rest, 0)? else { return Ok(0) };
            self.part = Part::Done;
            return Ok(end);
        }
        let Some((name, end)) = fields::whole(rest) else {
            fields::explain(rest)?;
            // What is not complete is bounded too.
            return if self.chunks.bytes + rest.len() > self.most_extra() {
                Err(TOO_MUCH_EXTRA)
            } else {
                Ok(0)
            };
        };
        if FRAMING.iter().any(|framing| rest[..name].eq_ignore_ascii_case(framing)) {
            return Err(malformed("a trailer that frames or routes"));
        }
        let end = end + 2;
        self.chunks.trailers += 1;
        if self.chunks.trailers > self.limits.fields {
            return Err(too_large("too many trailers"));
        }
        self.spend(end)?;
        Ok(end)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.chunks.bytes += bytes;
        if self.chunks.bytes > self.most_extra() { Err(TOO_MUCH_EXTRA) } else { Ok(()) }
    }

    fn most_extra(&self) -> usize {
        // The parser behind holds trailers to the bound of a head, their last line included.
        MOST_EXTRA.min(self.limits.head_bytes.saturating_sub(8))
    }
}

const TOO_MUCH_EXTRA: Refusal = too_large("too many chunk extensions or trailers");

/// Fields that say where a message ends or goes; behind the body it is too late for them.
const FRAMING: [&[u8]; 8] = [
    b"connection",
    b"content-length",
    b"expect",
    b"host",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

/// A chunk size: hexadecimal digits and nothing else, without overflow.
fn size(digits: &[u8]) -> Option<u64> {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    if digits.is_empty() || digits.len() - zeros > MOST_DIGITS {
        return None;
    }
    digits.iter().try_fold(0_u64, |size, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(size << 4 | u64::from(digit))
    })
}
