//! Between the socket and hyper: the clocks of a connection, and the judge of its bytes.
//!
//! hyper reads leniently, and answers what it cannot read with a bare status. Here only bytes that
//! [`Framing`] has judged go on, unchanged and **one message at a time**: the next head is not looked
//! at before the answer to the last has been flushed. So hyper never holds more than one message, a
//! refusal cannot overtake an answer, and what stands behind an upgrade is never read as HTTP.
//!
//! Every wait on the client's socket has a deadline: the first byte and the whole head, the pause
//! between two requests, a write that does not move. One lazily re-armed timer serves them all.
//!
//! What is judged is judged where it lies, in hyper's own buffer. The guard has a buffer only while it
//! holds something back: the beginning of a head, half a chunk-size line, a request that came early.
//!
//! It answers nothing. A refused head is answered by the owner of the connection ([`refused`]); a
//! body that breaks is an error of the request, and the service answers.

pub mod answering;
pub mod refused;
mod stream;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::time::Instant;

use crate::config::model::ServerLimits;
use crate::http::framing::{self, Framing, Refusal};
use crate::proxy::clock::Timer;
use crate::proxy::peer::Link;
use crate::server::pause::Pause;

/// How long a client is silent before its connection is parked, after one exchange or none.
const QUIET_AFTER_ONE: Duration = Duration::from_millis(50);
/// The same once it has come back before that: it is busy, and is looked at less often.
const QUIET_AFTER_MORE: Duration = Duration::from_millis(250);

/// A client's socket with clocks and a judge. hyper gets it inside a `TokioIo`.
#[derive(Debug)]
pub struct Guard<IO> {
    io: IO,
    link: Arc<Link>,
    framing: Framing,
    /// What came and did not go on: the first `judged` bytes may, the others have to wait.
    held: Vec<u8>,
    judged: usize,
    /// Bytes were added to `held` that nobody has looked at.
    has_news: bool,
    /// hyper has the head of the message, so its answer comes from there.
    is_given: bool,
    /// The answer to the message is out, down to its last byte.
    is_answered: bool,
    refusal: Option<Refusal>,
    /// Messages answered so far.
    turns: u32,
    reading: Reading,
    /// When a write began to wait.
    stalled_since: Option<Instant>,
    timer: Timer,
    limits: Clocks,
    /// How the client's side ended, where it ended in the middle of something.
    broken: Option<Broken>,
}

#[derive(Clone, Copy, Debug)]
struct Clocks {
    header: Duration,
    idle: Duration,
    write: Duration,
}

/// What the connection waits for from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// The first byte of the next head, until then; to be parked from `quiet_at` on, which is said once.
    /// The first head of all has been timed since the connection was accepted.
    Idle { until: Instant, is_first: bool, quiet_at: Option<Instant> },
    /// The rest of a head, until then.
    Head { until: Instant },
    /// An exchange is running; its own clocks rule.
    Exchange,
}

/// How a connection ended that the client broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It closed.
    Ended,
    /// It was too slow.
    TimedOut,
}

/// What is left of a connection that hyper is done with.
#[derive(Debug)]
pub struct Remains<IO> {
    /// The socket, open.
    pub io: IO,
    /// What the client sent and hyper did not get: the first bytes of a tunnel, or a head that was
    /// refused.
    pub unreleased: Vec<u8>,
    /// A refusal that nobody has answered yet.
    pub refusal: Option<Refusal>,
    /// The wait for the next head, where nothing of it has come.
    pub pause: Option<Pause>,
    /// The connection ended inside a head, and how.
    pub broken_head: Option<Broken>,
    /// The client may still be sending something that nobody will read.
    pub has_unread: bool,
}

impl<IO> Guard<IO> {
    /// Guards a connection on which the first byte of a head is waited for, as `pause` says.
    pub fn new(io: IO, link: &Arc<Link>, limits: &ServerLimits, pause: Pause) -> Self {
        let Pause { until, is_first } = pause;
        let quiet_at = Instant::now() + QUIET_AFTER_ONE;
        Self {
            io,
            link: Arc::clone(link),
            framing: Framing::new(framing::Limits {
                head_bytes: limits.max_header_bytes,
                fields: limits.max_headers,
                target_bytes: limits.max_uri_bytes,
            }),
            held: Vec::new(),
            judged: 0,
            has_news: false,
            is_given: false,
            is_answered: false,
            refusal: None,
            turns: 0,
            reading: Reading::Idle { until, is_first, quiet_at: Some(quiet_at) },
            stalled_since: None,
            timer: Timer::default(),
            limits: Clocks {
                header: limits.header_timeout,
                idle: limits.idle_timeout,
                write: limits.write_timeout,
            },
            broken: None,
        }
    }

