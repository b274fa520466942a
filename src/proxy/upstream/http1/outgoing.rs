//! What is said to the upstream on a connection: a request's head, then the body.
//!
//! What goes out together is handed to the socket together: the head with the first of the body, a chunk
//! with its marks. Of a body no more than one frame is held, and none is asked for before the last one is
//! out. A body that is longer or shorter than its head said breaks the request, because what comes
//! behind it would be read as another one. Of trailers those are sent that the head announces (RFC 9110
//! §6.6.2): the reader of others could not know that they were none of the upstream's making.
//!
//! An upstream may answer early and close without reading the rest (RFC 9112 §9.6). Its answer then waits
//! in our receive buffer while our writes already fail. So a write that finds nobody there only ends the
//! sending, and reading decides: it yields the answer, or the end of the connection, which is certain to
//! come.

use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{HeaderMap, HeaderName, HeaderValue, TRAILER};
use http::request::Parts;
use http_body::{Body, Frame};
use tokio::io::AsyncWrite;

use super::Broken;
use crate::proxy::request_body::{BrokenRequest, RequestBody};
use crate::proxy::upstream::stream::Stream;

/// What most heads have room in, in bytes.
const HEAD: usize = 1024;
/// What goes behind a chunk.
const LINE_END: &[u8] = b"\r\n";
/// What goes behind the last chunk that has data.
const LAST_LINES: &[u8] = b"\r\n0\r\n\r\n";

/// Our side of a connection.
#[derive(Default)]
pub(super) struct Outgoing {
    /// What goes first: a head, or the mark before a chunk.
    front: Vec<u8>,
    /// How much of it has been written.
    written: usize,
    /// Some of the body.
    data: Bytes,
    /// What goes behind it.
    back: &'static [u8],
    /// What is left of the body.
    rest: Option<Rest>,
    progress: Progress,
}

/// A body being sent.
struct Rest {
    body: RequestBody,
    /// How much of an announced length is left; without one it goes in chunks.
    left: Option<u64>,
    /// The trailers that its head announces.
    announced: Vec<HeaderValue>,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    /// All of it has been written.
    #[default]
    Whole,
    /// It is being written.
    Sending,
    /// Nobody takes it any more.
    Refused,
}

impl Outgoing {
    /// Begins to send a request. Its head says how its body is framed.
    pub(super) fn begin(&mut self, head: &Parts, body: RequestBody) {
        self.front = Vec::with_capacity(HEAD);
        self.written = 0;
        write_head(head, &mut self.front);
        self.rest = (!body.is_end_stream()).then(|| {
            let left = body.size_hint().exact();
            let announced = match left {
                Some(_) => Vec::new(),
                None => head.headers.get_all(TRAILER).iter().cloned().collect(),
            };
            Rest { body, left, announced }
        });
        self.progress = Progress::Sending;
    }

    /// Whether all that was begun has been written.
    pub(super) fn is_whole(&self) -> bool {
        self.progress == Progress::Whole
    }

    /// Holds the body back no longer: the upstream has asked for it.
    pub(super) fn release(&mut self) {
        if let Some(rest) = &mut self.rest {
            rest.body.release();
        }
    }

