//! Accepting clients: bound eagerly, bounded, and never broken by an error of `accept`.
//!
//! A connection task belongs to the listener's tracker, so the shutdown can wait for it and cut it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection;
use super::rare::Rare;
use super::socket::Stream;
use crate::proxy::Proxy;

/// How many connections may wait to be accepted; the kernel may allow fewer.
const BACKLOG: i32 = 4096;
/// The pause after an `accept` that failed for want of file descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Binds a listening socket. The address is taken from this moment on.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The signals that end an accept loop and its connections, in this order.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// Accept no more, and let each connection finish its exchange.
    pub stop: CancellationToken,
    /// Cut what still runs.
    pub cut: CancellationToken,
}

/// Accepts connections until `stop`. At most `max_connections` are held; more wait in the backlog.
/// Returns once the last connection has ended, at the latest when `cut` has been heard by all.
pub async fn accept_loop(
    listener: TcpListener,
    proxy: Arc<Proxy>,
    max_connections: usize,
    signals: Signals,
) {
    let places = Arc::new(Semaphore::new(max_connections));
    let connections = TaskTracker::new();
    while let Some((stream, address, place)) = next(&listener, &places, &signals.stop).await {
        let (proxy, signals) = (Arc::clone(&proxy), signals.clone());
        // Counted from here, so that nobody who looks can miss a connection that is open.
        let open = proxy.telemetry().metrics().connection();
        connections.spawn(async move {
            let serve = connection::serve(proxy, stream, address, signals.stop);
            let cut = pin!(signals.cut.cancelled());
            tokio::select! {
                biased;
                () = serve => {}
                () = Rare::new(cut) => {}
            }
            drop((open, place));
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

type Accepted = (Stream, IpAddr, tokio::sync::OwnedSemaphorePermit);

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<Accepted> {
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        accepted = accept(listener, places) => accepted,
    }
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<Accepted> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return Some((Stream::Tcp(stream), address.ip(), place)),
            Err(error) if is_about_one_client(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "Accepting a connection failed; trying again.");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

fn is_about_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
