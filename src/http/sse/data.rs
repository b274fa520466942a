//! Gathering the data of one event of a `text/event-stream` after another (WHATWG HTML §9.2).
//!
//! The `data` lines of an event are joined by line feeds. It keeps at most as many bytes of the data of one
//! event as it is allowed, and says of a larger one only that it was there. Of comments and other fields it
//! keeps nothing, however long they are.

use super::BOM;
use super::lines::LineEnds;

const FIELD: &[u8] = b"data";

/// Gathers the data of the events of one stream.
#[derive(Debug, Default)]
pub struct DataReader {
    /// The data of the current event as far as it has come, each finished line with a line feed.
    kept: Vec<u8>,
    line: Line,
    /// Whether something of the current event did not fit.
    is_too_large: bool,
    ends: LineEnds,
    /// Whether the place of a byte order mark, the beginning of the stream, is over.
    is_past_mark: bool,
}

/// How much of the current line has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// So many bytes of a byte order mark.
    Mark(usize),
    /// So many bytes of the name `data`.
    Name(usize),
    /// The name and the colon. One space after it is no data.
    Colon,
    /// Something of the value.
    Value,
    /// What makes it a comment or another field, of which nothing is kept.
    Other,
}

impl Default for Line {
    fn default() -> Self {
        Self::Name(0)
    }
}

/// The data of a whole event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// It was larger than allowed.
    TooLarge,
}

impl DataReader {
    /// How many bytes it keeps now.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether it keeps none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Gives memory back, down to this many bytes or what it keeps now.
    pub fn trim(&mut self, bytes: usize) {
        self.kept.shrink_to(bytes);
    }

