//! The service behind: a bounded pool of connections of our own.
//!
//! An HTTP/1.1 connection is polled by the request that uses it ([`lease::Lease`]), which is cheaper
//! than a task per connection and lets a leaving client take its upstream request with it. An HTTP/2
//! connection is shared, and driven by a task of the pool (`http2`). Promises: never more than
//! `max_connections` in use and idle together; a connection found dead at check-out gives the unsent
//! request back; a request that the upstream may have processed is never sent again.
//!
//! It knows nothing of routes, records or clients.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::breaker::Breaker;
use crate::config::model::{self, Scheme};
use crate::telemetry::metrics::{ActiveGuard, Metrics};

mod dial;
pub mod health;
pub mod http1;
mod http2;
pub mod lease;
pub mod outage;
mod retry;
pub mod send;
pub mod state;
mod stream;
mod tls;

use dial::{Dialler, Protocol};
use health::{Health, Verdict};
use http1::{Connection, Readiness};
use http2::exchange::Target;
use http2::{Found, Shared, Slot};
use lease::Lease;
use outage::Standing;
use retry::Retries;
use stream::Stream;

/// A connection that was given back in good order this recently is not looked at again before it is
/// used. Should it have died since, the request comes back unsent, as from any that dies just then.
const FRESH: Duration = Duration::from_millis(100);

/// How often the pool is looked after.
const TEND_INTERVAL: Duration = Duration::from_secs(1);

/// What the pool has beyond `max_idle` is closed once nobody has wanted it for so long. A crowd that is
/// larger than that would else have connections closed behind it and made anew before it, all the time.
const UNWANTED: Duration = TEND_INTERVAL;

/// The upstream and its pool.
#[derive(Debug)]
pub struct Upstream {
    dialler: Dialler,
    standing: Standing,
    connect_timeout: Duration,
    pool: model::Pool,
    idle: Mutex<Vec<Idle>>,
    free: Arc<Semaphore>,
    shared: Arc<Shared>,
    /// Whether the upstream speaks HTTP/1.1, as far as is known. With ALPN that is what it chose last.
    speaks_http1: AtomicBool,
    target: Target,
    metrics: Metrics,
    breaker: Breaker,
    health: Health,
    retries: Retries,
}

#[derive(Debug)]
struct Idle {
    /// Boxed, because a connection is several hundred bytes and changes hands thrice per request.
    connection: Box<Connection>,
    since: Instant,
    _counted: ActiveGuard,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoConnection {
    /// All connections are in use, and none came free within `queue_timeout`.
    Busy,
    /// The upstream did not accept one within `connect`.
    Unreachable,
    /// The TLS handshake failed, or took longer than what was left of `connect`.
    Tls,
    /// The upstream does not speak HTTP/2, though the url says so.
    WrongProtocol,
}

/// What a request is sent on.
#[derive(Debug)]
enum Line {
    /// A connection of its own.
    Http1(Lease),
    /// A stream of a shared one.
    Http2(Box<Slot>),
}

impl Upstream {
    /// An upstream without connections; they are made when they are needed.
    pub fn new(config: &model::Upstream, metrics: &Metrics) -> Self {
        Self {
            dialler: Dialler::new(config),
            standing: Standing::new(config.shown_url()),
            connect_timeout: config.timeouts.connect,
            pool: config.pool,
            idle: Mutex::default(),
            free: Arc::new(Semaphore::new(config.pool.max_connections)),
            shared: Arc::new(Shared::new(metrics)),
            speaks_http1: AtomicBool::new(config.scheme == Scheme::Http),
            target: Target {
                scheme: match config.scheme {
                    Scheme::Https => http::uri::Scheme::HTTPS,
                    Scheme::Http | Scheme::H2c => http::uri::Scheme::HTTP,
                },
                authority: config.authority.parse().ok(),
            },
            metrics: metrics.clone(),
            breaker: Breaker::new(config.breaker),
            health: Health::new(config),
            retries: Retries::new(config.retry),
        }
    }

