//! Where records and diagnostics go: `[tracing]`, `[log]`, `[spool]`, `[sentry]`.

use std::path::PathBuf;
use std::time::Duration;

use super::LogFiles;
use crate::secret::Secret;

/// `[tracing]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    /// The forms in which a trace context is read and written.
    pub propagators: Propagators,
    /// Whose trace context is believed.
    pub trust: Trust,
    /// Head sampling ratio, 0.0 to 1.0.
    pub ratio: f64,
    /// What is kept at the end though the head decision said no.
    pub keep: Keep,
}

/// `tracing.propagators`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a set: each is a form of its own")]
pub struct Propagators {
    /// W3C Trace Context: `traceparent` and `tracestate`.
    pub tracecontext: bool,
    /// B3 in one header.
    pub b3: bool,
    /// B3 in several headers.
    pub b3multi: bool,
    /// W3C Baggage.
    pub baggage: bool,
}

impl Propagators {
    /// Whether B3 is spoken: then both of its forms are read.
    pub fn speaks_b3(self) -> bool {
        self.b3 || self.b3multi
    }
}

/// The `keep_*` keys of `tracing.sampling`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Errors of the service, and answers that were cut.
    pub errors: bool,
    /// What took as long as this; `None` is off.
    pub slow: Option<Duration>,
    /// What ended with one of these statuses.
    pub statuses: Vec<u16>,
    /// Exchanges per second and reason; 0 keeps none.
    pub per_second: u32,
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
    /// The names of a line's fields, wherever it is JSON.
    pub schema: Schema,
    /// What the console gets.
    pub console: Console,
    /// Where `combined.log` and `error.log` go.
    pub directory: Option<PathBuf>,
    /// How those are kept short.
    pub files: LogFiles,
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

impl LogLevel {
    /// The winston name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// `log.schema`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// The flat names of a service's own log.
    Winston,
    /// Those of the OpenTelemetry log data model.
    Otel,
    /// Those of the Elastic Common Schema.
    Ecs,
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

/// `[spool]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spool {
    /// Where exports wait while a collector is away; `None` = in memory only.
    pub directory: Option<PathBuf>,
    /// Bytes of all files in it.
    pub max_size: u64,
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
