//! A watch on what a store sends: replies of the size that ours have, and nothing else.
//!
//! What we ask is answered by a line, a short text, or a flat list of a few of them. A parser that
//! follows a length of its peer's choosing would hold whatever the peer likes to send; here a reply
//! that announces more than [`LONGEST`] bytes or [`MOST`] items, or lists in lists, ends the connection
//! before the parser has seen it.
//!
//! It understands RESP2, without its meaning.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a line or a text. An error's words are the longest that is ever sent to us.
const LONGEST: usize = 4096;
/// Items of a list.
const MOST: usize = 16;

/// A stream whose replies are watched. What is written goes out as it is.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    at: At,
    /// Items of the list under way that are still to come.
    left: usize,
}

#[derive(Debug)]
enum At {
    /// In a line of this kind, of which the number that it may hold is read.
    Line { kind: u8, number: Number, len: usize },
    /// In a text with this many bytes to come, its line end included.
    Text(usize),
    /// Before the first byte of a value.
    Start,
    /// Behind something that is never read.
    Over(&'static str),
}

/// A number as far as it is read; no more than the bounds matter.
#[derive(Clone, Copy, Debug, Default)]
struct Number {
    value: usize,
    is_negative: bool,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, at: At::Start, left: 0 }
    }

    fn follow(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while let [first, rest @ ..] = bytes {
            match &mut self.at {
                At::Over(what) => return Err(what),
                At::Text(left) => {
                    let passed = bytes.len().min(*left);
                    (*left, bytes) = (*left - passed, &bytes[passed..]);
                    if *left == 0 {
                        self.end();
                    }
                    continue;
                }
                At::Start => {
                    if !b"+-:$*".contains(first) {
                        return Err("a reply of an unknown kind");
                    }
                    self.at = At::Line { kind: *first, number: Number::default(), len: 0 };
                }
                At::Line { kind, number, len } => {
                    *len += 1;
                    if *len > LONGEST {
                        return Err("a line that is too long");
                    }
                    if *first == b'\n' {
                        let (kind, number) = (*kind, *number);
                        self.turn(kind, number)?;
                    } else {
                        number.read(*first);
                    }
                }
            }
            bytes = rest;
        }
        Ok(())
    }

    /// A line is over: what follows it?
    fn turn(&mut self, kind: u8, number: Number) -> Result<(), &'static str> {
        match kind {
            b'$' if !number.is_negative => {
                if number.value > LONGEST {
                    return Err("a text that is too long");
                }
                self.at = At::Text(number.value + 2);
            }
            b'*' if !number.is_negative && number.value > 0 => {
                if self.left > 0 || number.value > MOST {
                    return Err("a list that is too long, or within another");
                }
                (self.left, self.at) = (number.value, At::Start);
            }
            _ => self.end(),
        }
        Ok(())
    }

    fn end(&mut self) {
        self.left = self.left.saturating_sub(1);
        self.at = At::Start;
    }
}

impl Number {
    fn read(&mut self, byte: u8) {
        match byte {
            b'-' => self.is_negative = true,
            b'0'..=b'9' => {
                let digit = usize::from(byte - b'0');
                self.value = self.value.saturating_mul(10).saturating_add(digit);
            }
            _ => {}
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, out) {
            Poll::Ready(Ok(())) => {
                let followed = self.follow(&out.filled()[before..]);
                Poll::Ready(followed.map_err(|what| {
                    self.at = At::Over(what);
                    out.set_filled(before);
                    io::Error::new(io::ErrorKind::InvalidData, what)
                }))
            }
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt;

    use super::*;

    fn follow(pieces: &[&[u8]]) -> Result<(), &'static str> {
        let mut watched = Watched::new(());
        pieces.iter().try_for_each(|piece| watched.follow(piece))
    }

    #[test]
    fn what_our_questions_are_answered_with_passes() {
        for reply in [
            &b"+OK\r\n:12\r\n-NOSCRIPT No matching script.\r\n"[..],
            b"*3\r\n:1\r\n:12\r\n:500\r\n*3\r\n:0\r\n:0\r\n:0\r\n",
            b"$40\r\n0123456789012345678901234567890123456789\r\n$-1\r\n$0\r\n\r\n",
            b"*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n*-1\r\n*0\r\n+PONG\r\n",
        ] {
            assert_eq!(follow(&[reply]), Ok(()));
            let bytes: Vec<_> = reply.chunks(1).collect();
            assert_eq!(follow(&bytes), Ok(()));
        }
    }

    #[test]
    fn what_would_fill_memory_does_not() {
        let long = [&b"+"[..], &[b'a'; LONGEST + 1]].concat();
        for reply in [
            &b"$999999999\r\n"[..],
            b"$99999999999999999999999999\r\n",
            b"*1000000\r\n",
            b"*2\r\n*1\r\n",
            b"%1\r\n",
            b">3\r\n",
            b"HTTP/1.1 400 Bad Request\r\n",
            &long,
        ] {
            assert!(follow(&[reply]).is_err(), "{}", String::from_utf8_lossy(reply));
        }
    }

    #[tokio::test]
    async fn the_reader_gets_an_error_and_no_byte_of_it() {
        let mut watched = Watched::new(&b"+OK\r\n$5000\r\n"[..]);
        let mut got = Vec::new();
        let error = watched.read_to_end(&mut got).await.unwrap_err();
        assert_eq!((error.kind(), got.len()), (io::ErrorKind::InvalidData, 0));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_judged_alike(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'*'), Just(b'$'), Just(b'1')], 0..200),
            cut in 0usize..200,
        ) {
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(follow(&[first, second]).is_ok(), follow(&[&bytes]).is_ok());
        }
    }
}
