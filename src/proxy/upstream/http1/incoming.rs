//! What the upstream says on a connection: its answer's head, then the body.
//!
//! Bytes are read once, into a buffer that is there only while something is in it, and cut into values
//! and frames without being copied. How much is read at once grows with what comes.
//!
//! It judges how an answer is framed, and nothing that an answer says.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};
use tokio_util::io::poll_read_buf;

use crate::http::answer::chunks::{Chunks, Piece};
use crate::http::answer::head::{self, Head};
use crate::http::answer::scan::Scan;
use crate::http::answer::{Framing, Malformed};
use crate::proxy::upstream::stream::Stream;

/// The heads of an answer, interim ones included, may have so many bytes together.
pub(in super::super) const MAX_HEAD: usize = 64 * 1024;
/// Interim answers before the final one; RFC 9110 §15.2 names no bound, and more than a few are a loop.
const MAX_INTERIM: u8 = 16;
/// What the first read of an answer has room for, in bytes.
const FIRST_READ: usize = 8 * 1024;
/// What a read has room for at most. Where the client reads slowly, one such read waits for it; smaller
/// ones cost big bodies more CPU than they save.
const LARGEST_READ: usize = 256 * 1024;

/// The upstream's side of a connection.
pub(super) struct Incoming {
    /// What has been read and not been taken.
    buffer: BytesMut,
    /// What the next read has room for.
    room: usize,
    part: Part,
    /// Whether another answer may follow this one.
    stays: bool,
    awaited: Awaited,
}

/// What comes next.
enum Part {
    /// Nothing: no answer is owed.
    Nothing,
    /// The head of an answer.
    Head,
    /// So many bytes of a body.
    Sized(u64),
    /// A body in chunks.
    Chunked(Chunks),
    /// A body that ends with its connection.
    UntilClose,
    /// Another protocol's bytes.
    Switched,
}

/// A head that has not come yet.
struct Awaited {
    scan: Scan,
    /// What interim heads have left of [`MAX_HEAD`].
    left: usize,
    interim: u8,
    /// Whether HEAD was asked, whose answer has no body.
    is_bodiless: bool,
    /// Where its fields go.
    headers: HeaderMap,
}

impl Default for Incoming {
    fn default() -> Self {
        Self {
            buffer: BytesMut::new(),
            room: FIRST_READ,
            part: Part::Nothing,
            stays: true,
            awaited: Awaited::new(false, HeaderMap::new()),
        }
    }
}

impl Awaited {
    fn new(is_bodiless: bool, headers: HeaderMap) -> Self {
        Self { scan: Scan::new(MAX_HEAD), left: MAX_HEAD, interim: 0, is_bodiless, headers }
    }
}

impl Incoming {
    /// An answer is owed from here on. The fields of its head go where those of `headers` were.
    pub(super) fn await_head(&mut self, is_bodiless: bool, mut headers: HeaderMap) {
        headers.clear();
        self.awaited = Awaited::new(is_bodiless, headers);
        self.part = Part::Head;
        self.room = FIRST_READ;
    }

