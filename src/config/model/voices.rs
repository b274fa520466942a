//! Where records and diagnostics go: `[tracing]`, `[log]`, `[sentry]`.

use std::path::PathBuf;

use crate::secret::Secret;

/// `[tracing]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tracing {
    /// Whose `traceparent` is believed.
    pub trust: Trust,
    /// Head sampling ratio, 0.0 to 1.0.
    pub ratio: f64,
}

/// `tracing.trust`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Nobody's: every request starts a trace, with a link.
    Never,
    /// That of `server.trusted_proxies`.
    TrustedProxies,
    /// Everybody's.
    Always,
}

/// `[log]`.
#[derive(Clone, Debug)]
pub struct Log {
    /// The least severe level written.
    pub level: LogLevel,
    /// What the console gets.
    pub console: Console,
    /// Where `combined.log` and `error.log` go.
    pub directory: Option<PathBuf>,
}

/// `log.level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only what broke.
    Error,
    /// And refusals.
    Warn,
    /// And every request.
    Info,
    /// And our own details.
    Debug,
}

/// `log.console`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// Pretty on a terminal, else JSON.
    Auto,
    /// Lines for people.
    Pretty,
    /// One JSON object per line.
    Json,
    /// Nothing.
    Off,
}

/// `[sentry]`.
#[derive(Clone, Debug)]
pub struct Sentry {
    /// The project's address; holds a public key only, but is kept like a secret.
    pub dsn: Secret,
    /// `environment` of each event.
    pub environment: String,
    /// `name@version`.
    pub release: String,
    /// Share of events sent, 0.0 to 1.0.
    pub sample_rate: f32,
}
