//! What parsing hides: how the lines of an answer's head end, and how many interim answers came
//! before it.
//!
//! The parser behind takes a bare LF for the end of a line and skips 1xx answers without counting
//! them. A [`Scan`] reads the same bytes before it does, wherever a read happens to cut them. It
//! looks at line ends and at the status; everything else is left to the parser.

use super::Malformed;

/// Interim answers before the final one; RFC 9110 §15.2 names no bound, and more than a few are a
/// loop.
const MAX_INTERIM: u8 = 16;

/// The offset of the status in `HTTP/1.1 200`.
const STATUS_AT: usize = 9;

/// The shortest head there is, `HTTP/1.1 200` and two line ends: every other has a whole status.
const SHORTEST: usize = 16;

/// A head being read.
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    max: usize,
    /// Bytes of all heads so far, interim ones included.
    total: usize,
    /// Bytes of this head so far.
    head: usize,
    /// Bytes of this line so far, without its end.
    line: usize,
    /// Whether the last byte was a CR.
    after_cr: bool,
    status: [u8; 3],
    interim: u8,
}

impl Scan {
    /// Waits for the first byte of an answer whose heads have at most `max` bytes together.
    pub fn new(max: usize) -> Self {
        Self { max, total: 0, head: 0, line: 0, after_cr: false, status: [0; 3], interim: 0 }
    }

    /// Reads on. `Ok(true)` once the final head is complete: what follows is not a head's. After an
    /// error or `true` it is not to be asked again.
    pub fn read(&mut self, bytes: &[u8]) -> Result<bool, Malformed> {
        self.note_status(bytes);
        let (mut start, mut head_start) = (0, 0);
        for end in memchr::memchr_iter(b'\n', bytes) {
            let is_ended = if end == 0 { self.after_cr } else { bytes[end - 1] == b'\r' };
            if !is_ended {
                return Err(Malformed::BareLineFeed);
            }
            // The line's length with its CR, which an earlier read may have brought.
            let is_blank = self.line + (end - start) == 1;
            (start, self.line) = (end + 1, 0);
            if is_blank {
                self.head += start - head_start;
                self.total += start - head_start;
                if self.end_head()? {
                    return Ok(true);
                }
                head_start = start;
                self.note_status(&bytes[start..]);
            }
        }
        self.line += bytes.len() - start;
        self.head += bytes.len() - head_start;
        self.total += bytes.len() - head_start;
        self.after_cr = bytes.last().map_or(self.after_cr, |byte| *byte == b'\r');
        if self.total > self.max { Err(Malformed::TooLarge) } else { Ok(false) }
    }

    /// Keeps the digits of the status, should they be among these bytes of the current head.
    fn note_status(&mut self, bytes: &[u8]) {
        for (digit, at) in self.status.iter_mut().zip(STATUS_AT..) {
            if let Some(byte) = at.checked_sub(self.head).and_then(|at| bytes.get(at)) {
                *digit = *byte;
            }
        }
    }

