//! Where facts are pushed to: `[otlp]` and its overrides for single signals, resolved.
//!
//! What a signal does not say for itself was filled in from `[otlp]` before it came here, so that
//! nobody above has to know of the fallback.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;

/// Where each signal goes; `None` where its endpoint is `""`.
#[derive(Clone, Debug)]
pub struct Otlp {
    /// Spans: `[otlp]` and `[tracing.otlp]`.
    pub traces: Option<OtlpTarget>,
    /// Data points: `[otlp]` and `[metrics.otlp]`.
    pub metrics: Option<OtlpTarget>,
    /// Log records: `[otlp]` and `[log.otlp]`; `None` also where nobody named a collector.
    pub logs: Option<OtlpTarget>,
}

/// A collector, for one signal.
#[derive(Clone, Debug)]
pub struct OtlpTarget {
    /// http/protobuf: the whole URL, with the signal's path. gRPC: scheme, host and port. Its query
    /// may hold a key: not to be logged whole.
    pub url: String,
    /// How it is spoken to.
    pub protocol: OtlpProtocol,
    /// Headers (gRPC: metadata) of every export request, their names in lower case.
    pub headers: Vec<(String, Secret)>,
    /// Whether bodies are gzipped.
    pub compress: bool,
    /// Of one attempt to deliver an export request.
    pub timeout: Duration,
    /// PEM roots instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether somebody asked for it: an unreachable default is silent, a configured one warns.
    pub is_configured: bool,
}

/// `otlp.protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// Protobuf over HTTP/1.1.
    Http,
    /// gRPC: protobuf over HTTP/2.
    Grpc,
}

/// What is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// Its name in the ledger, in the spool and on metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// What a base URL gets for it.
    pub fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
        }
    }
}

impl OtlpTarget {
    /// A collector that somebody asked for, everything else at its default: uncompressed,
    /// without headers, ten seconds, the system's roots.
    pub fn new(url: impl Into<String>, protocol: OtlpProtocol) -> Self {
        Self {
            url: url.into(),
            protocol,
            headers: Vec::new(),
            compress: false,
            timeout: Duration::from_secs(10),
            ca_file: None,
            is_configured: true,
        }
    }

    /// The URL without what may be secret in it: user and query.
    pub fn place(&self) -> String {
        let url = self.url.split(['?', '#']).next().unwrap_or_default();
        let Some((scheme, rest)) = url.split_once("://") else { return String::new() };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        format!("{scheme}://{host}{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_told_without_what_may_be_secret() {
        let place = |url: &str| OtlpTarget::new(url, OtlpProtocol::Http).place();
        assert_eq!(
            place("http://user:secret@localhost:4318/v1/traces?key=secret"),
            "http://localhost:4318/v1/traces"
        );
        assert_eq!(place("https://[::1]:4317"), "https://[::1]:4317");
        assert_eq!(place("https://a?key=@/"), "https://a");
        assert_eq!(place("secret"), "");
    }
}
