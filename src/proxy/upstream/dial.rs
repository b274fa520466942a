//! Reaching the upstream: an address becomes a stream of bytes.
//!
//! It remembers whether the last attempt succeeded, which is what readiness asks. It keeps no
//! connection and sets no deadline; its caller does.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpStream;

use crate::config::model;

/// Where the upstream is, and whether it was there.
#[derive(Debug)]
pub(super) struct Dialler {
    host: String,
    address: Option<IpAddr>,
    port: u16,
    is_reachable: AtomicBool,
}

impl Dialler {
    pub(super) fn new(config: &model::Upstream) -> Self {
        Self {
            host: config.host.clone(),
            address: config.host.trim_matches(['[', ']']).parse().ok(),
            port: config.port,
            is_reachable: AtomicBool::new(false),
        }
    }

    /// Connects, and notes whether that went well.
    ///
    /// Cancel safe; but a call that its deadline cuts cannot note anything, so its caller does.
    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        let connected = match self.address {
            Some(ip) => TcpStream::connect(SocketAddr::new(ip, self.port)).await,
            None => TcpStream::connect((self.host.as_str(), self.port)).await,
        };
        self.note(connected.is_ok());
        let stream = connected?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Notes whether the upstream is there.
    pub(super) fn note(&self, is_reachable: bool) {
        self.is_reachable.store(is_reachable, Ordering::Relaxed);
    }

    /// Whether the last attempt to connect succeeded. `false` before the first.
    pub(super) fn is_reachable(&self) -> bool {
        self.is_reachable.load(Ordering::Relaxed)
    }
}
