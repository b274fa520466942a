//! Counting the messages of a stream as they pass: events, lines, records, gRPC messages.
//!
//! A message counts when it is complete: an event with its blank line, a line with its line feed, a
//! gRPC message with its last byte. Only a record of a JSON text sequence counts when it begins: its
//! end is known no sooner than the next one's beginning (RFC 7464 §2.4). Chunk borders change nothing.
//!
//! It keeps a few bytes of state and never any content. It does not look inside a message.

use super::sse::EventCounter;

/// What begins a record of a JSON text sequence (RFC 7464 §2.2).
const RECORD_SEPARATOR: u8 = 0x1e;
/// Flags and length in front of a gRPC message.
const GRPC_PREFIX: usize = 5;
/// The flag that says of a gRPC-Web frame that it holds trailers.
const GRPC_WEB_TRAILERS: u8 = 0x80;

/// Counts the messages of one stream.
#[derive(Clone, Debug)]
pub enum MessageCounter {
    /// `text/event-stream`: events.
    Events(EventCounter),
    /// ndjson: lines that hold more than white space.
    Lines(LineCounter),
    /// json-seq: records.
    Records(RecordCounter),
    /// gRPC: length-prefixed messages.
    Grpc(GrpcCounter),
}

impl MessageCounter {
    /// Takes the next chunk and says how many messages it completed.
    pub fn push(&mut self, chunk: &[u8]) -> u64 {
        match self {
            Self::Events(counter) => counter.push(chunk),
            Self::Lines(counter) => counter.push(chunk),
            Self::Records(counter) => counter.push(chunk),
            Self::Grpc(counter) => counter.push(chunk),
        }
    }
}

/// Counts lines. A last one without its line feed is none: it may be half of one.
#[derive(Clone, Debug, Default)]
pub struct LineCounter {
    /// Whether the current line holds more than white space.
    has_content: bool,
}

impl LineCounter {
    /// Takes the next chunk and says how many lines it completed.
    pub fn push(&mut self, chunk: &[u8]) -> u64 {
        let (mut lines, mut left) = (0, chunk);
        while let Some(end) = memchr::memchr(b'\n', left) {
            self.note(&left[..end]);
            lines += u64::from(std::mem::take(&mut self.has_content));
            left = &left[end + 1..];
        }
        self.note(left);
        lines
    }

    fn note(&mut self, bytes: &[u8]) {
        self.has_content = self.has_content || !bytes.trim_ascii().is_empty();
    }
}

/// Counts the records of a JSON text sequence. Separators in a row begin one record.
#[derive(Clone, Debug, Default)]
pub struct RecordCounter {
    is_after_separator: bool,
}

impl RecordCounter {
    /// Takes the next chunk and says how many records begin in it.
    pub fn push(&mut self, chunk: &[u8]) -> u64 {
        let (mut records, mut left) = (0, chunk);
        while let Some(&first) = left.first() {
            if self.is_after_separator && first != RECORD_SEPARATOR {
                self.is_after_separator = false;
                records += 1;
            }
            let Some(at) = memchr::memchr(RECORD_SEPARATOR, left) else { break };
            self.is_after_separator = true;
            left = &left[at + 1..];
        }
        records
    }
}

/// Counts gRPC messages by their length prefixes. gRPC-Web's frame of trailers is no message.
#[derive(Clone, Debug, Default)]
pub struct GrpcCounter {
    prefix: [u8; GRPC_PREFIX],
    prefix_len: usize,
    /// Bytes of the current message still to come; meaningful once the prefix is whole.
    missing: usize,
}

impl GrpcCounter {
    /// Takes the next chunk and says how many messages it completed.
    pub fn push(&mut self, chunk: &[u8]) -> u64 {
        let (mut messages, mut left) = (0, chunk);
        while !left.is_empty() {
            if self.prefix_len < GRPC_PREFIX {
                let taken = left.len().min(GRPC_PREFIX - self.prefix_len);
                self.prefix[self.prefix_len..][..taken].copy_from_slice(&left[..taken]);
                self.prefix_len += taken;
                left = &left[taken..];
                if self.prefix_len < GRPC_PREFIX {
                    break;
                }
                let [_, a, b, c, d] = self.prefix;
                self.missing = u32::from_be_bytes([a, b, c, d]) as usize;
            }
            let taken = left.len().min(self.missing);
            self.missing -= taken;
            left = &left[taken..];
            if self.missing == 0 {
                self.prefix_len = 0;
                messages += u64::from(self.prefix[0] & GRPC_WEB_TRAILERS == 0);
            }
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counters() -> [MessageCounter; 4] {
        [
            MessageCounter::Events(EventCounter::default()),
            MessageCounter::Lines(LineCounter::default()),
            MessageCounter::Records(RecordCounter::default()),
            MessageCounter::Grpc(GrpcCounter::default()),
        ]
    }

    #[test]
    fn lines_count_once_they_end_and_blank_ones_never() {
        let count = |text: &str| LineCounter::default().push(text.as_bytes());
        assert_eq!(count("{}\n{}\r\n"), 2);
        assert_eq!(count("\n\r\n \t\n{}\n\n"), 1);
        assert_eq!(count("{}\n{\"half\":"), 1);
    }

    #[test]
    fn records_count_once_they_begin() {
        let count = |text: &str| RecordCounter::default().push(text.as_bytes());
        assert_eq!(count("\u{1e}{}\n\u{1e}[\n1]\n"), 2);
        assert_eq!(count("\u{1e}\u{1e}{}\n"), 1);
        assert_eq!(count("noise\n"), 0);
        assert_eq!(count("{}\u{1e}"), 0);
    }

    #[test]
    fn grpc_messages_count_with_their_last_byte() {
        let count = |bytes: &[u8]| GrpcCounter::default().push(bytes);
        assert_eq!(count(b"\0\0\0\0\x02ab\x01\0\0\0\0"), 2);
        assert_eq!(count(b"\0\0\0\0\x02a"), 0);
        assert_eq!(count(b"\0\0\0\0\x01a\x80\0\0\0\x03a:b"), 1);
        assert_eq!(count(b"\0\xff\xff\xff\xff"), 0);
    }

    proptest! {
        #[test]
        fn chunk_borders_change_no_count(
            pieces in proptest::collection::vec(
                prop::sample::select(vec![
                    "\0\0\0\0\u{2}", "\0", "\n", "\r", "\u{1e}", "data:", " ", "{}",
                ]),
                0..24,
            ),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let bytes = pieces.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            for (mut whole, mut cut) in counters().into_iter().zip(counters()) {
                let (mut messages, mut start) = (0, 0);
                for end in cuts.iter().copied().chain([bytes.len()]) {
                    messages += cut.push(&bytes[start..end]);
                    start = end;
                }
                prop_assert_eq!(messages, whole.push(&bytes));
            }
        }
    }
}
