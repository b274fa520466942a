//! The configuration as the program uses it: every value is valid by its type.
//!
//! It is made only by [`super::load`], and holds the defaults of the contract. It does not know how
//! it was written down.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::openapi::Document;
use crate::record::{ConfigName, PseudonymKey};
use crate::secret::Secret;

mod alerts;
mod books;
mod captures;
mod datadog;
mod errors;
mod faults;
mod gates;
mod identity;
mod limits;
mod log_files;
mod metrics;
mod otlp;
mod security;
mod server;
mod store;
mod upstream;
mod voices;

pub use alerts::{Alert, Condition, Notify, Series, When};
pub use books::{BOOKS, Book, BookKind, LABELS, SHORT};
pub use captures::{Capture, Place, TAKEN_BEGINNINGS, TAKEN_FIELDS, TAKEN_LABELS, Take};
pub use datadog::Datadog;
pub use errors::ErrorClass;
pub use faults::{Breaker, Health, Retry};
pub use gates::{Gates, Mode, Need, Overload, Share};
pub use identity::{Identity, IdentitySource, Jwt, KeyForm, KeySource, SigningKey, TelemetryUser};
pub use limits::{Cost, LimitKey, RateLimit, RateLimitHeaders};
pub use log_files::LogFiles;
pub use metrics::{Cache, Metrics};
pub use otlp::{Otlp, OtlpProtocol, OtlpTarget, Signal};
pub use security::{Preset, Security, Unmatched};
pub use server::{Drain, Listen, PathForm, Server, ServerLimits, Tls, TlsVersion, UNIX_PEER};
pub use store::{RateLimitStore, StoreNode, StorePlace, StoreUrl};
pub use upstream::{HostHeader, Pool, Scheme, Timeouts, Upstream};
pub use voices::{
    Console, Keep, Log, LogHeader, LogLevel, Propagators, Schema, Sentry, Spool, Tracing, Trust,
};

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[service]`: who we speak for; resource attributes on every signal.
    pub service: Service,
    /// `[server]`: the door for clients.
    pub server: Server,
    /// `[admin]`: the door for operators.
    pub admin: Admin,
    /// `[upstream]`: the service behind.
    pub upstream: Upstream,
    /// `[request_id]`: the header's name, lower case.
    pub request_id_header: Arc<str>,
    /// `[otlp]`: where spans, data points and log records are pushed to.
    pub otlp: Otlp,
    /// `[tracing]`: whom to believe and what to keep.
    pub tracing: Tracing,
    /// `[metrics] listen`: a second, narrow door for scrapers.
    pub metrics_listen: Option<SocketAddr>,
    /// `[metrics]`: how many series, and whether they are pushed.
    pub metrics: Metrics,
    /// `[cache]`: who says that an answer came from a cache.
    pub cache: Cache,
    /// `[log]`: the access log and our own diagnostics.
    pub log: Log,
    /// `[spool]`: where exports wait while a collector is away.
    pub spool: Spool,
    /// `[identity]`: who calls.
    pub identity: Identity,
    /// `[security]`: header fields, trusted origins, unknown paths.
    pub security: Security,
    /// `[openapi] file`: what is known of the API.
    pub openapi: Option<Arc<Document>>,
    /// `[route_defaults] rate_limits`: for every request whose route names none.
    pub default_rate_limits: Vec<ConfigName>,
    /// `[route_defaults]`: the gates of every request that matches no route.
    pub default_gates: Gates,
    /// `[[routes]]`: first match wins.
    pub routes: Vec<Route>,
    /// `[captures."…"]`: facts that may leave, by name.
    pub captures: Vec<Capture>,
    /// `[inspect]`: bounds of body inspection.
    pub inspect: Inspect,
    /// `[rate_limits.…]`: token buckets, by name.
    pub rate_limits: Vec<RateLimit>,
    /// `[rate_limit_store]`: where limits are shared.
    pub rate_limit_store: RateLimitStore,
    /// `[rate_limit_headers] form`.
    pub rate_limit_headers: RateLimitHeaders,
    /// `[overload]`: how much runs at once.
    pub overload: Overload,
    /// `[audit]`: needed only where a route is audited.
    pub audit: Audit,
    /// `[log.datadog]`: absent where nothing is shipped.
    pub datadog: Option<Datadog>,
    /// `[sentry]`: absent without a DSN or in a disabled environment.
    pub sentry: Option<Sentry>,
    /// `[errors] type_base`: prefix of the problem `type`; empty means `about:blank`.
    pub errors_type_base: String,
    /// `[[errors.classify]]`: names for errors that the upstream answers with; the first that fits.
    pub error_classes: Vec<ErrorClass>,
    /// `[genai] enabled`: whether captured facts become the metrics of the `GenAI` conventions.
    pub genai: bool,
    /// `[[alerts]]`: what is watched for.
    pub alerts: Vec<Alert>,
    /// The key of pseudonyms that a file gives; `None` means a random one.
    pub pseudonym_key: Option<PseudonymKey>,
}

/// `[service]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `service.name`, also the scope of tracer and meter.
    pub name: String,
    /// `service.version`.
    pub version: String,
    /// `deployment.environment.name`.
    pub environment: String,
    /// Further resource attributes from `OTEL_RESOURCE_ATTRIBUTES`.
    pub attributes: Vec<(String, String)>,
}

/// `[admin]`.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where operators connect; loopback unless there is a token.
    pub listen: SocketAddr,
    /// Bearer token every request must carry, when set.
    pub token: Option<Secret>,
}

/// One of `[[routes]]`.
#[derive(Clone, Debug)]
pub struct Route {
    /// For error messages and readers; nothing leaves under it.
    pub name: ConfigName,
    /// The method, or `None` for `*`.
    pub method: Option<http::Method>,
    /// The path template, e.g. `/api/users/{id}` or `/static/{*rest}`.
    pub template: ConfigName,
    /// What happens to a match.
    pub action: Action,
    /// Name of the INTERNAL span.
    pub span: Option<ConfigName>,
    /// Audit event.
    pub audit: Option<ConfigName>,
    /// Names in `[rate_limits]`.
    pub rate_limits: Vec<ConfigName>,
    /// Its gates, with the defaults where it names none.
    pub gates: Gates,
    /// Names in `[captures]`.
    pub captures: Vec<ConfigName>,
    /// Overrides `server.limits.max_request_body`.
    pub max_request_body: Option<u64>,
    /// Overrides `upstream.timeouts.response_header`.
    pub response_header: Option<Duration>,
}

/// `routes.action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Pass it on.
    Forward,
    /// Answer 403.
    Deny,
}

/// `[inspect]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspect {
    /// Bytes of one body; a longer one streams unread.
    pub max_body: usize,
    /// Bytes of all bodies together.
    pub max_memory: usize,
}

/// `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Where the records go.
    pub directory: PathBuf,
    /// What happens when a record cannot be made durable in time.
    pub mode: AuditMode,
    /// How long a request waits for its durable record.
    pub deadline: Duration,
}

/// `audit.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditMode {
    /// 503: nothing is forwarded unrecorded.
    Strict,
    /// Forward, and count.
    BestEffort,
}
