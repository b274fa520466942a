//! Where the lines of an event stream end: with LF, CR or CRLF, in any mix and across any chunk
//! boundary.
//!
//! It keeps no line, and does not look into one.

/// Cuts the chunks of one stream at the ends of its lines.
#[derive(Clone, Debug, Default)]
pub(super) struct LineEnds {
    /// Whether the last byte was CR: a LF now belongs to it.
    is_after_cr: bool,
}

impl LineEnds {
    /// Begins with the next chunk: what is in it but for the second half of a cut CRLF.
    #[inline]
    pub(super) fn enter<'c>(&mut self, chunk: &'c [u8]) -> &'c [u8] {
        if chunk.is_empty() || !std::mem::take(&mut self.is_after_cr) {
            return chunk;
        }
        chunk.strip_prefix(b"\n").unwrap_or(chunk)
    }

    /// Takes what belongs to the current line off `left`, and its end; `None` where no end is in it.
    #[inline]
    pub(super) fn cut<'c>(&mut self, left: &mut &'c [u8]) -> Option<&'c [u8]> {
        let end = memchr::memchr2(b'\n', b'\r', left)?;
        let (line, rest) = (&left[..end], &left[end + 1..]);
        let is_cr = left[end] == b'\r';
        self.is_after_cr = is_cr && rest.is_empty();
        *left = if is_cr { rest.strip_prefix(b"\n").unwrap_or(rest) } else { rest };
        Some(line)
    }
}
