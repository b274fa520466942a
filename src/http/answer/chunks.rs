//! The chunked coding of an answer's body, decoded (RFC 9112 §7.1).
//!
//! Data is cut out of what was read, not copied. What stands around it is bounded: each size line, all
//! extensions of a message together, and its trailers. What is odd about sizes and harmless is let pass
//! (blanks behind them, zeros before them: some servers fill each size up to a width), because the client
//! gets chunks of ours; what could hide an end is not.
//!
//! It does not read: bytes come to it in a buffer, and it leaves there what it cannot use yet.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::Malformed;
use super::head::parse_trailers;
use super::scan::Scan;

/// Bytes that a size line may have.
const MOST_LINE: usize = 16 * 1024;
/// Bytes that all extensions of a message may have together.
const MOST_EXTRA: usize = 16 * 1024;
/// Bytes that its trailers may have: as many as a head.
const MOST_TRAILERS: usize = 64 * 1024;

/// A body being decoded.
#[derive(Debug, Default)]
pub struct Chunks {
    part: Part,
    /// Bytes of extensions so far.
    extra: usize,
}

/// What comes next.
#[derive(Debug, Default)]
enum Part {
    /// A line with the size of a chunk.
    #[default]
    Size,
    /// So many bytes of data.
    Data(u64),
    /// The line end behind the data.
    Break,
    /// What stands behind the last chunk.
    Trailers(Scan),
    /// Nothing.
    Done,
}

/// A part of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Some of its data.
    Data(Bytes),
    /// The fields behind it. Nothing comes after them.
    Trailers(HeaderMap),
}

impl Chunks {
    /// Whether the body is over.
    pub fn is_done(&self) -> bool {
        matches!(self.part, Part::Done)
    }

