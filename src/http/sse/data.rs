//! Gathering the data of one event of a `text/event-stream` after another (WHATWG HTML §9.2).
//!
//! The `data` lines of an event are joined by line feeds. It keeps at most as many bytes of one event
//! as it is allowed, and says of a larger one only that it was there.

use super::BOM;
use super::lines::LineEnds;

const FIELD: &[u8] = b"data";

/// Gathers the data of the events of one stream.
#[derive(Debug, Default)]
pub struct DataReader {
    /// The data lines of the current event, each with a line feed; then the current line as it is.
    kept: Vec<u8>,
    /// Where in `kept` the current line begins.
    line: usize,
    /// How many bytes of the current line have come, kept or not.
    line_len: usize,
    /// Whether something of the current event did not fit.
    is_too_large: bool,
    ends: LineEnds,
    /// Whether the first line, which may begin with a byte order mark, is over.
    is_past_first_line: bool,
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
            self.end_line(&mut visit);
        }
        self.keep(left, limit);
    }

    fn keep(&mut self, bytes: &[u8], limit: usize) {
        self.line_len += bytes.len();
        if self.is_too_large {
            return;
        }
        // One byte is left for the line feed.
        if self.kept.len() + bytes.len() < limit {
            self.kept.extend_from_slice(bytes);
        } else if !bytes.is_empty() {
            self.is_too_large = true;
            self.kept.clear();
            self.line = 0;
        }
    }

    fn end_line(&mut self, visit: &mut impl FnMut(Data<'_>)) {
        let is_first = !std::mem::replace(&mut self.is_past_first_line, true);
        if is_first && self.kept.get(self.line..).is_some_and(|line| line.starts_with(BOM)) {
            self.kept.drain(self.line..self.line + BOM.len());
            self.line_len -= BOM.len();
        }
        if std::mem::take(&mut self.line_len) == 0 {
            return self.end_event(visit);
        }
        let line = self.kept.get(self.line..).unwrap_or_default();
        match line.strip_prefix(FIELD) {
            Some([]) => self.kept.truncate(self.line),
            Some([b':', rest @ ..]) => {
                let value = rest.strip_prefix(b" ").unwrap_or(rest);
                let name = line.len() - value.len();
                self.kept.drain(self.line..self.line + name);
            }
            // Of a comment or another field nothing stays.
            _ => return self.kept.truncate(self.line),
        }
        self.kept.push(b'\n');
        self.line = self.kept.len();
    }

    fn end_event(&mut self, visit: &mut impl FnMut(Data<'_>)) {
        if std::mem::take(&mut self.is_too_large) {
            visit(Data::TooLarge);
        } else if let Some((_line_feed, data)) = self.kept.split_last() {
            visit(Data::Whole(data));
        }
        self.kept.clear();
        self.line = 0;
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
        let stream = format!("data: {long}\n\ndata: a\n\n: {long}\ndata: b\n\ndata: c\n\n");
        let expected = [None, Some("a".to_owned()), None, Some("c".to_owned())];
        assert_eq!(events([stream.as_bytes()], 32), expected);
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
            prop_assert_eq!(events(chunks, 1000), events([bytes], 1000));
        }
    }
}
