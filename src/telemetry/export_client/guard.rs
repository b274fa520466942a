//! The connection to a collector, guarded against a peer that floods, and one that never reads.
//!
//! The parser above reads interim answers for as long as they come, and would hold its thread, which
//! serves requests too: so a connection gives way to others after each small piece, and ends when far
//! more comes than any answer has. A connection whose peer takes nothing for half a minute ends, too;
//! nobody waits for it any more, but its last bytes would keep it open for ever.
//!
//! It knows nothing of HTTP.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

/// What is read before others get their turn.
const PIECE: usize = 8 << 10;
/// What may come before we write again: an answer of 1 MiB, its head, and what TLS adds.
const MOST: usize = 4 << 20;
/// How long a peer may take nothing of what it is sent.
const STALL: Duration = Duration::from_secs(30);

/// Connects over TCP, whatever the scheme.
#[derive(Clone, Debug)]
pub(super) struct Connector(HttpConnector);

/// A guarded connection.
#[derive(Debug)]
pub(super) struct Guarded {
    tcp: TcpStream,
    /// Bytes that may still come.
    left: usize,
    /// Something was read; now it is the turn of others.
    has_read: bool,
    /// Since the peer takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
}

type Connecting<E> = Pin<Box<dyn Future<Output = Result<Guarded, E>> + Send>>;

impl Connector {
    pub(super) fn new() -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        Self(tcp)
    }
}

impl Service<Uri> for Connector {
    type Response = Guarded;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Connecting<Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move { Ok(Guarded::new(connecting.await?.into_inner())) })
    }
}

impl Guarded {
    fn new(tcp: TcpStream) -> Self {
        Self { tcp, left: MOST, has_read: false, stall: None }
    }

    /// What came of a write: a peer that has taken nothing for too long is gone.
    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            self.stall = None;
            self.left = MOST;
            return Poll::Ready(written);
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(STALL)));
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the collector reads nothing")))
    }
}

impl Connection for Guarded {
    fn connected(&self) -> Connected {
        self.tcp.connected()
    }
}

impl Read for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.has_read) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut bytes = [0; PIECE];
        let room = into.remaining().min(PIECE);
        let mut piece = ReadBuf::new(&mut bytes[..room]);
        ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut piece))?;
        let piece = piece.filled();
        let Some(left) = self.left.checked_sub(piece.len()) else {
            return Poll::Ready(Err(io::Error::other("the collector does not stop talking")));
        };
        self.left = left;
        self.has_read = !piece.is_empty();
        into.put_slice(piece);
        Poll::Ready(Ok(()))
    }
}

impl Write for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, slices);
        self.watch(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
