//! One thing that the log says, before an output gives it a form.
//!
//! An entry is plain data, already redacted: what is in it may leave. Clones are cheap, because every
//! output of the log gets one. It does not know how any output writes it.

use std::sync::Arc;
use std::time::SystemTime;

use crate::audit::AuditResult;
use crate::config::model::LogLevel;
use crate::http::ids::RequestId;
use crate::http::method::Method;
use crate::http::sanitise::UserAgent;
use crate::http::shape::PathShape;
use crate::http::traceparent::{SpanId, TraceId};
use crate::record::{Caller, ConfigName, Level, Record, RouteNames};

/// One line of the log.
#[derive(Clone, Debug)]
pub enum Entry {
    /// An exchange has ended.
    Completed(Arc<Record>),
    /// An exchange has begun (`log.request_start`).
    Incoming(Arc<Incoming>),
    /// The audit holds one more record.
    Audited(Arc<Audited>),
    /// The sidecar speaks of itself.
    Said(Arc<Said>),
}

/// The beginning of an exchange, as far as it is known before the upstream is asked.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// When the head was complete.
    pub at: SystemTime,
    /// The id of the exchange, on its other lines too.
    pub request_id: RequestId,
    /// The trace, and the span that the exchange will have.
    pub trace: (TraceId, SpanId),
    /// Whether the head decision keeps the trace.
    pub sampled: bool,
    /// The method, from a closed set.
    pub method: Method,
    /// Names that come from the route's configuration.
    pub route: Arc<RouteNames>,
    /// The path's shape, where no route knows the path.
    pub shape: Option<PathShape>,
    /// Who calls, from a verified identity.
    pub caller: Caller,
    /// The sanitised user agent.
    pub user_agent: Option<UserAgent>,
}

/// A record that the audit has made durable.
#[derive(Clone, Debug)]
pub struct Audited {
    /// When it became durable.
    pub at: SystemTime,
    /// The audit's event.
    pub event: ConfigName,
    /// Its number in the chain.
    pub seq: u64,
    /// How the exchange ended, or that it has begun.
    pub result: AuditResult,
    /// The exchange it is of.
    pub request_id: RequestId,
    /// The trace of the exchange.
    pub trace_id: TraceId,
}

/// A diagnostic: what a `tracing` macro said.
#[derive(Clone, Debug)]
pub struct Said {
    /// When.
    pub at: SystemTime,
    /// How loud.
    pub level: LogLevel,
    /// What: a sentence of ours.
    pub message: String,
    /// The fields beside it, in the order they were said.
    pub fields: Vec<(&'static str, Datum)>,
}

/// The value of a field of a diagnostic.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    /// Text.
    Text(String),
    /// A number that may be negative.
    Signed(i64),
    /// A number that may not.
    Unsigned(u64),
    /// A number with a fraction; it is finite.
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

impl Said {
    /// The field that names the kind of an error, from the closed set of the traffic's.
    pub const ERROR_TYPE: &str = "error.type";
    /// The field that says what is wrong.
    pub const ERROR_MESSAGE: &str = "error.message";
    /// The field with the frames of a panic, innermost first.
    pub const STACK: &str = "stack";
}

impl Incoming {
    /// What telemetry shows as the URL, as [`Record::url`].
    pub fn url(&self) -> &str {
        self.shape.as_deref().unwrap_or(&self.route.template)
    }
}

impl Entry {
    /// How severe it is.
    pub fn level(&self) -> LogLevel {
        match self {
            Self::Completed(record) => match record.level() {
                Level::Error => LogLevel::Error,
                Level::Warn => LogLevel::Warn,
                Level::Info => LogLevel::Info,
            },
            Self::Incoming(_) | Self::Audited(_) => LogLevel::Info,
            Self::Said(said) => said.level,
        }
    }

    /// What it says, in words of ours.
    pub fn message(&self) -> &str {
        match self {
            Self::Completed(_) => "Request completed",
            Self::Incoming(_) => "Incoming request",
            Self::Audited(_) => "AUDIT",
            Self::Said(said) => &said.message,
        }
    }

    /// When it happened: for an exchange, when it ended.
    pub fn at(&self) -> SystemTime {
        match self {
            Self::Completed(record) => record.started + record.duration,
            Self::Incoming(incoming) => incoming.at,
            Self::Audited(audited) => audited.at,
            Self::Said(said) => said.at,
        }
    }
}
