//! What is behind a port that clients connect to: the proxy, in the clear or behind TLS, or a pointer to
//! the port with TLS.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::redirect::Redirect;
use super::tls::Tls;
use crate::proxy::Proxy;

/// An entrance for clients.
#[derive(Debug)]
pub struct Entrance {
    /// Where requests go.
    pub proxy: Arc<Proxy>,
    pub(super) kind: Kind,
    /// Connections that may still be held.
    pub(super) places: Arc<Semaphore>,
    /// Connections, and the streams of those that have streams.
    pub(super) tasks: TaskTracker,
}

/// How clients are met.
#[derive(Debug)]
pub(super) enum Kind {
    Plain,
    Tls(Arc<Tls>),
    Redirect(Redirect),
}

impl Entrance {
    /// An entrance in the clear, for at most so many connections at once.
    pub fn plain(proxy: Arc<Proxy>, max_connections: usize) -> Arc<Self> {
        Self::new(proxy, Kind::Plain, Arc::new(Semaphore::new(max_connections)))
    }

    /// An entrance behind TLS, for at most so many connections at once.
    pub fn tls(proxy: Arc<Proxy>, max_connections: usize, tls: Arc<Tls>) -> Arc<Self> {
        Self::new(proxy, Kind::Tls(tls), Arc::new(Semaphore::new(max_connections)))
    }

    /// An entrance that sends everybody to this one. Its connections count among this one's.
    pub fn redirecting(&self, redirect: Redirect) -> Arc<Self> {
        Self::new(Arc::clone(&self.proxy), Kind::Redirect(redirect), Arc::clone(&self.places))
    }

    fn new(proxy: Arc<Proxy>, kind: Kind, places: Arc<Semaphore>) -> Arc<Self> {
        Arc::new(Self { proxy, kind, places, tasks: TaskTracker::new() })
    }
}
