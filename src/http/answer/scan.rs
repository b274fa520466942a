//! What parsing hides: how the lines of an answer's head end.
//!
//! The parser behind takes a bare LF for the end of a line and skips empty lines before a head. A [`Scan`]
//! looks at the same bytes first, at each of them once, however they arrive: a head that trickles in is
//! parsed when it is complete and not before. It looks at line ends; all else is left to the parser.

use super::Malformed;

/// A head, or trailers, being read: lines up to an empty one.
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    max: usize,
    /// How many bytes have been looked at.
    seen: usize,
    /// Where the line begins that was not over then.
    line: usize,
}

impl Scan {
    /// Waits for the end of lines that have at most `max` bytes together.
    pub fn new(max: usize) -> Self {
        Self { max, seen: 0, line: 0 }
    }

    /// Looks on. `bytes` are all that have come, those seen before included. `Some` is where the head
    /// ends, behind its empty line.
    pub fn find_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let from = self.seen;
        for end in memchr::memchr_iter(b'\n', bytes.get(from..).unwrap_or_default()) {
            let end = from + end;
            let line = bytes.get(self.line..end).unwrap_or_default();
            if line.last() != Some(&b'\r') {
                return Err(Malformed::BareLineFeed);
            }
            self.line = end + 1;
            if line.len() == 1 {
                let is_too_large = self.line > self.max;
                return if is_too_large { Err(Malformed::TooLarge) } else { Ok(Some(self.line)) };
            }
        }
        self.seen = bytes.len();
        if self.seen > self.max { Err(Malformed::TooLarge) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 1024;

    /// The verdict, with `size` bytes more each time.
    fn fed(bytes: &[u8], size: usize) -> Result<Option<usize>, Malformed> {
        let mut scan = Scan::new(MAX);
        for there in (0..bytes.len()).step_by(size).skip(1).chain([bytes.len()]) {
            if let Some(end) = scan.find_end(&bytes[..there])? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    fn verdict(bytes: impl AsRef<[u8]>) -> Result<Option<usize>, Malformed> {
        let whole = fed(bytes.as_ref(), usize::MAX);
        for size in 1..=bytes.as_ref().len() {
            assert_eq!(fed(bytes.as_ref(), size), whole, "in pieces of {size}");
        }
        whole
    }

    #[test]
    fn a_head_ends_at_its_empty_line() {
        assert_eq!(verdict("HTTP/1.1 200 OK\r\na: b\r\n\r\n"), Ok(Some(25)));
        assert_eq!(verdict("HTTP/1.1 200 OK\r\n\r\n\n\n\nbody"), Ok(Some(19)));
        assert_eq!(verdict("\r\nHTTP/1.1 200 OK\r\n\r\n"), Ok(Some(2)));
        assert_eq!(verdict("HTTP/1.1 200 OK\r\na: b\r\n"), Ok(None));
        assert_eq!(verdict("HTTP/1.1 200 OK\r\na: b\r\n\r"), Ok(None));
    }

    #[test]
    fn a_line_that_ends_in_a_bare_line_feed_is_malformed() {
        for bytes in [
            "HTTP/1.1 200 OK\n\n",
            "HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\n",
            "\n",
        ] {
            assert_eq!(verdict(bytes), Err(Malformed::BareLineFeed), "{bytes:?}");
        }
    }

    #[test]
    fn a_head_has_as_many_bytes_as_it_may_have_and_not_one_more() {
        let head = |length: usize| format!("{}\r\n\r\n", "y".repeat(length - 4));
        assert_eq!(verdict(head(MAX)), Ok(Some(MAX)));
        assert_eq!(verdict(head(MAX + 1)), Err(Malformed::TooLarge));
        assert_eq!(verdict("y".repeat(MAX)), Ok(None));
        assert_eq!(verdict("y".repeat(MAX + 1)), Err(Malformed::TooLarge));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_reads_cut(bytes in "[a\r\n]{0,40}", size in 1usize..8) {
            prop_assert_eq!(fed(bytes.as_bytes(), size), fed(bytes.as_bytes(), usize::MAX));
        }

        /// What it lets through ends where the first empty line ends, and has no other line feed.
        #[test]
        fn what_passes_has_no_bare_line_feed(bytes in "[a\r\n]{0,60}") {
            if let Ok(Some(end)) = fed(bytes.as_bytes(), usize::MAX) {
                let head = &bytes[..end];
                prop_assert!(head.ends_with("\r\n\r\n") || head == "\r\n");
                prop_assert_eq!(head.matches('\n').count(), head.matches("\r\n").count());
            }
        }
    }
}
