//! The doors for operators and scrapers: health, metrics, status, what became of an exchange,
//! drain, reload.
//!
//! Each door is a listener of its own with at most 64 connections, of which the oldest makes room for a
//! newcomer, a deadline on every head and a short life for every connection. All tasks belong to [`serve`] and have ended when it returns.
//!
//! Nothing here is on the way of a client's request, and nothing here speaks TLS.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::Request;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

mod answer;
mod gate;
mod health;
mod router;
#[cfg(test)]
mod tests;

pub use health::{Health, Probe, Readiness};

use super::reload;
use crate::secret::Secret;
use crate::telemetry::metrics::Metrics;

/// Which door a listener is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `[admin] listen`: everything, behind a Host check and, where there is one, a token.
    Operators,
    /// `[metrics] listen`: `/metrics` and the health pages, open to whoever can connect.
    Scrapers,
}

/// Finds the document of an exchange by its request id.
pub type Explain = Box<dyn Fn(&str) -> Option<serde_json::Value> + Send + Sync>;

/// What the doors look into.
pub struct House {
    /// The numbers.
    pub metrics: Metrics,
    /// Whether we are well.
    pub health: Arc<Health>,
    /// Makes the document of `/status`. Takes a snapshot; must not wait.
    pub status: Box<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// Makes the document of `/explain/{request-id}`, where that exchange is remembered. Must not wait.
    pub explain: Explain,
    /// Cancelled by `POST /drain`.
    pub drain: CancellationToken,
    /// Asked by `POST /reload`.
    pub reload: reload::Handle,
    /// What every request at [`Door::Operators`] must carry, where set. A reload may change it.
    pub token: ArcSwapOption<Secret>,
}

impl std::fmt::Debug for House {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("House").field("health", &self.health).finish_non_exhaustive()
    }
}

/// Connections a door holds at once. One more ends the oldest: answers take milliseconds, so that is one
/// that has nothing to ask, and clients that keep silent cannot keep a kubelet's probe out.
const MAX_CONNECTIONS: usize = 64;
/// For a whole head. Short, because half heads must not keep a kubelet out for long.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of a head.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// After this a connection ends with its current answer, so that an idle or stuck client cannot
/// keep a place. Longer than any usual scrape interval is not needed: connecting again is cheap.
const LIFETIME: Duration = Duration::from_mins(1);
/// For the last answer of a connection that is asked to end.
const GRACE: Duration = Duration::from_secs(2);
/// Before trying again when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves a door until `stop` is cancelled, then lets running answers end for two seconds.
///
/// Dropping the future closes the door and every connection at once.
pub async fn serve(listener: TcpListener, door: Door, house: Arc<House>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    let mut oldest_first = VecDeque::<AbortHandle>::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            stream = accept(&listener) => {
                oldest_first.retain(|connection| !connection.is_finished());
                if oldest_first.len() >= MAX_CONNECTIONS && let Some(oldest) = oldest_first.pop_front() {
                    oldest.abort();
                }
                let visit = Visit { house: Arc::clone(&house), door, local: local_ip(&stream) };
                oldest_first.push_back(connections.spawn(hold(stream, visit, stop.clone())));
            }
        }
    }
    drop(listener);
    let ended = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        connections.shutdown().await;
    }
}

/// One connection's view: the house, through which door, at which of our addresses.
#[derive(Debug)]
struct Visit {
    house: Arc<House>,
    door: Door,
    local: Option<IpAddr>,
}

/// Lets the next client in. Cancel safe.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

fn local_ip(stream: &TcpStream) -> Option<IpAddr> {
    stream.local_addr().ok().map(|address| address.ip().to_canonical())
}

async fn hold(stream: TcpStream, visit: Visit, stop: CancellationToken) {
    let visit = &visit;
    let service = service_fn(move |request: Request<Incoming>| {
        let request = request.map(|body| body.size_hint()); // A body is only measured.
        async move { Ok::<_, Infallible>(router::answer(visit, &request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // A client that breaks off or sends nonsense is its own affair.
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = sleep(LIFETIME) => {}
    }
    connection.as_mut().graceful_shutdown();
    timeout(GRACE, connection).await.ok();
}