    /// Sends on. Ready once there is nothing more to send, also where the upstream takes no more.
    pub(super) fn poll(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        while self.progress == Progress::Sending {
            let is_starved = self.data.is_empty() && self.back.is_empty() && self.rest.is_some();
            if is_starved {
                let is_idle = self.is_written();
                match self.poll_body(cx) {
                    Poll::Ready(taken) => taken?,
                    Poll::Pending if is_idle => {
                        // What TLS holds back is not to wait for a client.
                        let _later = Pin::new(&mut *stream).poll_flush(cx);
                        return Poll::Pending;
                    }
                    Poll::Pending => {}
                }
            }
            let done = match ready!(self.poll_write(stream, cx)) {
                Ok(()) if self.rest.is_some() => continue,
                Ok(()) => ready!(Pin::new(&mut *stream).poll_flush(cx)),
                Err(error) => Err(error),
            };
            self.progress = match done {
                Ok(()) => Progress::Whole,
                Err(error) if is_closed(&error) => Progress::Refused,
                Err(error) => return Poll::Ready(Err(Broken::Gone(error))),
            };
            self.front = Vec::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Whether nothing waits to be written.
    fn is_written(&self) -> bool {
        self.written == self.front.len() && self.data.is_empty() && self.back.is_empty()
    }

    /// Takes the next frame of the body, and puts its marks around it.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(Ok(())) };
        if self.written == self.front.len() {
            self.front.clear();
            self.written = 0;
        }
        let frame = ready!(Pin::new(&mut rest.body).poll_frame(cx));
        Poll::Ready(self.take(frame))
    }

    fn take(&mut self, frame: Option<Result<Frame<Bytes>, BrokenRequest>>) -> Result<(), Broken> {
        let frame = frame.transpose().map_err(|_its_meter_says_why| Broken::Request)?;
        match frame.map(Frame::into_data) {
            Some(Ok(data)) => self.take_data(data),
            Some(Err(frame)) => self.end_body(frame.into_trailers().ok()),
            None => self.end_body(None),
        }
    }

    fn take_data(&mut self, data: Bytes) -> Result<(), Broken> {
        let Some(Rest { body, left, .. }) = &mut self.rest else { return Ok(()) };
        if data.is_empty() {
            return Ok(()); // As a chunk it would be the last.
        }
        let is_last = body.is_end_stream();
        if let Some(left) = left {
            *left = left.checked_sub(data.len() as u64).ok_or(Broken::Request)?;
            self.data = data;
            return if is_last { self.end_body(None) } else { Ok(()) };
        }
        write_size(data.len(), &mut self.front);
        self.data = data;
        self.back = LINE_END;
        if is_last {
            (self.back, self.rest) = (LAST_LINES, None);
        }
        Ok(())
    }

    fn end_body(&mut self, trailers: Option<HeaderMap>) -> Result<(), Broken> {
        let Some(Rest { left, announced, .. }) = self.rest.take() else { return Ok(()) };
        match left {
            Some(0) => {}
            Some(_) => return Err(Broken::Request),
            None => {
                self.front.extend_from_slice(b"0\r\n");
                write_fields(&only(&announced, &trailers.unwrap_or_default()), &mut self.front);
            }
        }
        Ok(())
    }

    fn poll_write(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_written() {
            let front = self.front.get(self.written..).unwrap_or_default();
            let written = if self.data.is_empty() && self.back.is_empty() {
                Pin::new(&mut *stream).poll_write(cx, front)
            } else {
                let slices = [front, &self.data, self.back].map(IoSlice::new);
                Pin::new(&mut *stream).poll_write_vectored(cx, &slices)
            };
            let mut written = ready!(written)?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let of_front = written.min(front.len());
            self.written += of_front;
            written -= of_front;
            let of_data = written.min(self.data.len());
            self.data.advance(of_data);
            self.back = self.back.get(written - of_data..).unwrap_or_default();
        }
        Poll::Ready(Ok(()))
    }
}

/// Those trailers that were announced.
fn only(announced: &[HeaderValue], trailers: &HeaderMap) -> HeaderMap {
    let is_announced = |name: &HeaderName| {
        let items = announced.iter().flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
        items
            .into_iter()
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
    };
    let mut passing = HeaderMap::new();
    for name in trailers.keys().filter(|name| is_announced(name)) {
        for value in trailers.get_all(name) {
            passing.append(name, value.clone());
        }
    }
    passing
}

/// Whether an upstream has closed its side.
fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Writes the head of a request. Its target is in origin form, or `*`.
fn write_head(head: &Parts, out: &mut Vec<u8>) {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    if target.starts_with('?') {
        out.push(b'/'); // `http` leaves an empty path out.
    }
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_fields(&head.headers, out);
}

/// Writes fields, and the empty line behind them.
fn write_fields(fields: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in fields {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        out.reserve(name.len() + value.len() + 6);
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the mark before a chunk (RFC 9112 §7.1).
fn write_size(size: usize, out: &mut Vec<u8>) {
    let _to_memory = write!(out, "{size:x}\r\n");
}