    /// Takes the next piece out of `buffer`. `None` means that the body is over, or that more must be
    /// read first. After an error it is not to be asked again.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Piece>, Malformed> {
        loop {
            match &mut self.part {
                Part::Done => return Ok(None),
                Part::Data(left) => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                    if length == 0 {
                        return Ok(None);
                    }
                    *left -= length as u64;
                    if *left == 0 {
                        self.part = Part::Break;
                    }
                    let data = buffer.split_to(length).freeze();
                    // The end may have come with the last of the data, which it is worth to know then.
                    // What is wrong there stays where it is, and is found at the next call.
                    let _found_again = self.pass_marks(buffer);
                    return Ok(Some(Piece::Data(data)));
                }
                Part::Trailers(scan) if !buffer.starts_with(b"\r\n") => {
                    let Some(end) = scan.find_end(buffer).map_err(too_large)? else {
                        // A CR begins the line end that is the last, or nothing.
                        let is_odd = buffer.len() > 1 && buffer.starts_with(b"\r");
                        return if is_odd { Err(Malformed::Line) } else { Ok(None) };
                    };
                    let trailers = parse_trailers(&buffer.split_to(end).freeze())?;
                    self.part = Part::Done;
                    return Ok(Some(Piece::Trailers(trailers)));
                }
                Part::Size | Part::Break | Part::Trailers(_) => {
                    if !self.pass_marks(buffer)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Passes what stands between data and data, or behind the last. `false` where more must be read.
    fn pass_marks(&mut self, buffer: &mut BytesMut) -> Result<bool, Malformed> {
        if matches!(self.part, Part::Break) {
            if !pass_line_end(buffer)? {
                return Ok(false);
            }
            self.part = Part::Size;
        }
        if matches!(self.part, Part::Size) {
            let Some(end) = memchr::memchr(b'\n', buffer) else {
                return judge_half(buffer).map(|()| false);
            };
            let line = buffer[..end].strip_suffix(b"\r").ok_or(Malformed::Chunk)?;
            let (size, extra) = read_size(line)?;
            if line.len() > MOST_LINE || self.extra + extra > MOST_EXTRA {
                return Err(Malformed::TooMuchExtra);
            }
            self.extra += extra;
            buffer.advance(end + 1);
            self.part =
                if size > 0 { Part::Data(size) } else { Part::Trailers(Scan::new(MOST_TRAILERS)) };
        }
        if matches!(self.part, Part::Trailers(_)) && buffer.starts_with(b"\r\n") {
            buffer.advance(2);
            self.part = Part::Done;
        }
        Ok(true)
    }
}

/// What a scan of trailers says of them.
fn too_large(what: Malformed) -> Malformed {
    if what == Malformed::TooLarge { Malformed::TooMuchExtra } else { what }
}

/// Passes the line end behind a chunk's data. `false` where it has not come.
fn pass_line_end(buffer: &mut BytesMut) -> Result<bool, Malformed> {
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(true);
    }
    if b"\r\n".starts_with(buffer) { Ok(false) } else { Err(Malformed::Chunk) }
}

/// Judges the beginning of a size line: somebody who is wrong may never come to its end.
fn judge_half(line: &[u8]) -> Result<(), Malformed> {
    let mark = line.iter().find(|byte| !byte.is_ascii_hexdigit());
    if !matches!(mark, None | Some(b';' | b' ' | b'\t' | b'\r')) {
        return Err(Malformed::Chunk);
    }
    let length = line.strip_suffix(b"\r").unwrap_or(line).len();
    if length > MOST_LINE { Err(Malformed::TooMuchExtra) } else { Ok(()) }
}

/// The size that a line says, and how many bytes its extensions have.
fn read_size(line: &[u8]) -> Result<(u64, usize), Malformed> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (number, rest) = line.split_at(digits);
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let extensions = rest.get(blanks..).unwrap_or_default();
    let is_fine = match extensions.first() {
        None => true,
        Some(mark) => *mark == b';' && !extensions.contains(&b'\r'),
    };
    if number.is_empty() || !is_fine {
        return Err(Malformed::Chunk);
    }
    let size = number.iter().try_fold(0_u64, |size, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        (size >> 60 == 0).then_some(size << 4 | u64::from(digit))
    });
    Ok((size.ok_or(Malformed::Chunk)?, extensions.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What comes out of a body that arrives in pieces of `size` bytes: its data, its trailers, whether
    /// it is over, and what was left.
    #[derive(Debug, PartialEq)]
    struct Decoded {
        data: Vec<u8>,
        trailers: Option<HeaderMap>,
        is_done: bool,
        rest: Vec<u8>,
    }

    fn decoded(bytes: &[u8], size: usize) -> Result<Decoded, Malformed> {
        let (mut chunks, mut buffer) = (Chunks::default(), BytesMut::new());
        let (mut data, mut trailers) = (Vec::new(), None);
        for piece in bytes.chunks(size) {
            buffer.extend_from_slice(piece);
            while let Some(piece) = chunks.next(&mut buffer)? {
                match piece {
                    Piece::Data(more) => data.extend_from_slice(&more),
                    Piece::Trailers(fields) => trailers = Some(fields),
                }
            }
        }
        Ok(Decoded { data, trailers, is_done: chunks.is_done(), rest: buffer.to_vec() })
    }

    fn verdict(text: &str) -> Result<Decoded, Malformed> {
        let bytes = text.replace('|', "\r\n").into_bytes();
        let whole = decoded(&bytes, usize::MAX);
        for size in 1..bytes.len() {
            assert_eq!(decoded(&bytes, size), whole, "{text}, in pieces of {size}");
        }
        whole
    }

    #[test]
    fn data_comes_out_as_it_went_in() {
        for (text, data, rest) in [
            ("0||", "", ""),
            ("2|ok|0||", "ok", ""),
            ("2|ok|A|0123456789|0||HTTP/1.1", "ok0123456789", "HTTP/1.1"),
            ("02;a=b;c=\"d\"|ok|000;x||", "ok", ""),
            ("2 |ok|0\t ||", "ok", ""),
            ("2 ;x|ok|0||", "ok", ""),
            ("4|\r\n\r\n|0||", "\r\n\r\n", ""),
        ] {
            let decoded = verdict(text).unwrap();
            assert_eq!(decoded.data, data.as_bytes(), "{text}");
            assert_eq!((decoded.is_done, decoded.rest), (true, rest.into()), "{text}");
            assert_eq!(decoded.trailers, None, "{text}");
        }
    }

    #[test]
    fn trailers_are_the_last_piece() {
        let decoded = verdict("2|ok|0|a: b|c: d||more").unwrap();
        let trailers = decoded.trailers.unwrap();
        assert_eq!((trailers.len(), &trailers["c"]), (2, &"d".parse().unwrap()));
        assert_eq!((decoded.is_done, decoded.rest), (true, b"more".to_vec()));
    }

    #[test]
    fn what_is_no_chunk_is_malformed() {
        for text in [
            "|",
            "x|",
            "-1|",
            "+1|",
            "0x1|",
            ";|",
            " 1|",
            "1 2|",
            "2\nok",
            "2;a\n",
            "2|okay|0||",
            "2|ok0||",
            "2|ok\r0||",
            "2|ok\n0||",
            "11111111111111111|",
            "2;a\rb|",
            "2 \r|ok",
        ] {
            assert_eq!(verdict(text), Err(Malformed::Chunk), "{text}");
        }
        assert_eq!(verdict("0|no colon||"), Err(Malformed::Line));
        assert_eq!(verdict("0|a: b\n|"), Err(Malformed::BareLineFeed));
    }

    #[test]
    fn what_stands_around_data_is_bounded() {
        let line = |length: usize| format!("1;{}\r\na\r\n", "x".repeat(length - 1));
        let fed =
            |text: String| decoded(text.as_bytes(), usize::MAX).map(|decoded| decoded.data.len());
        assert_eq!(fed(line(MOST_LINE - 1)), Ok(1));
        assert_eq!(fed(line(MOST_LINE)), Err(Malformed::TooMuchExtra));
        assert_eq!(fed(line(MOST_EXTRA / 2).repeat(2)), Ok(2));
        assert_eq!(fed(line(MOST_EXTRA / 2).repeat(3)), Err(Malformed::TooMuchExtra));
        assert_eq!(fed(format!("1;{}", "x".repeat(MOST_EXTRA))), Err(Malformed::TooMuchExtra));
        let trailers = format!("0\r\na: {}", "x".repeat(MOST_TRAILERS));
        assert_eq!(fed(trailers), Err(Malformed::TooMuchExtra));
    }

    #[test]
    fn sizes_that_are_filled_up_with_blanks_may_be_many() {
        let text = format!("1{}\r\na\r\n", " ".repeat(MOST_LINE / 4)).repeat(9) + "0\r\n\r\n";
        assert_eq!(decoded(text.as_bytes(), usize::MAX).unwrap().data, b"aaaaaaaaa");
    }

    #[test]
    fn a_size_line_has_one_bound_however_it_arrives() {
        for (blanks, expected) in
            [(MOST_LINE - 1, Ok(true)), (MOST_LINE, Err(Malformed::TooMuchExtra))]
        {
            let text = format!("0{}\r\n\r\n", " ".repeat(blanks));
            for size in [1, 1000, MOST_LINE, MOST_LINE + 1, usize::MAX] {
                let end = decoded(text.as_bytes(), size).map(|decoded| decoded.is_done);
                assert_eq!(end, expected, "{blanks} blanks in pieces of {size}");
            }
        }
    }

    #[test]
    fn what_cannot_become_right_is_known_before_its_line_ends() {
        for text in ["x", "2|ok|-", "2|okay", "0|\rx"] {
            let bytes = text.replace('|', "\r\n");
            assert!(decoded(bytes.as_bytes(), usize::MAX).is_err(), "{text}");
        }
        for text in ["2", "2 ", "2;", "2\r", "2|ok", "2|ok\r", "0|", "0|\r", "0|a"] {
            let bytes = text.replace('|', "\r\n");
            assert!(decoded(bytes.as_bytes(), usize::MAX).is_ok(), "{text}");
        }
    }

    #[test]
    fn an_end_that_came_with_the_last_data_is_known_with_it() {
        let mut buffer = BytesMut::from("2\r\nok\r\n0\r\n\r\n");
        let mut chunks = Chunks::default();
        assert_eq!(chunks.next(&mut buffer), Ok(Some(Piece::Data("ok".into()))));
        assert!(chunks.is_done());
    }

    #[test]
    fn what_is_wrong_behind_data_does_not_take_the_data() {
        let mut buffer = BytesMut::from("2\r\nok\r\nx\r\n");
        let mut chunks = Chunks::default();
        assert_eq!(chunks.next(&mut buffer), Ok(Some(Piece::Data("ok".into()))));
        assert_eq!(chunks.next(&mut buffer), Err(Malformed::Chunk));
    }

    proptest! {
        #[test]
        fn whatever_is_cut_wherever_comes_out_whole(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
            size in 1usize..60,
        ) {
            let mut bytes = Vec::new();
            for body in &bodies {
                bytes.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
                bytes.extend_from_slice(body);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            let decoded = decoded(&bytes, size).unwrap();
            prop_assert_eq!((decoded.data, decoded.is_done), (bodies.concat(), true));
        }

        #[test]
        fn no_bytes_panic_and_cuts_do_not_matter(text in "[0-2aA;:\r\n x]{0,40}", size in 1usize..8) {
            let (cut, whole) = (decoded(text.as_bytes(), size), decoded(text.as_bytes(), usize::MAX));
            prop_assert_eq!(cut.is_ok(), whole.is_ok());
            if let (Ok(cut), Ok(whole)) = (cut, whole) {
                prop_assert_eq!(cut, whole);
            }
        }
    }
}
