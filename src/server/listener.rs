//! Accepting clients: bound eagerly, bounded, and never broken by an error of `accept`.
//!
//! A connection task belongs to its entrance's tracker, so the shutdown can wait for it and cut it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::connection;
use super::entrance::Entrance;
use super::port::{self, Port};
use super::rare::Rare;
use super::socket::Stream;

/// The pause after an `accept` that failed for want of file descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Binds a listening TCP socket. The address is taken from this moment on.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    port::bind_tcp(address)
}

/// The signals that end an accept loop and its connections, in this order.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// Accept no more, and let each connection finish its exchange.
    pub stop: CancellationToken,
    /// Cut what still runs.
    pub cut: CancellationToken,
}

/// Accepts connections until `stop`. No more are held than the entrance has places for; more wait in
/// the backlog. Returns once the last connection has ended, at the latest when `cut` has been heard by
/// all.
pub async fn accept_loop(port: impl Into<Port>, entrance: Arc<Entrance>, signals: Signals) {
    let port = port.into();
    while let Some((stream, address, place)) = next(&port, &entrance.places, &signals.stop).await {
        let (inside, signals) = (Arc::clone(&entrance), signals.clone());
        // Counted from here, so that nobody who looks can miss a connection that is open.
        let open = entrance.proxy.telemetry().metrics().connection();
        entrance.tasks.spawn(async move {
            let serve = connection::serve(inside, stream, address, signals.stop);
            let cut = pin!(signals.cut.cancelled());
            tokio::select! {
                biased;
                () = serve => {}
                () = Rare::new(cut) => {}
            }
            drop((open, place));
        });
    }
    drop(port);
    entrance.tasks.close();
    entrance.tasks.wait().await;
}

type Accepted = (Stream, IpAddr, tokio::sync::OwnedSemaphorePermit);

async fn next(port: &Port, places: &Arc<Semaphore>, stop: &CancellationToken) -> Option<Accepted> {
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        accepted = accept(port, places) => accepted,
    }
}

async fn accept(port: &Port, places: &Arc<Semaphore>) -> Option<Accepted> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    loop {
        match port.accept().await {
            Ok((stream, address)) => return Some((stream, address, place)),
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
