//! Who connected, and the line between a connection and the exchange on it.
//!
//! The socket's guard must know when an answer is over, an exchange must know that the client's bytes
//! broke a rule, and both use the connection's one timer. [`Link`] is that line.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};

use http::HeaderValue;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::clock::Timer;
use super::identity::Certified;
use super::request_body::Meter;
use super::tunnel::Tunnel;
use crate::config::model::UNIX_PEER;
use crate::http::forwarded;
use crate::http::sanitise::UserAgent;

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
    /// What its certificate says, where certificates are asked who calls.
    pub certified: Option<Arc<Certified>>,
    /// Where a tunnel waits for the connection's socket.
    pub tunnel: Handover,
}

impl Peer {
    /// A client at this address, over the connection at the other end of `link`.
    pub fn new(ip: IpAddr, scheme: &'static str, link: Arc<Link>) -> Self {
        let address = (ip != UNIX_PEER).then(|| forwarded::address_value(ip));
        let tunnel = Handover::default();
        let no_body = Arc::default();
        let certified = None;
        Self { ip: ip.to_canonical(), address, scheme, link, no_body, certified, tunnel }
    }

    /// The same client, for a stream with a line of its own.
    #[must_use]
    pub fn with_link(&self, link: Arc<Link>) -> Self {
        Self { link, ..self.clone() }
    }
}

/// Where the exchange that switched protocols leaves its tunnel, and the connection's owner finds it
/// once hyper has written the 101. Not part of the [`Link`], which the exchange in the tunnel holds:
/// a tunnel that nobody takes must end with its connection.
#[derive(Debug, Default)]
pub struct Handover(Mutex<Option<Box<Tunnel>>>);

impl Handover {
    /// Leaves a tunnel.
    pub fn leave(&self, tunnel: Tunnel) {
        *self.0.lock() = Some(Box::new(tunnel));
    }

    /// Takes what was left.
    pub fn take(&self) -> Option<Box<Tunnel>> {
        self.0.lock().take()
    }
}

impl Clone for Handover {
    /// An empty one: a tunnel belongs to one connection.
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// What a connection and its exchanges tell each other.
#[derive(Debug, Default)]
pub struct Link {
    running: AtomicU32,
    has_unread: AtomicBool,
    is_quiet: AtomicBool,
    is_answered: AtomicBool,
    is_waited_for: AtomicBool,
    is_broken: AtomicBool,
    timer: Mutex<Timer>,
    /// The last user agent, sanitised.
    agent: Mutex<Option<UserAgent>>,
}

impl Link {
    /// Notes that a head has been parsed and an exchange begun; it runs until the guard drops.
    pub fn begin(self: &Arc<Self>) -> Busy {
        // There is a next head, so what was left unread has been thrown away.
        self.has_unread.store(false, Ordering::Relaxed);
        self.is_quiet.store(false, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Whether an exchange is running.
    fn is_busy(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0
    }

    /// Notes that hyper has the whole of an answer, or will not ask for more of it.
    pub fn note_answered(&self) {
        self.is_answered.store(true, Ordering::Relaxed);
    }

    /// Whether an answer came to its end since this was asked last.
    pub fn take_answered(&self) -> bool {
        // The usual answer is no, and a look costs less than an exchange.
        self.is_answered.load(Ordering::Relaxed) && self.is_answered.swap(false, Ordering::Relaxed)
    }

    /// Notes whether a request that came early waits for the end of this answer.
    pub fn wait_in_line(&self, is_waiting: bool) {
        self.is_waited_for.store(is_waiting, Ordering::Relaxed);
    }

    /// Whether a request waits for the end of this answer.
    pub fn is_waited_for(&self) -> bool {
        self.is_waited_for.load(Ordering::Relaxed)
    }

    /// Notes that the client's bytes broke a rule in the middle of a request. Nothing more can be read
    /// from this connection.
    pub fn break_request(&self) {
        self.is_broken.store(true, Ordering::Relaxed);
    }

    /// Whether the client's bytes broke a rule in the middle of a request.
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
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

    /// A user agent as telemetry may carry it. A client names the same one with every request, so
    /// the work is done once per connection.
    pub fn agent(&self, sent: &HeaderValue) -> UserAgent {
        let mut known = self.agent.lock();
        // Nothing in a sanitised agent needs to be sanitised again, so an equal one is known.
        match &*known {
            Some(agent) if agent.as_bytes() == sent.as_bytes() => agent.clone(),
            _ => known.insert(UserAgent::sanitised(sent.as_bytes())).clone(),
        }
    }

    /// Notes that the client has been silent between two messages for long enough to be parked.
    pub fn fall_quiet(&self) {
        self.is_quiet.store(true, Ordering::Relaxed);
    }

    /// Whether the client is silent between two messages: nothing runs, and nothing is left to read
    /// of the request before.
    pub fn is_quiet(&self) -> bool {
        self.is_quiet.load(Ordering::Relaxed) && !self.is_busy() && !self.has_unread()
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