    /// Checks a connection out: the idle one used last, else a new one; or a stream of a shared one.
    /// Waits up to `queue_timeout` for a free place and up to `connect` for the upstream.
    ///
    /// Cancel safe: a dropped call gives back what it holds.
    async fn check_out(self: &Arc<Self>, now: Instant) -> Result<Line, NoConnection> {
        if !self.speaks_http1.load(Ordering::Relaxed)
            && let Some(slot) = Box::pin(self.check_in()).await?
        {
            return Ok(slot);
        }
        let place = self.place().await?;
        match self.pop_idle(now) {
            Some(connection) => {
                Ok(Line::Http1(Lease::new(connection, self, place, Origin::Reused)))
            }
            // Rare, and too large to keep room for in every request.
            None => Box::pin(self.dial(place)).await,
        }
    }

    /// Whether a request would share a connection, where one of its own can be had: behind TLS, unless
    /// the upstream is known to speak HTTP/1.1 anyway.
    fn can_choose(&self) -> bool {
        !self.speaks_http1.load(Ordering::Relaxed) && self.target.scheme == http::uri::Scheme::HTTPS
    }

    /// Makes a new connection of HTTP/1.1, for a request that wants to switch protocols: HTTP/2 cannot.
    ///
    /// Cancel safe: a dropped call gives back what it holds.
    async fn check_out_alone(self: &Arc<Self>) -> Result<Line, NoConnection> {
        let place = self.place().await?;
        self.make_room();
        let began = Instant::now();
        let dialled = self.dialler.dial_http1(began + self.connect_timeout).await;
        let (stream, protocol) = self.note(dialled)?;
        if protocol != Protocol::Http1 {
            return Err(NoConnection::WrongProtocol);
        }
        self.metrics.upstream_connected(began.elapsed());
        Ok(self.lease(stream, place))
    }

    /// Closes a lease's connection and makes a new one in its place, so that a request that was let
    /// in need not queue again.
    ///
    /// Cancel safe: a dropped call gives the place back.
    async fn renew(self: &Arc<Self>, lease: Lease) -> Result<Line, NoConnection> {
        Box::pin(self.dial(lease.into_place())).await
    }

    /// What every HTTP/2 request to this upstream has in common.
    fn target(&self) -> &Target {
        &self.target
    }

    /// Looks after the pool until it is dropped: closes idle connections that have grown old, so that
    /// a quiet sidecar holds no half-closed sockets, asks an upstream that was not there whether it is
    /// there now, and asks for its health.
    pub async fn tend(self: &Arc<Self>) {
        tokio::join!(self.look_after(), health::watch(self));
    }

    async fn look_after(&self) {
        loop {
            self.reap();
            if !self.is_reachable() {
                let found = self.try_out(Instant::now() + self.connect_timeout).await;
                if self.note(found).is_ok() {
                    self.breaker.hope();
                }
            }
            sleep(TEND_INTERVAL).await;
        }
    }

    /// Closes the shared connections, once nothing runs on them any more; waits for that until
    /// `deadline`.
    pub async fn close(&self, deadline: Instant) {
        self.shared.close(deadline).await;
    }

    /// Who refuses while nobody gets a connection.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// What its health check said last; `None` where there is none.
    pub fn health(&self) -> Option<Verdict> {
        self.health.verdict()
    }

    fn reap(&self) {
        self.shared.reap(self.pool.idle_timeout, self.pool.max_idle);
        let old = {
            let mut idle = self.idle.lock();
            let mut surplus = idle.len().saturating_sub(self.pool.max_idle);
            // The one that was used last is the last, and the first to be used again.
            let (keep, old) = std::mem::take(&mut *idle).into_iter().partition(|idle| {
                let age = idle.since.elapsed();
                let is_unwanted = surplus > 0 && age >= UNWANTED;
                surplus -= usize::from(is_unwanted);
                !is_unwanted && age < self.pool.idle_timeout
            });
            *idle = keep;
            old
        };
        drop::<Vec<Idle>>(old); // Outside the lock: closing a socket is a system call.
    }

    /// Closes the idle connection that was used least recently, if the bound leaves no room for another
    /// one beside it. The place of that other one is taken already.
    fn make_room(&self) {
        let unused = {
            let mut idle = self.idle.lock();
            (idle.len() > self.free.available_permits()).then(|| idle.remove(0))
        };
        drop(unused);
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, NoConnection> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(place);
        }
        let place = timeout(self.pool.queue_timeout, Arc::clone(&self.free).acquire_owned());
        Box::pin(place).await.ok().and_then(Result::ok).ok_or(NoConnection::Busy)
    }

