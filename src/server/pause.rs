//! Waiting for the next head with nothing but the socket.
//!
//! hyper keeps about 16 KiB of buffers per connection and gives none back while it waits. So a
//! connection begins parked, and is parked again once its client has been silent for a moment between
//! two messages: hyper's state is gone then, and what is left is a socket and a deadline.
//!
//! It reads nothing: the bytes stay in the socket for whoever is built next.

use std::pin::pin;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

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
    pub async fn wait(self, stream: &TcpStream, stop: &CancellationToken) -> Sign {
        let (mut byte, stopped) = ([0], pin!(stop.cancelled()));
        tokio::select! {
            biased;
            // Looked at, not read. Readiness alone would not do: tokio assumes it of a new socket.
            seen = stream.peek(&mut byte) => match seen {
                Ok(0) => Sign::Gone,
                // An error of the socket is for its reader to tell.
                _ => Sign::Readable,
            },
            () = stopped => Sign::Stopped,
            () = sleep_until(self.until) => Sign::Late,
        }
    }
}
