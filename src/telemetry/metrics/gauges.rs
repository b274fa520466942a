//! Things that are there for a while, counted while somebody holds their guard; and the closed set
//! of reasons for which a client connection ends in an error.

use prometheus_client::metrics::gauge::Gauge;

/// Counts one of something until it is dropped.
#[derive(Debug)]
#[must_use = "it counts only while it is held"]
pub struct ActiveGuard(Gauge);

impl ActiveGuard {
    pub(super) fn enter(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Why a client connection ended without a record to tell of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionError {
    /// The bytes are not HTTP. Usually a scanner, or TLS on a plain port.
    Parse,
    /// The head did not arrive in time.
    HeadTimeout,
    /// The connection closed in the middle of a message.
    Incomplete,
    /// The client stopped reading an answer.
    WriteTimeout,
    /// The TLS handshake failed, or took too long.
    Tls,
    /// An HTTP/2 client began and reset streams, or sent empty frames, without end.
    Flood,
    /// The connection broke: reset, broken pipe.
    Io,
    /// None of these.
    Other,
}

impl ConnectionError {
    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::HeadTimeout => "head_timeout",
            Self::Incomplete => "incomplete",
            Self::WriteTimeout => "write_timeout",
            Self::Tls => "tls",
            Self::Flood => "flood",
            Self::Io => "io",
            Self::Other => "other",
        }
    }
}
