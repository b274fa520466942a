//! `[server]`: the door for clients.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

/// `[server]`.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Runtime workers; one per core when the file says 0.
    pub workers: usize,
    /// Peers whose `X-Forwarded-*`, `x-request-id` and `traceparent` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections held at once; more wait in the listen queue.
    pub max_connections: usize,
    /// Which path the upstream gets.
    pub path: PathForm,
    /// `[server.limits]`.
    pub limits: ServerLimits,
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