    fn pop_idle(&self, now: Instant) -> Option<Box<Connection>> {
        loop {
            let idle = self.idle.lock().pop()?;
            let (age, mut connection) =
                (now.saturating_duration_since(idle.since), idle.connection);
            if age < self.pool.idle_timeout
                && (age < FRESH || connection.readiness() == Readiness::Ready)
            {
                return Some(connection);
            }
        }
    }

    fn push_idle(&self, connection: Box<Connection>, now: Instant) {
        if self.pool.max_idle > 0 {
            let counted = self.metrics.upstream_idle();
            // There are never more than places: whoever gets the place of this one takes it, or another.
            self.idle.lock().push(Idle { connection, since: now, _counted: counted });
        }
    }

    /// Takes a stream of a shared connection, a new one where the others are full. `None` where the
    /// upstream turns out to speak HTTP/1.1.
    async fn check_in(self: &Arc<Self>) -> Result<Option<Line>, NoConnection> {
        let began = Instant::now();
        let mut failed_before = None;
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            changed.as_mut().enable(); // From here on, no change is missed.
            if self.speaks_http1.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let mut patience = self.pool.queue_timeout;
            match self.shared.find() {
                Found::Slot(slot) => return Ok(Some(Line::Http2(slot))),
                Found::Vacancy(dialling) => match Arc::clone(&self.free).try_acquire_owned() {
                    Ok(place) => {
                        let dialled = self.dial(place).await;
                        dialling.end(dialled.as_ref().err().copied());
                        return dialled.map(Some);
                    }
                    Err(_) => dialling.give_up(),
                },
                Found::Wait(failed) => {
                    let before = *failed_before.get_or_insert(failed);
                    if let Some(reason) = self.shared.failure_since(before) {
                        return Err(reason);
                    }
                    patience += self.connect_timeout;
                }
            }
            if timeout_at(began + patience, changed).await.is_err() {
                return Err(NoConnection::Busy);
            }
        }
    }

    async fn dial(self: &Arc<Self>, place: OwnedSemaphorePermit) -> Result<Line, NoConnection> {
        let began = Instant::now();
        let deadline = began + self.connect_timeout;
        let (stream, protocol) = self.persist(deadline).await?;
        self.speaks_http1.store(protocol == Protocol::Http1, Ordering::Relaxed);
        let line = match protocol {
            Protocol::Http1 => Ok(self.lease(stream, place)),
            Protocol::Http2 => self.shared.join(stream, place, deadline).await.map(Line::Http2),
        };
        let line = self.note(line);
        // Somebody who speaks something else was there all the same.
        if !matches!(line, Err(NoConnection::Unreachable)) {
            self.breaker.succeed();
        }
        if line.is_ok() {
            self.metrics.upstream_connected(began.elapsed());
        }
        line
    }

    fn lease(self: &Arc<Self>, stream: Stream, place: OwnedSemaphorePermit) -> Line {
        Line::Http1(Lease::new(Box::new(Connection::new(stream)), self, place, Origin::New))
    }

    /// Connects, in as many attempts as are allowed until `deadline`.
    async fn persist(&self, deadline: Instant) -> Result<(Stream, Protocol), NoConnection> {
        let (mut tried, mut retrying) = (0, None);
        loop {
            let reason = match self.dialler.dial(deadline).await {
                // Whether it will do is known once HTTP is spoken on it.
                Ok(dialled) => return Ok(dialled),
                Err(trouble) => {
                    let reason = trouble.reason();
                    self.standing.fail(trouble);
                    reason
                }
            };
            // A handshake that failed would fail again. Once the breaker is open, whoever still comes
            // is there to find out, and once is enough.
            let is_worth_it = reason == NoConnection::Unreachable && !self.breaker.refuses();
            let pause = self.retries.pause(tried).filter(|_| is_worth_it);
            let pause = pause.filter(|pause| Instant::now() + *pause < deadline).ok_or(reason)?;
            if retrying.is_none() {
                let under_way = self.pool.max_connections - self.free.available_permits();
                retrying = Some(self.retries.begin(under_way).ok_or(reason)?);
            }
            sleep(pause).await;
            tried += 1;
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.begin_to_close();
    }
}

/// Where a leased connection came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Connected for this request.
    New,
    /// Taken from the idle list: it may be dying just now.
    Reused,
}
