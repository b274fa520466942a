//! The upstream as every CLIENT span shows it: written once, copied into each.

use super::exchange::put;
use crate::config::model::{Scheme, Upstream};
use crate::telemetry::sinks::otlp::wire::Writer;

/// What is the same for every span of a sidecar.
#[derive(Clone, Debug)]
pub struct Site {
    /// `http://host:port` of the upstream.
    pub(super) base_url: String,
    /// Attributes of every CLIENT span, already written.
    pub(super) upstream: Vec<u8>,
}

impl Site {
    /// In front of this upstream.
    pub fn new(upstream: &Upstream) -> Self {
        // The version of HTTP is known beforehand where the url alone decides it.
        let (scheme, protocol) = match upstream.scheme {
            Scheme::Http => ("http", Some("1.1")),
            Scheme::H2c => ("http", Some("2")),
            Scheme::Https => ("https", None),
        };
        let (host, port) = (&upstream.host, upstream.port);
        let is_ipv6 = host.contains(':') && !host.starts_with('[');
        let [open, close] = if is_ipv6 { ["[", "]"] } else { ["", ""] };
        let base_url = match upstream.socket {
            Some(_) => format!("{scheme}://{}", upstream.authority),
            None => format!("{scheme}://{open}{host}{close}:{port}"),
        };
        let mut attributes = Writer::default();
        put(&mut attributes, "server.address", &**host);
        if upstream.socket.is_none() {
            put(&mut attributes, "server.port", u64::from(port));
        }
        if let Some(version) = protocol {
            put(&mut attributes, "network.protocol.version", version);
        }
        Self { base_url, upstream: attributes.into_bytes() }
    }
}
