//! Counting the events of a `text/event-stream` as it passes (WHATWG HTML §9.2).
//!
//! Lines end with LF, CR or CRLF, in any mix and across any chunk boundary. A block of lines counts
//! when its blank line has come and it held a `data` or an `event` field: comments (keep-alives),
//! `id` and `retry` alone are not events. An unfinished last block is none either, as for a browser.
//!
//! An event whose type is `error` is noted: that is how a service says in a stream that it failed.
//!
//! It keeps sixteen bytes of state per line, and never any content beyond them.

use self::lines::LineEnds;

pub mod data;
mod lines;

const BOM: &[u8] = b"\xef\xbb\xbf";
/// Enough to tell `event: error`, and no longer word, behind a byte order mark.
const HEAD: usize = 16;

/// What a block of lines is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Block {
    /// Comments and settings.
    #[default]
    NoEvent,
    /// It holds a field that makes it an event.
    Event,
    /// An event of type `error`.
    Error,
}

/// Counts events over the chunks of one stream.
#[derive(Clone, Debug, Default)]
pub struct EventCounter {
    /// The first bytes of the current line.
    head: [u8; HEAD],
    /// How many of them there are.
    head_len: usize,
    /// What the current block is so far.
    block: Block,
    /// Whether an event of type `error` has passed.
    had_error: bool,
    ends: LineEnds,
    /// Whether the first line, which may begin with a byte order mark, is over.
    past_first_line: bool,
}

impl EventCounter {
    /// Takes the next chunk and says how many events it completed.
    pub fn push(&mut self, chunk: &[u8]) -> u64 {
        let mut events = 0;
        let mut left = self.ends.enter(chunk);
        while let Some(line) = self.ends.cut(&mut left) {
            self.remember(line);
            events += u64::from(self.end_line());
        }
        self.remember(left);
        events
    }

    /// Whether the stream stands between two events: nothing of another has begun.
    pub fn is_between_events(&self) -> bool {
        self.head_len == 0 && self.block == Block::NoEvent
    }

    /// Whether an event of type `error` has passed.
    pub fn had_error(&self) -> bool {
        self.had_error
    }

    fn remember(&mut self, bytes: &[u8]) {
        let taken = bytes.len().min(HEAD - self.head_len);
        self.head[self.head_len..][..taken].copy_from_slice(&bytes[..taken]);
        self.head_len += taken;
    }

    /// Ends a line and says whether it ended an event.
    fn end_line(&mut self) -> bool {
        let mut line = &self.head[..self.head_len];
        if !self.past_first_line {
            self.past_first_line = true;
            line = line.strip_prefix(BOM).unwrap_or(line);
        }
        self.head_len = 0;
        if line.is_empty() {
            let block = std::mem::take(&mut self.block);
            self.had_error |= block == Block::Error;
            return block != Block::NoEvent;
        }
        let is_field = |name: &[u8]| {
            line.strip_prefix(name).is_some_and(|rest| matches!(rest.first(), None | Some(b':')))
        };
        if is_field(b"event") {
            // Of several types the last counts.
            let is_error = matches!(line, b"event:error" | b"event: error");
            self.block = if is_error { Block::Error } else { Block::Event };
        } else if self.block == Block::NoEvent && is_field(b"data") {
            self.block = Block::Event;
        }
        false
    }
}

/// An event of type `error` whose data is `document`, a single line. It begins with a blank line, so
/// it is an event of its own wherever the stream stands.
pub fn error_event(document: &[u8]) -> Vec<u8> {
    [&b"\n\nevent: error\ndata: "[..], document, b"\n\n"].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(stream: &str) -> u64 {
        EventCounter::default().push(stream.as_bytes())
    }

    #[test]
    fn blank_lines_end_events_whatever_ends_lines() {
        assert_eq!(count("data: a\n\ndata: b\n\n"), 2);
        assert_eq!(count("data: a\r\rdata: b\r\r"), 2);
        assert_eq!(count("event: x\r\ndata: a\r\n\r\ndata\r\n\r\n"), 2);
        assert_eq!(count("data: a\n\n\n\n\r\n"), 1);
    }

    #[test]
    fn comments_settings_and_unknown_fields_are_not_events() {
        assert_eq!(count(": keep-alive\n\nid: 5\n\nretry: 100\n\n"), 0);
        assert_eq!(count("database: x\n\n data: x\n\nevents\n\n"), 0);
        assert_eq!(count(": note\ndata:\n\n"), 1);
    }

    #[test]
    fn an_unfinished_block_is_no_event() {
        assert_eq!(count("data: a\n"), 0);
        assert_eq!(count("data: a\n\ndata: b"), 1);
    }

    #[test]
    fn one_byte_order_mark_may_lead() {
        assert_eq!(count("\u{feff}data: a\n\n"), 1);
        assert_eq!(count("\u{feff}event\n\n"), 1);
        assert_eq!(count("\u{feff}\u{feff}data: a\n\n"), 0);
        assert_eq!(count("\n\u{feff}data: a\n\n"), 0);
    }

    #[test]
    fn an_event_of_type_error_is_noted_once_it_is_whole() {
        let had_error = |stream: &str| {
            let mut counter = EventCounter::default();
            counter.push(stream.as_bytes());
            counter.had_error()
        };
        assert!(had_error("event: error\ndata: {}\n\n"));
        assert!(had_error("\u{feff}event:error\r\rdata: x\n\n"));
        for other in [
            "event: error\ndata: {}\n",
            "event: errors\n\n",
            "event: error and more\n\n",
            "data: event: error\n\n",
            "event: error\nevent: done\n\n",
        ] {
            assert!(!had_error(other), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn chunking_does_not_change_the_count(
            stream in "\u{feff}?(data|event|:|id|: x|x|\r|\n|\r\n|\n\n|\u{feff}){0,24}",
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let bytes = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            let mut counter = EventCounter::default();
            let (mut events, mut start) = (0, 0);
            for end in cuts.into_iter().chain([bytes.len()]) {
                events += counter.push(&bytes[start..end]);
                start = end;
            }
            prop_assert_eq!(events, count(&stream));
        }
    }
}
