//! `[upstream]`: the service behind.
//!
//! Values only; whether anybody is there is found out by whoever connects.

use std::path::PathBuf;
use std::time::Duration;

use super::{Breaker, Health, Retry};
use crate::record::ConfigName;

/// `[upstream]`.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// What is spoken, and whether in the open.
    pub scheme: Scheme,
    /// Host name or address of `url`; the path of a Unix socket.
    pub host: ConfigName,
    /// Port of `url`; 0 with a Unix socket.
    pub port: u16,
    /// The authority as written, for a rewritten Host; `localhost` with a Unix socket.
    pub authority: String,
    /// The Unix socket, where `url` names one.
    pub socket: Option<PathBuf>,
    /// PEM roots instead of the system's, for `https`.
    pub ca_file: Option<PathBuf>,
    /// Which Host the upstream sees.
    pub host_header: HostHeader,
    /// `[upstream.timeouts]`.
    pub timeouts: Timeouts,
    /// `[upstream.pool]`.
    pub pool: Pool,
    /// `[upstream.retry]`.
    pub retry: Retry,
    /// `[upstream.health]`.
    pub health: Health,
    /// `[upstream.breaker]`.
    pub breaker: Breaker,
}

impl Upstream {
    /// The address as an operator knows it: `app:3000`, `unix:/run/app.sock`.
    pub fn shown(&self) -> String {
        match &self.socket {
            Some(path) => format!("unix:{}", path.display()),
            None => self.authority.clone(),
        }
    }

    /// The same with what is spoken: `https://app:3000`, `unix:/run/app.sock`.
    pub fn shown_url(&self) -> String {
        let scheme = match (&self.socket, self.scheme) {
            (Some(_), _) => "",
            (None, Scheme::Http) => "http://",
            (None, Scheme::Https) => "https://",
            (None, Scheme::H2c) => "h2c://",
        };
        format!("{scheme}{}", self.shown())
    }
}

/// The scheme of `upstream.url`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP/1.1 in the open: `http`, `unix`.
    Http,
    /// TLS; HTTP/2 where the service takes it (ALPN), else HTTP/1.1.
    Https,
    /// HTTP/2 in the open, without asking first (RFC 9113 §3.3).
    H2c,
}

/// `upstream.host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// The client's Host.
    Preserve,
    /// The url's authority.
    Rewrite,
}

/// `[upstream.timeouts]`; `None` is "0s": off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// From the request's last byte to the response head.
    pub response_header: Option<Duration>,
    /// The whole exchange of a non-stream.
    pub request: Option<Duration>,
    /// Between bytes of an ordinary answer.
    pub idle: Option<Duration>,
    /// Between bytes of a stream.
    pub stream_idle: Option<Duration>,
    /// The whole stream.
    pub stream_max: Option<Duration>,
    /// Between bytes of a connection that has switched protocols, either way.
    pub upgrade_idle: Option<Duration>,
}

/// `[upstream.pool]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Connections in use and idle together.
    pub max_connections: usize,
    /// How long a request waits for a free one.
    pub queue_timeout: Duration,
    /// Idle connections kept.
    pub max_idle: usize,
    /// How long an idle connection is kept; below the upstream's own.
    pub idle_timeout: Duration,
}
