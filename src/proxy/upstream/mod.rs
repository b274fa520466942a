//! The service behind: a bounded pool of HTTP/1.1 connections of our own.
//!
//! A connection is polled by the request that uses it ([`lease::Lease`]), which is cheaper than a
//! task per connection and lets a leaving client take its upstream request with it. Promises: never
//! more than `max_connections` in use and idle together; a connection found dead at check-out gives
//! the unsent request back; a request of which a byte may have been written is never sent again.
//!
//! It knows nothing of routes, records or clients. HTTP/2 and TLS have an issue of their own.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use crate::config::model;
use crate::telemetry::metrics::{ActiveGuard, Metrics};

mod dial;
pub mod http1;
pub mod lease;
pub mod send;

use dial::Dialler;
use http1::Connection;
use lease::Lease;

/// A connection that was given back in good order this recently is not looked at again before it is
/// used. Should it have died since, the request comes back unsent, as from any that dies just then.
const FRESH: Duration = Duration::from_millis(100);

/// How often the pool is looked after.
const TEND_INTERVAL: Duration = Duration::from_secs(1);

/// The upstream and its pool.
#[derive(Debug)]
pub struct Upstream {
    dialler: Dialler,
    connect_timeout: Duration,
    pool: model::Pool,
    idle: Mutex<Vec<Idle>>,
    free: Arc<Semaphore>,
    metrics: Metrics,
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
}

impl Upstream {
    /// An upstream without connections; they are made when they are needed.
    pub fn new(config: &model::Upstream, metrics: &Metrics) -> Self {
        Self {
            dialler: Dialler::new(config),
            connect_timeout: config.timeouts.connect,
            pool: config.pool,
            idle: Mutex::default(),
            free: Arc::new(Semaphore::new(config.pool.max_connections)),
            metrics: metrics.clone(),
        }
    }

    /// Checks a connection out: the idle one used last, else a new one. Waits up to `queue_timeout`
    /// for a free place and up to `connect` for the upstream.
    ///
    /// Cancel safe: a dropped call gives back what it holds.
    pub async fn check_out(self: &Arc<Self>) -> Result<Lease, NoConnection> {
        let place = self.place().await?;
        match self.pop_idle() {
            Some(connection) => Ok(Lease::new(connection, self, place, Origin::Reused)),
            // Rare, and too large to keep room for in every request.
            None => Box::pin(self.dial(place)).await,
        }
    }

    /// Closes a lease's connection and makes a new one in its place, so that a request that was let
    /// in need not queue again.
    ///
    /// Cancel safe: a dropped call gives the place back.
    pub async fn renew(self: &Arc<Self>, lease: Lease) -> Result<Lease, NoConnection> {
        Box::pin(self.dial(lease.into_place())).await
    }

    /// Looks after the pool until it is dropped: closes idle connections that have grown old, so that
    /// a quiet sidecar holds no half-closed sockets, and asks an upstream that was not there whether
    /// it is there now.
    pub async fn tend(&self) {
        loop {
            self.reap();
            if !self.is_reachable() {
                // It notes by itself what it finds.
                drop(timeout(self.connect_timeout, self.dialler.connect()).await);
            }
            sleep(TEND_INTERVAL).await;
        }
    }

    /// Whether the last attempt to connect succeeded. `false` before the first.
    pub fn is_reachable(&self) -> bool {
        self.dialler.is_reachable()
    }

    fn reap(&self) {
        let old = {
            let mut idle = self.idle.lock();
            let (keep, old) = std::mem::take(&mut *idle)
                .into_iter()
                .partition(|idle| idle.since.elapsed() < self.pool.idle_timeout);
            *idle = keep;
            old
        };
        drop::<Vec<Idle>>(old); // Outside the lock: closing a socket is a system call.
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, NoConnection> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(place);
        }
        let place = timeout(self.pool.queue_timeout, Arc::clone(&self.free).acquire_owned());
        Box::pin(place).await.ok().and_then(Result::ok).ok_or(NoConnection::Busy)
    }

    fn pop_idle(&self) -> Option<Box<Connection>> {
        loop {
            let idle = self.idle.lock().pop()?;
            let (age, mut connection) = (idle.since.elapsed(), idle.connection);
            if age < self.pool.idle_timeout && (age < FRESH || connection.is_alive()) {
                return Some(connection);
            }
        }
    }

    fn push_idle(&self, connection: Box<Connection>) {
        let mut idle = self.idle.lock();
        if idle.len() < self.pool.max_idle {
            let counted = self.metrics.upstream_idle();
            idle.push(Idle { connection, since: Instant::now(), _counted: counted });
        }
    }

    async fn dial(self: &Arc<Self>, place: OwnedSemaphorePermit) -> Result<Lease, NoConnection> {
        let began = Instant::now();
        let dialled = timeout(self.connect_timeout, async {
            Connection::open(self.dialler.connect().await?).await
        });
        if let Ok(Ok(connection)) = dialled.await {
            self.metrics.upstream_connected(began.elapsed());
            return Ok(Lease::new(Box::new(connection), self, place, Origin::New));
        }
        // An attempt that its deadline cut could not note anything itself.
        self.dialler.note(false);
        Err(NoConnection::Unreachable)
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