    /// Gives the socket back, and tells what its owner has to do yet.
    pub fn finish(self) -> Remains<IO> {
        let is_in_head = self.framing.is_in_head() && framing::is_begun(&self.held);
        let pause = match self.reading {
            Reading::Idle { until, is_first, .. } if self.is_between() => {
                Some(Pause { until, is_first })
            }
            _ => None,
        };
        let is_open = !self.framing.is_in_head() && !self.framing.is_done();
        Remains {
            io: self.io,
            has_unread: self.refusal.is_some() || !self.held.is_empty() || is_open,
            refusal: self.refusal.filter(|_| !self.is_given),
            broken_head: self.broken.filter(|_| is_in_head && self.refusal.is_none()),
            pause,
            unreleased: self.held,
        }
    }

    /// Whether nothing of a message is here: none under way, none begun, none refused.
    fn is_between(&self) -> bool {
        self.framing.is_in_head() && self.held.is_empty() && self.refusal.is_none()
    }

    /// The message is complete and answered: the next may come.
    fn turn(&mut self) {
        self.framing.next();
        (self.is_given, self.is_answered) = (false, false);
        self.has_news = !self.held.is_empty();
        self.link.wait_in_line(false);
        self.turns += 1;
        self.rest();
    }

    fn rest(&mut self) {
        let now = Instant::now();
        let quiet_after = if self.turns > 1 { QUIET_AFTER_MORE } else { QUIET_AFTER_ONE };
        let (until, quiet_at) = (now + self.limits.idle, Some(now + quiet_after));
        self.reading = Reading::Idle { until, is_first: false, quiet_at };
    }

    /// Sets the clock by what the last bytes made of the message.
    fn follow(&mut self) {
        if !self.framing.is_in_head() {
            self.is_given = true;
            if self.is_answered {
                self.rest(); // The rest of a body that was answered early.
            } else {
                self.reading = Reading::Exchange;
            }
        } else if let Reading::Idle { until, is_first, .. } = self.reading {
            let until = if is_first { until } else { Instant::now() + self.limits.header };
            self.reading = Reading::Head { until };
        }
    }

    /// Judges what came last into hyper's buffer, behind `before`. What may not go on is taken out.
    fn judge(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let came = &buffer.filled()[before..];
        match self.framing.check(came) {
            Ok(passed) => {
                if passed < came.len() {
                    self.hold(passed, buffer, before);
                }
                self.follow();
            }
            Err(refusal) => {
                self.hold(0, buffer, before);
                self.refusal = Some(refusal);
            }
        }
    }

    /// The same for what is held.
    fn judge_held(&mut self) {
        self.has_news = false;
        match self.framing.check(&self.held) {
            Ok(passed) => {
                self.judged = passed;
                self.follow();
            }
            Err(refusal) => self.refusal = Some(refusal),
        }
    }

    /// Takes what came behind the first `passed` bytes out of hyper's buffer.
    fn hold(&mut self, passed: usize, buffer: &mut ReadBuf<'_>, before: usize) {
        self.held.extend_from_slice(&buffer.filled()[before + passed..]);
        buffer.set_filled(before + passed);
        if self.framing.is_done() {
            self.link.wait_in_line(true);
        }
    }

    /// Lets go on what may, as much as there is room for. The memory goes with the last byte.
    fn release(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.judged.min(buffer.remaining());
        buffer.put_slice(&self.held[..length]);
        self.judged -= length;
        if length == self.held.len() {
            self.held = Vec::new();
            return;
        }
        self.held.drain(..length);
        if self.framing.is_done() {
            self.link.wait_in_line(true);
        }
    }

    /// What hyper hears of a refusal. Without a message it sees an idle client that left; in the middle
    /// of one it sees bytes that are wrong.
    fn refuse(&self, refusal: Refusal) -> io::Result<()> {
        if !self.is_given {
            return Ok(());
        }
        self.link.break_request();
        Err(io::Error::new(io::ErrorKind::InvalidData, refusal.why))
    }

    fn poll_clocks(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let read = match self.reading {
            Reading::Idle { until, .. } | Reading::Head { until } => Some(until),
            // The usual case, and nothing to wait for.
            Reading::Exchange if self.stalled_since.is_none() => return Poll::Pending,
            Reading::Exchange => None,
        };
        let write = self.stalled_since.map(|since| since + self.limits.write);
        let late = [read, write].into_iter().flatten().min();
        let is_between = self.stalled_since.is_none() && self.is_between();
        if let Reading::Idle { quiet_at, .. } = &mut self.reading
            && let Some(quiet) = *quiet_at
            && late.is_some_and(|late| quiet < late)
            && is_between
        {
            self.timer.set(Some(quiet));
            ready!(self.timer.poll(cx));
            self.link.fall_quiet();
            // A clock that has run out wakes whoever sets it again.
            *quiet_at = None;
        }
        self.timer.set(late);
        ready!(self.timer.poll(cx));
        self.broken = Some(Broken::TimedOut);
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    fn watch_write(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled_since = None;
            return written;
        }
        self.stalled_since.get_or_insert_with(Instant::now);
        self.poll_clocks(cx).map(Err)
    }
}