    /// Whether the head that is complete now is the final one.
    fn end_head(&mut self) -> Result<bool, Malformed> {
        if self.total > self.max {
            return Err(Malformed::TooLarge);
        }
        if self.head < SHORTEST {
            return Err(Malformed::NoStatusLine);
        }
        // A 101 is the last answer of its protocol.
        if self.status[0] != b'1' || self.status == *b"101" {
            return Ok(true);
        }
        self.interim += 1;
        if self.interim > MAX_INTERIM {
            return Err(Malformed::TooManyInterim);
        }
        (self.head, self.status) = (0, [0; 3]);
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 1024;
    const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

    /// The verdict, fed in pieces of `size` bytes.
    fn fed(bytes: &[u8], size: usize) -> Result<bool, Malformed> {
        let mut scan = Scan::new(MAX);
        for piece in bytes.chunks(size) {
            if scan.read(piece)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn verdict(bytes: impl AsRef<[u8]>) -> Result<bool, Malformed> {
        let whole = fed(bytes.as_ref(), usize::MAX);
        for size in 1..=bytes.as_ref().len() {
            assert_eq!(fed(bytes.as_ref(), size), whole, "in pieces of {size}");
        }
        whole
    }

    #[test]
    fn a_head_ends_at_its_empty_line() {
        assert_eq!(verdict("HTTP/1.1 200 OK\r\na: b\r\n\r\n"), Ok(true));
        assert_eq!(verdict("HTTP/1.1 200 OK\r\n\r\n\n\n\nbody"), Ok(true));
        assert_eq!(verdict("HTTP/1.1 200 OK\r\na: b\r\n"), Ok(false));
        assert_eq!(verdict("HTTP/1.1 200 OK\r\na: b\r\n\r"), Ok(false));
        assert_eq!(verdict("HTTP/1.1 101 Switching Protocols\r\n\r\n"), Ok(true));
    }

    #[test]
    fn a_line_that_ends_in_a_bare_line_feed_is_malformed() {
        for bytes in [
            "HTTP/1.1 200 OK\n\n",
            "HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\n",
            "\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\n",
        ] {
            assert_eq!(verdict(bytes), Err(Malformed::BareLineFeed), "{bytes:?}");
        }
    }

    #[test]
    fn a_head_begins_with_a_status_line() {
        assert_eq!(verdict("\r\nHTTP/1.1 200 OK\r\n\r\n"), Err(Malformed::NoStatusLine));
        assert_eq!(verdict("HTTP/1.1\r\n\r\n100 1"), Err(Malformed::NoStatusLine));
        let later = format!("{CONTINUE}\r\nHTTP/1.1 200 OK\r\n\r\n");
        assert_eq!(verdict(later), Err(Malformed::NoStatusLine));
    }

    #[test]
    fn interim_answers_are_followed_up_to_the_bound() {
        let interim = |count| CONTINUE.repeat(count) + "HTTP/1.1 200 OK\r\n\r\n";
        assert_eq!(verdict(interim(1)), Ok(true));
        assert_eq!(verdict(interim(usize::from(MAX_INTERIM))), Ok(true));
        assert_eq!(verdict(interim(usize::from(MAX_INTERIM) + 1)), Err(Malformed::TooManyInterim));
    }

    #[test]
    fn heads_are_bounded_together_and_before_they_end() {
        let head = |size: usize| format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(size - 24));
        assert_eq!(head(MAX).len(), MAX);
        assert_eq!(verdict(head(MAX)), Ok(true));
        assert_eq!(verdict(head(MAX + 1)), Err(Malformed::TooLarge));
        assert_eq!(
            verdict("HTTP/1.1 200 ".to_owned() + &"b".repeat(MAX)),
            Err(Malformed::TooLarge)
        );
        let hints = "HTTP/1.1 103 Early Hints\r\nlink: ".to_owned() + &"x".repeat(500) + "\r\n\r\n";
        assert_eq!(verdict(hints.repeat(3)), Err(Malformed::TooLarge));
    }

    proptest! {
        #[test]
        fn where_reads_cut_makes_no_difference(
            words in prop::collection::vec(prop::sample::select(vec![
                "\r", "\n", "\r\n", "\r\n\r\n", "HTTP/1.1 100 C", "HTTP/1.1 200 O", "a: b", "1", "H",
            ]), 0..40),
            cuts in prop::collection::vec(1_usize..9, 1..40),
        ) {
            let bytes = words.concat().into_bytes();
            let whole = fed(&bytes, usize::MAX);
            let (mut scan, mut rest, mut verdict) = (Scan::new(MAX), &bytes[..], Ok(false));
            for cut in cuts.iter().cycle() {
                if rest.is_empty() || verdict != Ok(false) {
                    break;
                }
                let (piece, left) = rest.split_at((*cut).min(rest.len()));
                verdict = scan.read(piece);
                rest = left;
            }
            prop_assert_eq!(verdict, whole);
        }
    }
}
