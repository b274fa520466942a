//! Who connected, and the line between a connection and the exchange on it.
//!
//! The socket's clocks must know whether an exchange is running (then the exchange's own clocks
//! rule), and an exchange must be able to use the connection's one timer. [`Link`] is that line.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};

use http::HeaderValue;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::clock::Timer;
use super::request_body::Meter;
use crate::config::model::UNIX_PEER;
use crate::http::forwarded;

/// The client's end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address, with IPv4-mapped addresses made IPv4.
    pub ip: IpAddr,
    /// The address as `X-Forwarded-For` shows it; none where it came over a Unix socket.
    pub address: Option<HeaderValue>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The line to its connection.
    pub link: Arc<Link>,
    /// The meter of each request of its that has no body, the usual case.
    pub no_body: Arc<Meter>,
}

impl Peer {
    /// A client at this address, over the connection at the other end of `link`.
    pub fn new(ip: IpAddr, scheme: &'static str, link: Arc<Link>) -> Self {
        let address = (ip != UNIX_PEER).then(|| forwarded::address_value(ip));
        Self { ip: ip.to_canonical(), address, scheme, link, no_body: Arc::default() }
    }

    /// The same client, for a stream with a line of its own.
    #[must_use]
    pub fn with_link(&self, link: Arc<Link>) -> Self {
        Self { link, ..self.clone() }
    }
}

/// What a connection and its exchanges tell each other.
#[derive(Debug, Default)]
pub struct Link {
    running: AtomicU32,
    heads: AtomicU32,
    has_unread: AtomicBool,
    timer: Mutex<Timer>,
}

impl Link {
    /// Notes that a head has been parsed and an exchange begun; it runs until the guard drops.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.heads.fetch_add(1, Ordering::Relaxed);
        // There is a next head, so what was left unread has been thrown away.
        self.has_unread.store(false, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Whether an exchange is running.
    pub fn is_busy(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0
    }

    /// How many heads were parsed so far.
    pub fn heads(&self) -> u32 {
        self.heads.load(Ordering::Relaxed)
    }

    /// Notes that part of a request body will not be read: the connection cannot go on, and closing
    /// it needs care.
    pub fn leave_unread(&self) {
        self.has_unread.store(true, Ordering::Relaxed);
    }

    /// Whether part of a request body was left unread.
    pub fn has_unread(&self) -> bool {
        self.has_unread.load(Ordering::Relaxed)
    }

    /// Polls the connection's timer for `due`; see [`Timer::poll`].
    pub fn poll_due(&self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = due else { return Poll::Pending };
        let mut timer = self.timer.lock();
        timer.set(Some(due));
        timer.poll(cx)
    }
}

/// A running exchange on a [`Link`].
#[derive(Debug)]
pub struct Busy(Arc<Link>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}
