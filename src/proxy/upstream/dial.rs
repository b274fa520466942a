//! Reaching the upstream: an address becomes a stream of bytes, and what is spoken on it is known.
//!
//! It says why, where it fails; who dials notes how that went. It keeps no connection.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use super::outage::{Kind, Trouble};
use super::stream::Stream;
use super::tls::{self, Tls};
use crate::config::model::{self, Scheme};

/// Where the upstream is.
#[derive(Debug)]
pub(super) struct Dialler {
    place: Place,
    wrap: Wrap,
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
    /// The roots could not be read, for this reason; every attempt fails.
    Broken(String),
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
                    Wrap::Broken(error.to_string())
                },
                |tls| Wrap::Tls(Box::new(tls)),
            ),
        };
        Self { place, wrap }
    }

    /// Connects, and shakes hands where there is TLS, until `deadline`.
    ///
    /// Cancel safe: a dropped call leaves nothing open.
    pub(super) async fn dial(&self, deadline: Instant) -> Result<(Stream, Protocol), Trouble> {
        self.wrap(self.connect(deadline).await?, deadline, true).await
    }

    /// The same, offering HTTP/1.1 alone where there is a choice.
    pub(super) async fn dial_http1(
        &self,
        deadline: Instant,
    ) -> Result<(Stream, Protocol), Trouble> {
        self.wrap(self.connect(deadline).await?, deadline, false).await
    }

    async fn connect(&self, deadline: Instant) -> Result<Stream, Trouble> {
        let (host, port) = match &self.place {
            Place::Address(address) => return reach(*address, deadline).await,
            Place::Name(host, port) => (host, *port),
            Place::Socket(path) => {
                let connected = timeout_at(deadline, UnixStream::connect(path)).await;
                let connected = connected.unwrap_or_else(|_late| Err(ErrorKind::TimedOut.into()));
                let trouble = |error| Trouble::of_io(&path.display(), &error);
                return connected.map(Stream::Unix).map_err(trouble);
            }
        };
        let unknown =
            |why: &dyn std::fmt::Display| Trouble::new(Kind::Resolve, format!("{host}: {why}"));
        let found = timeout_at(deadline, lookup_host((host.as_str(), port))).await;
        let found = found.map_err(|_late| unknown(&"no answer in time"))?;
        let mut trouble = unknown(&"no address");
        for address in found.map_err(|error| unknown(&error))? {
            match reach(address, deadline).await {
                Ok(stream) => return Ok(stream),
                Err(why) => trouble = why,
            }
        }
        Err(trouble)
    }

    async fn wrap(
        &self,
        stream: Stream,
        deadline: Instant,
        offers_http2: bool,
    ) -> Result<(Stream, Protocol), Trouble> {
        let (tls, stream) = match (&self.wrap, stream) {
            (Wrap::Open(protocol), stream) => return Ok((stream, *protocol)),
            (Wrap::Tls(tls), Stream::Tcp(stream)) => (tls, stream),
            (Wrap::Broken(why), _) => return Err(Trouble::new(Kind::Tls, why.as_str())),
            (Wrap::Tls(_), _) => return Err(Trouble::new(Kind::Tls, "there is none on a socket")),
        };
        let shaken = timeout_at(deadline, tls.shake(stream, offers_http2)).await;
        match shaken.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                let chose_http2 = tls::chose_http2(&stream);
                let protocol = if chose_http2 { Protocol::Http2 } else { Protocol::Http1 };
                Ok((Stream::Tls(Box::new(stream)), protocol))
            }
            Err(error) => Err(Trouble::new(Kind::Tls, tls.explain(&error))),
        }
    }
}

/// Connects to one address.
async fn reach(address: SocketAddr, deadline: Instant) -> Result<Stream, Trouble> {
    let connected = timeout_at(deadline, TcpStream::connect(address)).await;
    let connected = connected
        .map_err(|_late| Trouble::new(Kind::TimedOut, format!("{address}: no answer in time")))?;
    let ready = connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
    ready.map(Stream::Tcp).map_err(|error| Trouble::of_io(&address, &error))
}
