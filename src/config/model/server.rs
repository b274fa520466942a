//! `[server]`: the door for clients.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

/// `[server]`.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where clients connect.
    pub listen: Listen,
    /// Runtime workers; one per core when the file says 0.
    pub workers: usize,
    /// Peers whose `X-Forwarded-*`, `x-request-id` and `traceparent` are believed; [`UNIX_PEER`] is
    /// whoever comes over a Unix socket.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections held at once; more wait in the listen queue.
    pub max_connections: usize,
    /// Which path the upstream gets.
    pub path: PathForm,
    /// Whether answers say where their time went (`Server-Timing`).
    pub server_timing: bool,
    /// `[server.limits]`.
    pub limits: ServerLimits,
    /// `[server.tls]`; absent where no certificate is named.
    pub tls: Option<Tls>,
    /// `[server.drain]`.
    pub drain: Drain,
}

/// `server.path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathForm {
    /// The canonical one; what has none is refused.
    Strict,
    /// The client's own. What is not canonical is refused only where a route with a policy could be
    /// meant.
    AsIs,
}

/// `[server.limits]`: what a client may send, and how slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// For the whole head, the first byte included.
    pub header_timeout: Duration,
    /// Between two requests on one connection.
    pub idle_timeout: Duration,
    /// Between two reads of a request body.
    pub body_idle_timeout: Duration,
    /// Bytes per second that a request body must reach, taking only the client's own pauses for
    /// time; 0 = off.
    pub min_body_rate: u64,
    /// For a client that stops reading.
    pub write_timeout: Duration,
    /// Bytes of a head.
    pub max_header_bytes: usize,
    /// Header fields of a head.
    pub max_headers: usize,
    /// Bytes of a request target.
    pub max_uri_bytes: usize,
    /// Bytes of a request body.
    pub max_request_body: u64,
}

/// `[server.drain]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Not ready, still accepting.
    pub delay: Duration,
    /// From the signal, delay and the sinks' last seconds included.
    pub timeout: Duration,
}

/// `server.listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A Unix socket at this path: `unix:/run/sidecar.sock`.
    Unix(PathBuf),
}

/// The address of a client that came over a Unix socket. No TCP client can have it, so it stands in
/// the list of trusted proxies for the word `unix`.
pub const UNIX_PEER: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

impl Listen {
    /// The TCP address, if it is one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `[server.tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM: the server's own certificate, then those that lead to its authority.
    pub certificate_file: PathBuf,
    /// PEM: the private key of the first certificate.
    pub key_file: PathBuf,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// PEM: the authorities of client certificates. With it, a client without one is turned away.
    pub client_ca_file: Option<PathBuf>,
    /// A plain listener that answers 308 to https.
    pub redirect_from: Option<SocketAddr>,
}

/// `server.tls.min_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), only with forward secrecy and authenticated encryption.
    V12,
    /// TLS 1.3 (RFC 8446).
    V13,
}