    /// Takes the next chunk and hands each event that it completes to `visit`, if it has data. At
    /// most `limit` bytes are kept of one event.
    pub fn push(&mut self, chunk: &[u8], limit: usize, mut visit: impl FnMut(Data<'_>)) {
        let mut left = self.ends.enter(chunk);
        while let Some(line) = self.ends.cut(&mut left) {
            self.keep(line, limit);
            self.end_line(limit, &mut visit);
        }
        self.keep(left, limit);
    }

    fn keep(&mut self, mut bytes: &[u8], limit: usize) {
        while let [first, rest @ ..] = bytes {
            self.line = match self.line {
                Line::Other => return,
                Line::Name(0) if !self.is_past_mark && BOM.first() == Some(first) => Line::Mark(1),
                Line::Mark(len) if BOM.get(len) == Some(first) => {
                    self.is_past_mark = len + 1 == BOM.len();
                    if self.is_past_mark { Line::Name(0) } else { Line::Mark(len + 1) }
                }
                Line::Name(len) if FIELD.get(len) == Some(first) => Line::Name(len + 1),
                Line::Name(len) if len == FIELD.len() && *first == b':' => Line::Colon,
                Line::Colon if *first == b' ' => Line::Value,
                Line::Colon | Line::Value => {
                    self.line = Line::Value;
                    return self.keep_value(bytes, limit);
                }
                Line::Mark(_) | Line::Name(_) => Line::Other,
            };
            bytes = rest;
        }
    }

    fn keep_value(&mut self, bytes: &[u8], limit: usize) {
        // One byte is left for the line feed.
        if !self.is_too_large && self.kept.len() + bytes.len() < limit {
            self.kept.extend_from_slice(bytes);
        } else {
            self.forget();
        }
    }

    fn end_line(&mut self, limit: usize, visit: &mut impl FnMut(Data<'_>)) {
        self.is_past_mark = true;
        match std::mem::take(&mut self.line) {
            Line::Name(0) => self.end_event(visit),
            Line::Name(len) if len < FIELD.len() => {}
            Line::Mark(_) | Line::Other => {}
            Line::Name(_) | Line::Colon | Line::Value => {
                if !self.is_too_large && self.kept.len() < limit {
                    self.kept.push(b'\n');
                } else {
                    self.forget();
                }
            }
        }
    }

    /// Keeps nothing of the current event but that it was too large.
    fn forget(&mut self) {
        self.is_too_large = true;
        self.kept.clear();
    }

    fn end_event(&mut self, visit: &mut impl FnMut(Data<'_>)) {
        if std::mem::take(&mut self.is_too_large) {
            visit(Data::TooLarge);
        } else if let Some((_line_feed, data)) = self.kept.split_last() {
            visit(Data::Whole(data));
        }
        self.kept.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The data of all events; `None` of one that was too large.
    fn events<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> Vec<Option<String>> {
        let (mut reader, mut events) = (DataReader::default(), Vec::new());
        for chunk in chunks {
            reader.push(chunk, limit, |data| {
                events.push(match data {
                    Data::Whole(data) => Some(String::from_utf8(data.to_vec()).unwrap()),
                    Data::TooLarge => None,
                });
            });
            assert!(reader.len() <= limit);
        }
        events
    }

    fn data(stream: &str) -> Vec<String> {
        events([stream.as_bytes()], 1000).into_iter().map(Option::unwrap).collect()
    }

    #[test]
    fn the_data_lines_of_an_event_are_joined() {
        assert_eq!(data("data: a\ndata:b\n\ndata:  c\r\n\r\n"), ["a\nb", " c"]);
        assert_eq!(data("\u{feff}data: a\r\rdata\n\n"), ["a", ""]);
        assert_eq!(data(": note\nevent: x\nid: 1\ndata: a\nretry: 5\n\n"), ["a"]);
    }

    #[test]
    fn what_has_no_data_or_no_end_is_no_event() {
        assert!(data(": note\n\nevent: x\n\ndatabase: y\n\n\u{feff}\n\n").is_empty());
        assert_eq!(data("data: a\n\ndata: b\n"), ["a"]);
    }

    #[test]
    fn an_event_that_is_too_large_is_left_out_and_the_next_is_not() {
        let long = "x".repeat(40);
        let stream = format!("data: {long}\n\ndata: a\n\ndata: b\ndata: {long}\n\ndata: c\n\n");
        let expected = [None, Some("a".to_owned()), None, Some("c".to_owned())];
        assert_eq!(events([stream.as_bytes()], 32), expected);
        // Lines without a value have line feeds, too.
        let stream = format!("{}\n{}\n", "data\n".repeat(32), "data:\n".repeat(33));
        assert_eq!(events([stream.as_bytes()], 32), [Some("\n".repeat(31)), None]);
    }

    #[test]
    fn nothing_but_data_makes_an_event_too_large() {
        let long = "x".repeat(100);
        for line in [": ", ":", "id: ", "event: ", "retry: ", "data", "\u{feff}data: "] {
            let alone = format!("data: a\n\n{line}{long}\n\ndata: b\n\n");
            let expected = [Some("a".to_owned()), Some("b".to_owned())];
            assert_eq!(events([alone.as_bytes()], 32), expected, "{line}");
            let within = format!("{line}{long}\ndata: a\n{line}{long}\ndata: b\n\n");
            let events = events(within.as_bytes().chunks(7), 32);
            let is_marked = line.starts_with('\u{feff}');
            // At the beginning of the stream the mark is none of the line.
            assert_eq!(events, [Some("a\nb".to_owned()).filter(|_| !is_marked)], "{line}");
        }
    }

    proptest! {
        #[test]
        fn chunk_borders_change_nothing(
            stream in "\u{feff}?(data|: a|event|id|: x|x|\r|\n|\r\n|\n\n){0,24}",
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let bytes = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            let mut start = 0;
            let chunks: Vec<&[u8]> = cuts
                .into_iter()
                .chain([bytes.len()])
                .map(|end| &bytes[std::mem::replace(&mut start, end)..end])
                .collect();
            let chunks: Vec<_> = chunks;
            for limit in [1000, 4] {
                prop_assert_eq!(events(chunks.clone(), limit), events([bytes], limit));
            }
        }
    }
}
