//! Reaching the upstream: an address becomes a stream of bytes, and what is spoken on it is known.
//!
//! It remembers whether the last attempt succeeded, which is what readiness asks. It keeps no
//! connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use super::NoConnection;
use super::stream::Stream;
use super::tls::{self, Tls};
use crate::config::model::{self, Scheme};

/// Where the upstream is, and whether it was there.
#[derive(Debug)]
pub(super) struct Dialler {
    place: Place,
    wrap: Wrap,
    is_reachable: AtomicBool,
    has_complained: AtomicBool,
}

/// What is spoken on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1: one exchange at a time.
    Http1,
    /// HTTP/2: many.
    Http2,
}

#[derive(Debug)]
enum Place {
    Address(SocketAddr),
    Name(String, u16),
    Socket(PathBuf),
}

#[derive(Debug)]
enum Wrap {
    Open(Protocol),
    Tls(Box<Tls>),
    /// The roots could not be read; every attempt fails.
    Broken,
}

impl Dialler {
    pub(super) fn new(config: &model::Upstream) -> Self {
        let place = match (&config.socket, config.host.trim_matches(['[', ']']).parse::<IpAddr>()) {
            (Some(path), _) => Place::Socket(path.clone()),
            (None, Ok(ip)) => Place::Address(SocketAddr::new(ip, config.port)),
            (None, Err(_)) => Place::Name(config.host.to_string(), config.port),
        };
        let wrap = match config.scheme {
            Scheme::Http => Wrap::Open(Protocol::Http1),
            Scheme::H2c => Wrap::Open(Protocol::Http2),
            Scheme::Https => Tls::new(config).map_or_else(
                |error| {
                    tracing::error!(%error, "TLS towards the upstream cannot be used.");
                    Wrap::Broken
                },
                |tls| Wrap::Tls(Box::new(tls)),
            ),
        };
        Self {
            place,
            wrap,
            is_reachable: AtomicBool::new(false),
            has_complained: AtomicBool::new(false),
        }
    }

    /// Connects, and shakes hands where there is TLS, until `deadline`. Notes how that went.
    ///
    /// Cancel safe: a dropped call notes nothing and leaves nothing open.
    pub(super) async fn dial(&self, deadline: Instant) -> Result<(Stream, Protocol), NoConnection> {
        self.dial_for(deadline, true).await
    }

    /// The same, offering HTTP/1.1 alone where there is a choice.
    pub(super) async fn dial_http1(
        &self,
        deadline: Instant,
    ) -> Result<(Stream, Protocol), NoConnection> {
        self.dial_for(deadline, false).await
    }

    async fn dial_for(
        &self,
        deadline: Instant,
        offers_http2: bool,
    ) -> Result<(Stream, Protocol), NoConnection> {
        let dialled = match timeout_at(deadline, self.connect()).await {
            Ok(Ok(stream)) => self.wrap(stream, deadline, offers_http2).await,
            Ok(Err(_)) | Err(_) => Err(NoConnection::Unreachable),
        };
        self.note(dialled.is_ok());
        dialled
    }

    /// Notes whether the upstream is there.
    pub(super) fn note(&self, is_reachable: bool) {
        self.is_reachable.store(is_reachable, Ordering::Relaxed);
    }

    /// Whether the last attempt to connect succeeded. `false` before the first.
    pub(super) fn is_reachable(&self) -> bool {
        self.is_reachable.load(Ordering::Relaxed)
    }

    async fn connect(&self) -> io::Result<Stream> {
        let stream = match &self.place {
            Place::Address(address) => TcpStream::connect(address).await?,
            Place::Name(host, port) => TcpStream::connect((host.as_str(), *port)).await?,
            Place::Socket(path) => return UnixStream::connect(path).await.map(Stream::Unix),
        };
        stream.set_nodelay(true)?;
        Ok(Stream::Tcp(stream))
    }

    async fn wrap(
        &self,
        stream: Stream,
        deadline: Instant,
        offers_http2: bool,
    ) -> Result<(Stream, Protocol), NoConnection> {
        let (tls, stream) = match (&self.wrap, stream) {
            (Wrap::Open(protocol), stream) => return Ok((stream, *protocol)),
            (Wrap::Tls(tls), Stream::Tcp(stream)) => (tls, stream),
            (Wrap::Tls(_) | Wrap::Broken, _) => return Err(NoConnection::Tls),
        };
        let shaken = timeout_at(deadline, tls.shake(stream, offers_http2)).await;
        match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                self.has_complained.store(false, Ordering::Relaxed);
                let chose_http2 = tls::chose_http2(&stream);
                let protocol = if chose_http2 { Protocol::Http2 } else { Protocol::Http1 };
                Ok((Stream::Tls(Box::new(stream)), protocol))
            }
            Err(error) => {
                // Said once, until it works again: every request would say the same.
                if !self.has_complained.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "The TLS handshake with the upstream failed.");
                }
                Err(NoConnection::Tls)
            }
        }
    }
}
