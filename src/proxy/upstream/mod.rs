//! The service behind: a bounded pool of HTTP/1.1 connections of our own.
//!
//! A connection is polled by the request that uses it ([`lease::Lease`]), which is cheaper than a
//! task per connection and lets a leaving client take its upstream request with it. Promises: never
//! more than `max_connections` in use and idle together; a connection found dead at check-out gives
//! the unsent request back; a request of which a byte may have been written is never sent again.
//!
//! It knows nothing of routes, records or clients. HTTP/2 and TLS have an issue of their own.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use super::breaker::Breaker;
use crate::config::model;
use crate::telemetry::metrics::{ActiveGuard, Metrics};

mod ear;
pub mod health;
pub mod lease;
mod retry;
pub mod send;

use health::{Health, Verdict};
use lease::{Connection, Lease};
use retry::Retries;

/// Response heads larger than this are refused as a protocol error.
const MAX_RESPONSE_HEAD: usize = 64 * 1024;
/// More header fields than this in a response are refused as a protocol error.
const MAX_RESPONSE_HEADERS: usize = 200;

/// A connection that was given back in good order this recently is not looked at again before it is
/// used. Should it have died since, the request comes back unsent, as from any that dies just then.
const FRESH: Duration = Duration::from_millis(100);

/// How often the pool is looked after.
const TEND_INTERVAL: Duration = Duration::from_secs(1);

/// The upstream and its pool.
#[derive(Debug)]
pub struct Upstream {
    host: String,
    address: Option<IpAddr>,
    port: u16,
    connect_timeout: Duration,
    pool: model::Pool,
    idle: Mutex<Vec<Idle>>,
    free: Arc<Semaphore>,
    metrics: Metrics,
    is_reachable: AtomicBool,
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
}

impl Upstream {
    /// An upstream without connections; they are made when they are needed.
    pub fn new(config: &model::Upstream, metrics: &Metrics) -> Self {
        Self {
            host: config.host.clone(),
            address: config.host.trim_matches(['[', ']']).parse().ok(),
            port: config.port,
            connect_timeout: config.timeouts.connect,
            pool: config.pool,
            idle: Mutex::default(),
            free: Arc::new(Semaphore::new(config.pool.max_connections)),
            metrics: metrics.clone(),
            is_reachable: AtomicBool::new(false),
            breaker: Breaker::new(config.breaker),
            health: Health::new(config),
            retries: Retries::new(config.retry),
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
    /// a quiet sidecar holds no half-closed sockets, asks an upstream that was not there whether it is
    /// there now, and asks for its health.
    pub async fn tend(self: &Arc<Self>) {
        tokio::join!(self.look_after(), health::watch(self));
    }

    async fn look_after(&self) {
        loop {
            self.reap();
            if !self.is_reachable() {
                // `connect` notes by itself what it finds.
                if let Ok(Ok(_)) = timeout(self.connect_timeout, self.connect()).await {
                    self.breaker.hope();
                }
            }
            sleep(TEND_INTERVAL).await;
        }
    }

    /// Whether the last attempt to connect succeeded. `false` before the first.
    pub fn is_reachable(&self) -> bool {
        self.is_reachable.load(Ordering::Relaxed)
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
        if let Ok(Ok(connection)) = timeout(self.connect_timeout, self.persist()).await {
            self.breaker.succeed();
            self.metrics.upstream_connected(began.elapsed());
            return Ok(Lease::new(Box::new(connection), self, place, Origin::New));
        }
        // A `connect` that its deadline cut could not note anything itself.
        self.is_reachable.store(false, Ordering::Relaxed);
        Err(NoConnection::Unreachable)
    }

    /// Makes a connection, in as many attempts as are allowed.
    async fn persist(&self) -> std::io::Result<Connection> {
        let (mut tried, mut retrying) = (0, None);
        loop {
            let error = match self.open().await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            // Once the breaker is open, whoever still comes is there to find out, and once is enough.
            let pause = self.retries.pause(tried).filter(|_| !self.breaker.refuses());
            let Some(pause) = pause else { return Err(error) };
            if retrying.is_none() {
                let under_way = self.pool.max_connections - self.free.available_permits();
                retrying = Some(self.retries.begin(under_way).ok_or(error)?);
            }
            sleep(pause).await;
            tried += 1;
        }
    }

    async fn open(&self) -> std::io::Result<Connection> {
        let stream = self.connect().await?;
        stream.set_nodelay(true)?;
        let (ear, mouth) = ear::listen(stream);
        let (sender, driver) = http1::Builder::new()
            .max_headers(MAX_RESPONSE_HEADERS)
            .max_header_size(MAX_RESPONSE_HEAD)
            .handshake(TokioIo::new(ear))
            .await
            .map_err(std::io::Error::other)?;
        Ok(Connection::new(sender, driver, mouth))
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let connected = match self.address {
            Some(ip) => TcpStream::connect(SocketAddr::new(ip, self.port)).await,
            None => TcpStream::connect((self.host.as_str(), self.port)).await,
        };
        self.is_reachable.store(connected.is_ok(), Ordering::Relaxed);
        connected
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