    /// Whether no more of an answer is to come.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.part, Part::Nothing)
    }

    /// Whether the connection can carry another answer: nothing stands behind the last one.
    pub(super) fn is_reusable(&self) -> bool {
        self.stays && self.is_over() && self.buffer.is_empty()
    }

    /// Reads what is there. Returns how many bytes came; none means that no more will come.
    pub(super) fn poll_fill(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        // Asked before there is a buffer: most of those who wait would have one for nothing.
        if stream.poll_read_ready(cx)?.is_pending() {
            self.let_go();
            return Poll::Pending;
        }
        let spare = self.buffer.capacity() - self.buffer.len();
        if spare < self.room / 2 {
            self.buffer.reserve(self.room);
        }
        let spare = self.buffer.capacity() - self.buffer.len();
        let read = poll_read_buf(Pin::new(stream), cx, &mut self.buffer);
        if let Poll::Ready(Ok(length)) = read {
            if length >= spare {
                self.room = LARGEST_READ.min(self.room * 2);
            } else if length < self.room / 4 {
                self.room = FIRST_READ.max(self.room / 2);
            }
        } else {
            self.let_go();
        }
        read
    }

    /// Gives the buffer back, if nothing is in it.
    fn let_go(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > 0 {
            self.buffer = BytesMut::new();
        }
    }

    /// Takes the final head, once it has come. `go_on` is called for a 100.
    pub(super) fn take_head(&mut self, mut go_on: impl FnMut()) -> Result<Option<Head>, Malformed> {
        let awaited = &mut self.awaited;
        while matches!(self.part, Part::Head) {
            let Some(end) = awaited.scan.find_end(&self.buffer)? else {
                // Somebody who speaks something else may never come to an end.
                return if head::is_begun(&self.buffer) { Ok(None) } else { Err(Malformed::Line) };
            };
            let bytes = self.buffer.split_to(end).freeze();
            let mut head = head::parse(&bytes, std::mem::take(&mut awaited.headers))?;
            // A 101 is the last answer of its protocol.
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                let is_bodiless = awaited.is_bodiless;
                self.begin_body(&head, is_bodiless);
                return Ok(Some(head));
            }
            awaited.interim += 1;
            if awaited.interim > MAX_INTERIM {
                return Err(Malformed::TooManyInterim);
            }
            if head.status == StatusCode::CONTINUE {
                go_on();
            }
            head.headers.clear();
            awaited.headers = head.headers;
            awaited.left -= end;
            awaited.scan = Scan::new(awaited.left);
        }
        Ok(None)
    }

    /// The end of the body, by RFC 9112 §6.3.
    fn begin_body(&mut self, head: &Head, is_bodiless: bool) {
        use StatusCode as Is;
        self.stays = head.keeps_alive;
        self.part = match (head.status, head.framing) {
            (Is::SWITCHING_PROTOCOLS, _) => Part::Switched,
            (Is::NO_CONTENT | Is::NOT_MODIFIED, _) | (_, Framing::Sized(0)) => Part::Nothing,
            _ if is_bodiless => Part::Nothing,
            (_, Framing::Sized(length)) => {
                let length_here = usize::try_from(length).unwrap_or(usize::MAX);
                self.room = length_here.clamp(FIRST_READ, LARGEST_READ);
                Part::Sized(length)
            }
            (_, Framing::Chunked) => Part::Chunked(Chunks::default()),
            (_, Framing::Open) => Part::UntilClose,
        };
    }

    /// Takes the next of the body, of what has been read.
    pub(super) fn take_frame(&mut self) -> Result<Option<Frame<Bytes>>, Malformed> {
        let buffer = &mut self.buffer;
        let frame = match &mut self.part {
            Part::Chunked(chunks) => {
                let piece = chunks.next(buffer)?;
                if chunks.is_done() {
                    self.part = Part::Nothing;
                }
                piece.map(|piece| match piece {
                    Piece::Data(data) => Frame::data(data),
                    Piece::Trailers(trailers) => Frame::trailers(trailers),
                })
            }
            _ if buffer.is_empty() => None,
            Part::Sized(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                let data = buffer.split_to(length).freeze();
                *left -= length as u64;
                if *left == 0 {
                    self.part = Part::Nothing;
                }
                Some(Frame::data(data))
            }
            Part::UntilClose => Some(Frame::data(buffer.split().freeze())),
            Part::Nothing | Part::Head | Part::Switched => None,
        };
        Ok(frame)
    }

    /// Takes note that no more will come. Returns whether that is how the body ends.
    pub(super) fn ends_with_the_connection(&mut self) -> bool {
        let is_the_end = matches!(self.part, Part::UntilClose);
        if is_the_end {
            (self.part, self.stays) = (Part::Nothing, false);
        }
        is_the_end
    }

    /// Whether there is a buffer.
    #[cfg(test)]
    pub(super) fn holds_a_buffer(&self) -> bool {
        self.buffer.capacity() > 0
    }

    /// How much of the body is still to come.
    pub(super) fn size_hint(&self) -> SizeHint {
        match &self.part {
            Part::Nothing => SizeHint::with_exact(0),
            Part::Sized(left) => SizeHint::with_exact(*left),
            _ => SizeHint::default(),
        }
    }

    /// What stands behind a 101. `None` where there was none.
    pub(super) fn into_early(self) -> Option<Bytes> {
        matches!(self.part, Part::Switched).then(|| self.buffer.freeze())
    }
}
