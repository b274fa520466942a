//! HTTP/1 framing, judged byte by byte (RFC 9112): where a message ends, and whether two parsers
//! could disagree about it.
//!
//! [`Framing`] follows one request after the other. Given the bytes that were not let through yet, it
//! says how many may go on, or why none may. What it lets through, a lenient parser behind it reads
//! in the same way: one line ending, one length, one host, no control bytes, no folding. It is
//! stricter than the grammar where leniency has been an attack, and pure: how the bytes are cut into
//! reads changes nothing.
//!
//! It does not keep bytes, does not parse targets further than a parser could stumble over, and does
//! not know what a method or a field means.

mod chunks;
mod fields;
mod head;
mod host;
#[cfg(test)]
mod tests;

pub(super) use fields::is_token;
use head::Head;

/// What a head may measure. Chunk lines and trailers have bounds of their own.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a whole head, its last line included.
    pub head_bytes: usize,
    /// Fields of a head, and of a trailer section.
    pub fields: usize,
    /// Bytes of a request target.
    pub target_bytes: usize,
}

/// Why a message may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of mistake it is; it decides the status of the answer.
    pub kind: Kind,
    /// One of our own sentences about it.
    pub why: &'static str,
}

/// The kinds of mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The head, or the trailer section, is larger than it may be.
    HeadTooLarge,
    /// Not HTTP/1, or HTTP/1 that can be read in more than one way.
    Malformed,
    /// A method or a transfer coding that nobody here knows.
    NotImplemented,
    /// The request target is longer than it may be.
    TargetTooLong,
    /// `Expect` asks for something other than `100-continue`.
    UnknownExpectation,
}

const fn malformed(why: &'static str) -> Refusal {
    Refusal { kind: Kind::Malformed, why }
}

const fn too_large(why: &'static str) -> Refusal {
    Refusal { kind: Kind::HeadTooLarge, why }
}

/// Which part of a message the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Head,
    /// So many bytes of a body of known length are to come.
    Sized(u64),
    ChunkSize,
    /// So many bytes of a chunk are to come, the CRLF behind it included.
    ChunkData(u64),
    Trailers,
    /// The message is over; no byte belongs to it.
    Done,
}

/// Follows the messages of one connection. See the module.
#[derive(Debug)]
pub struct Framing {
    limits: Limits,
    part: Part,
    head: Head,
    chunks: chunks::Spent,
}

impl Framing {
    /// Stands before the first message.
    pub fn new(limits: Limits) -> Self {
        Self { limits, part: Part::Head, head: Head::default(), chunks: chunks::Spent::default() }
    }

    /// Stands before the next message. To be called once [`Self::is_done`].
    pub fn next(&mut self) {
        *self = Self::new(self.limits);
    }

    /// Judges `unreleased`: all bytes from the first that was not let through so far. Says how many of
    /// them may go on, at most to the end of the message. A head goes on as a whole or not at all.
    ///
    /// After a refusal nothing of this connection may go on any more.
    pub fn check(&mut self, unreleased: &[u8]) -> Result<usize, Refusal> {
        let mut passed = 0;
        while let Some(rest @ [_, ..]) = unreleased.get(passed..) {
            let step = match self.part {
                Part::Head => self.check_head(rest)?,
                Part::Sized(left) => self.pass_sized(rest, left),
                Part::ChunkSize => self.check_chunk_size(rest)?,
                Part::ChunkData(left) => self.pass_chunk(rest, left)?,
                Part::Trailers => self.check_trailer(rest)?,
                Part::Done => 0,
            };
            if step == 0 {
                break;
            }
            passed += step;
        }
        Ok(passed)
    }

    /// Whether the head is not complete yet.
    pub fn is_in_head(&self) -> bool {
        self.part == Part::Head
    }

    /// Whether the message is complete.
    pub fn is_done(&self) -> bool {
        self.part == Part::Done
    }

    fn check_head(&mut self, rest: &[u8]) -> Result<usize, Refusal> {
        let Some(length) = self.head.read(rest, &self.limits)? else { return Ok(0) };
        self.part = match self.head.body()? {
            head::Body::None => Part::Done,
            head::Body::Sized(length) => Part::Sized(length),
            head::Body::Chunked => Part::ChunkSize,
        };
        Ok(length)
    }

    fn pass_sized(&mut self, rest: &[u8], left: u64) -> usize {
        let taken = shorter(rest, left);
        let left = left - taken as u64;
        self.part = if left == 0 { Part::Done } else { Part::Sized(left) };
        taken
    }
}

/// The smaller of a slice's length and a count.
fn shorter(bytes: &[u8], count: u64) -> usize {
    usize::try_from(count).map_or(bytes.len(), |count| count.min(bytes.len()))
}

/// The method that a head begins with, however broken the rest is.
pub fn method(head: &[u8]) -> Option<&[u8]> {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let end = head.iter().take(head::LONGEST_METHOD + 1).position(|byte| !is_token(*byte))?;
    (end > 0 && head[end] == b' ').then(|| &head[..end])
}

/// Whether bytes that belong to no message yet are the beginning of one. An empty line is not.
pub fn is_begun(bytes: &[u8]) -> bool {
    !b"\r\n".starts_with(bytes)
}
