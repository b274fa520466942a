//! The guard as hyper sees it: a stream of bytes that have been judged.
//!
//! Reading gives what may go on and waits for what may not; writing passes through and is timed. While an
//! exchange runs, hyper does not read (`half_close`): it would make room for another head each time, beside
//! the one that is in use. It flushes and writes, and that is when the guard looks whether the client is
//! still there. What the bytes mean and which clock runs is decided in the parent.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Broken, Guard, Reading};

/// How much is read of what comes before the last request is answered, in bytes. A client that sent more
/// is not seen leaving before that answer.
const EARLY: usize = 4 * 1024;

impl<IO: AsyncRead + Unpin> AsyncRead for Guard<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        loop {
            if this.judged > 0 {
                this.release(buffer);
                return Poll::Ready(Ok(()));
            }
            if let Some(refusal) = this.refusal {
                return Poll::Ready(this.refuse(refusal));
            }
            if this.framing.is_done() {
                if this.is_answered {
                    this.turn();
                } else if !this.held.is_empty() {
                    return Poll::Pending; // Enough was read ahead. The flush of the answer wakes us.
                }
            }
            if this.has_news {
                this.judge_held();
                continue;
            }
            match Pin::new(&mut this.io).poll_read(cx, buffer) {
                Poll::Pending => return this.poll_clocks(cx).map(Err),
                Poll::Ready(Err(error)) => {
                    this.broken = Some(Broken::Ended);
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Ok(())) if buffer.filled().len() == before => {
                    this.broken = Some(Broken::Ended);
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(())) if this.framing.is_done() => this.hold(0, buffer, before),
                Poll::Ready(Ok(())) if !this.held.is_empty() => {
                    this.hold(0, buffer, before);
                    this.has_news = true;
                }
                Poll::Ready(Ok(())) => {
                    this.judge(buffer, before);
                    if buffer.filled().len() > before {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl<IO: AsyncRead + Unpin> Guard<IO> {
    fn settle_write(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match self.watch_write(written, cx) {
            // Nothing is flushed meanwhile.
            Poll::Pending if self.reading == Reading::Exchange => self.poll_departure(cx).map(Err),
            settled => settled,
        }
    }

    /// Ready once the client has left the exchange that runs, with how hyper hears of it. What comes early
    /// is held back: the line feed that some clients leave behind a body, or the next request. Behind so
    /// much of it nothing is looked for.
    fn poll_departure(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if !self.framing.is_done() || self.is_answered {
            return Poll::Pending;
        }
        while let Some(left @ 1..) = EARLY.checked_sub(self.held.len()) {
            let mut room = [MaybeUninit::uninit(); EARLY];
            let mut early = ReadBuf::uninit(&mut room[..left]);
            let error = match ready!(Pin::new(&mut self.io).poll_read(cx, &mut early)) {
                Ok(()) if early.filled().is_empty() => io::ErrorKind::UnexpectedEof.into(),
                Ok(()) => {
                    self.hold(0, &mut early, 0);
                    continue;
                }
                Err(error) => error,
            };
            self.broken = Some(Broken::Ended);
            return Poll::Ready(error);
        }
        Poll::Pending
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.settle_write(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        this.settle_write(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper flushes once all it had has been written. If the answer's body is gone by then, the answer
    /// is out. While its last read still waits, hyper does not read again, but it flushes: so the
    /// clock of the pause starts here, and a request that came early is announced here.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        if flushed.is_ready() && this.link.take_answered() {
            this.is_answered = true;
            if this.framing.is_done() {
                this.turn();
                if this.has_news {
                    cx.waker().wake_by_ref();
                }
            } else {
                this.rest();
            }
        }
        let broken = match this.reading {
            Reading::Idle { .. } => this.poll_clocks(cx),
            Reading::Head { .. } => Poll::Pending,
            Reading::Exchange => this.poll_departure(cx),
        };
        match broken {
            Poll::Ready(error) => Poll::Ready(Err(error)),
            Poll::Pending => flushed,
        }
    }

    /// Only flushes: the owner of the connection closes the socket, after answering or lingering if it
    /// must.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }
}
