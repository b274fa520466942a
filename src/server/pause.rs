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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::server::socket::Unix;

    fn pause(wait: Duration) -> Pause {
        Pause { until: Instant::now() + wait, is_first: false }
    }

    async fn tcp() -> (TcpStream, Stream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, Stream::Tcp(listener.accept().await.unwrap().0))
    }

    #[tokio::test]
    async fn bytes_end_the_wait_and_stay_where_they_are() {
        let long = pause(Duration::from_mins(1));
        let open = CancellationToken::new();
        let (near, far) = UnixStream::pair().unwrap();
        let (tcp_client, tcp_server) = tcp().await;
        let pairs: [(Box<dyn tokio::io::AsyncWrite + Unpin>, Stream); 2] = [
            (Box::new(near), Stream::Unix(Box::new(Unix::new(far)))),
            (Box::new(tcp_client), tcp_server),
        ];
        for (mut client, mut server) in pairs {
            for word in [b"GET ", b"more"] {
                client.write_all(word).await.unwrap();
                assert_eq!(long.wait(&server, &open).await, Sign::Readable);
                let mut read = [0; 4];
                server.read_exact(&mut read).await.unwrap();
                assert_eq!(&read, word);
            }
            drop(client);
            assert_eq!(long.wait(&server, &open).await, Sign::Gone);
        }
    }

    #[tokio::test]
    async fn silence_ends_it_in_time() {
        let (_client, server) = tcp().await;
        let open = CancellationToken::new();
        assert_eq!(pause(Duration::from_millis(5)).wait(&server, &open).await, Sign::Late);
    }

    #[tokio::test]
    async fn a_closing_house_ends_it_but_bytes_that_came_go_first() {
        let (mut client, server) = tcp().await;
        let closing = CancellationToken::new();
        closing.cancel();
        let long = pause(Duration::from_mins(1));
        assert_eq!(long.wait(&server, &closing).await, Sign::Stopped);
        client.write_all(b"G").await.unwrap();
        assert_eq!(long.wait(&server, &CancellationToken::new()).await, Sign::Readable);
        assert_eq!(long.wait(&server, &closing).await, Sign::Readable);
    }
}
