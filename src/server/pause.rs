//! Waiting for the next head with nothing but the socket.
//!
//! hyper keeps about 16 KiB of buffers per connection and gives none back while it waits. So a
//! connection begins parked, and is parked again once its client has been silent for a moment between
//! two messages: hyper's state is gone then, and what is left is a socket and a deadline.
//!
//! It reads nothing: the bytes stay in the socket for whoever is built next.

use std::io;
use std::mem::MaybeUninit;
use std::pin::pin;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::socket::Stream;

/// The wait for the first byte of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// When the wait has been too long.
    pub until: Instant,
    /// Whether it is the connection's first head: then `until` is the deadline of the whole head.
    pub is_first: bool,
}

/// How a [`Pause`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// There are bytes to read, or an error.
    Readable,
    /// The client has closed.
    Gone,
    /// The client was silent for too long.
    Late,
    /// The house closes.
    Stopped,
}

impl Pause {
    /// Waits for the client. What the client has sent comes first, then the house's wish to close.
    /// Cancel safe.
    pub async fn wait(self, stream: &impl Parkable, stop: &CancellationToken) -> Sign {
        let stopped = pin!(stop.cancelled());
        tokio::select! {
            biased;
            // Looked at, not read. Readiness alone would not do: tokio assumes it of a new socket.
            seen = stream.carrier().peek() => match seen {
                Ok(0) => Sign::Gone,
                // An error of the socket is for its reader to tell.
                _ => Sign::Readable,
            },
            () = stopped => Sign::Stopped,
            () = sleep_until(self.until) => Sign::Late,
        }
    }
}

/// A stream whose client can be waited for on the socket that carries it.
///
/// It holds back nothing that it has read: with a read pending, all there is to come is in the socket.
pub trait Parkable {
    /// The socket underneath.
    fn carrier(&self) -> Carrier<'_>;
}

/// A socket of the system.
#[derive(Clone, Copy, Debug)]
pub enum Carrier<'a> {
    /// Over TCP.
    Tcp(&'a TcpStream),
    /// Within the machine.
    Unix(&'a UnixStream),
}

impl Parkable for TcpStream {
    fn carrier(&self) -> Carrier<'_> {
        Carrier::Tcp(self)
    }
}

impl Parkable for Stream {
    fn carrier(&self) -> Carrier<'_> {
        match self {
            Self::Tcp(tcp) => Carrier::Tcp(tcp),
            Self::Unix(unix) => Carrier::Unix(unix.socket()),
            Self::Tls(tls) => tls.get_ref().0.carrier(),
        }
    }
}

impl Carrier<'_> {
    /// How many bytes there are to read, 0 or 1, 0 being the end of file. Takes none away.
    async fn peek(self) -> io::Result<usize> {
        let mut byte = [MaybeUninit::uninit()];
        match self {
            Self::Tcp(tcp) => {
                tcp.async_io(Interest::READABLE, || SockRef::from(tcp).peek(&mut byte)).await
            }
            Self::Unix(unix) => {
                unix.async_io(Interest::READABLE, || SockRef::from(unix).peek(&mut byte)).await
            }
        }
    }
}
