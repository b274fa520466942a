//! What one exchange leaves behind: plain data, already redacted.
//!
//! A [`Record`] is made at the end of an exchange, of what was gathered on its way, and handed to
//! telemetry exactly once. It carries no free text from the wire, and its types have no room for any:
//! only numbers, closed enums, names from the configuration ([`ConfigName`]), pseudonyms, path shapes,
//! ids, and for the log two sanitised texts: the user agent, and the headers that `log.headers` names.
//! The path itself goes another way, to the audit alone.
//!
//! It does not know who reads it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::http::ids::{ClientRequestId, RequestId};
use crate::http::method::Method;
use crate::http::sanitise::UserAgent;
use crate::http::shape::PathShape;
use crate::http::traceparent::{SpanId, TraceId};
use crate::http::tracestate::TraceState;

mod caller;
pub mod capture;
mod error_type;
mod header;
mod kept;
mod listed;
pub mod name;
pub mod outcome;
pub mod pseudonym;
mod rejection;
mod stack;
mod store;
pub mod stream;
mod trail;

pub use crate::http::cache_status::Cache;
pub use caller::{Caller, Shown, User};
pub use capture::{Fact, Value};
pub use error_type::ErrorType;
pub use header::LoggedHeader;
pub use kept::{Kept, Reason};
pub use name::ConfigName;
pub use outcome::{Abort, Failure, Level, Outcome, Phase, Refusal};
pub use pseudonym::{Pseudonym, PseudonymKey};
pub use rejection::Rejection;
pub use stack::Stack;
pub use store::{StoreCall, StoreEnding};
pub use stream::{Gaps, Stream, StreamKind};
pub use trail::{Limited, Policy, Step, Trail};

/// What happened in one exchange.
#[derive(Clone, Debug)]
pub struct Record {
    /// The id of this exchange, on every signal and on the answer.
    pub request_id: RequestId,
    /// The id the client proposed, kept only as a note.
    pub client_request_id: Option<ClientRequestId>,
    /// Ids and head decision of the trace.
    pub trace: Trace,
    /// Why its spans are kept; `None` where they are not.
    pub kept: Option<Kept>,
    /// When the head was complete.
    pub started: SystemTime,
    /// From the complete head to the end of the answer.
    pub duration: Duration,
    /// From the complete head to the first byte of the answer's body, or to the switch of protocols; `None`
    /// where no such byte was passed on.
    pub ttfb: Option<Duration>,
    /// Time spent in the sidecar itself: until the upstream leg began, and from the upstream's head to
    /// the answer's. All of it where there was no leg.
    pub overhead: Duration,
    /// The upstream leg, if one was begun.
    pub upstream: Option<UpstreamLeg>,
    /// The method, from a closed set.
    pub method: Method,
    /// `http` or `https`, as the client saw it.
    pub scheme: &'static str,
    /// `1.0`, `1.1` or `2`.
    pub protocol: &'static str,
    /// Names that come from the route's configuration.
    pub route: Arc<RouteNames>,
    /// Who called, from a verified identity.
    pub caller: Caller,
    /// Why it was refused for who sent it.
    pub rejection: Option<Rejection>,
    /// The `OpenAPI` operation the request is one of.
    pub operation: Option<ConfigName>,
    /// How far it came, and what the gates said.
    pub trail: Trail,
    /// What a gate in shadow mode would have refused; the first one that would.
    pub would_refuse: Option<Refusal>,
    /// The path's shape, where no route knows the path; see [`Self::url`].
    pub shape: Option<PathShape>,
    /// The status the client got (or would have got); `None` if it left before any.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
    /// The way to the panic that ended it, where that was taken.
    pub stack: Option<Stack>,
    /// The class of the upstream's error, where the configuration names it; only of a served answer.
    pub class: Option<ConfigName>,
    /// Bytes of the request body that were read.
    pub bytes_in: u64,
    /// Bytes of the response body that were handed to the client's connection.
    pub bytes_out: u64,
    /// `Some` where the answer is a stream: event-stream, gRPC, ndjson, json-seq.
    pub stream: Option<Box<Stream>>,
    /// The sanitised user agent, for the log alone.
    pub user_agent: Option<UserAgent>,
    /// Headers of the request that `log.headers` names, for the log alone.
    pub headers: Box<[LoggedHeader]>,
    /// The client's address: the peer, or what a trusted proxy said. Sinks truncate it.
    pub client_ip: IpAddr,
    /// Captured facts: those of the path, the request's body, the answer's head and its body, each in the
    /// order of the route's `captures`.
    pub facts: Vec<Fact>,
    /// The limit that refused, or would have (shadow mode).
    pub limited_by: Option<ConfigName>,
    /// What the answer's cache headers said.
    pub cache: Option<Cache>,
    /// The calls to the shared rate-limit store that it waited for: one for each limit at most.
    pub store_calls: Vec<StoreCall>,
}

/// Names that come from configuration, so they are safe as labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteNames {
    /// `http.route`: the matched template, `_unmatched` or `_invalid`.
    pub template: ConfigName,
    /// The route's `name`, if it matched one.
    pub name: Option<ConfigName>,
    /// The name of the INTERNAL span, where the route asks for one.
    pub span: Option<ConfigName>,
    /// The audit event, where the route is audited.
    pub audit: Option<ConfigName>,
    /// What it asks of its requests.
    pub policy: Policy,
}

impl RouteNames {
    /// The template of a request that no route knows.
    pub const UNMATCHED: &'static str = "_unmatched";
    /// The template of a head that could not be parsed or was refused as ambiguous.
    pub const INVALID: &'static str = "_invalid";
}

/// The trace an exchange belongs to.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The trace: the client's if it is trusted, else new.
    pub trace_id: TraceId,
    /// The SERVER span.
    pub server_span: SpanId,
    /// The CLIENT span: what the upstream sees as parent.
    pub client_span: SpanId,
    /// The INTERNAL span, used where the route names one.
    pub internal_span: SpanId,
    /// The trusted caller's span.
    pub parent: Option<SpanId>,
    /// An untrusted caller's span: linked, not believed.
    pub link: Option<(TraceId, SpanId)>,
    /// The head decision, which the upstream was told.
    pub sampled: bool,
    /// Whether the trace id is known to be random (W3C Trace Context level 2).
    pub is_random: bool,
    /// Passed on unchanged from a trusted caller.
    pub state: Option<TraceState>,
}

/// The upstream leg of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamLeg {
    /// From the start of the exchange to the start of the leg.
    pub offset: Duration,
    /// From the start of the leg to the response head, or to its failure.
    pub to_head: Duration,
    /// From the start of the leg to the last byte of the body.
    pub duration: Duration,
    /// The status the upstream sent.
    pub status: Option<u16>,
}

impl Record {
    /// What telemetry shows as the URL: the route's template, or the path's shape where no route knows
    /// the path. Never a query.
    pub fn url(&self) -> &str {
        self.shape.as_deref().unwrap_or(&self.route.template)
    }

    /// The `error.type`, where the ending has one.
    pub fn error_type(&self) -> Option<ErrorType> {
        self.error_type_of(self.status)
    }

    /// The `error.type` as if this had been the status: the upstream's is not always the client's.
    pub fn error_type_of(&self, status: Option<u16>) -> Option<ErrorType> {
        match &self.class {
            Some(class) => Some(ErrorType::class(class.clone())),
            None => self.outcome.error_type(status),
        }
    }

    /// Whether an error event is worth sending: see [`Outcome::is_reported`]. So is an upstream's error
    /// that the configuration has a name for.
    pub fn is_reported(&self) -> bool {
        self.class.is_some() || self.outcome.is_reported()
    }

    /// The level of the log line.
    pub fn level(&self) -> Level {
        self.outcome.level(self.status)
    }

    /// Whether this exchange counts as an error of the service.
    pub fn is_error(&self) -> bool {
        self.outcome.is_error(self.status)
    }

    /// Whether its spans were kept, by the head decision or by a reason at the end.
    pub fn is_kept(&self) -> bool {
        matches!(self.kept, Some(Kept::Head | Kept::End(_)))
    }

    /// The captured fact of this name.
    pub fn fact(&self, name: &str) -> Option<&Value> {
        self.facts.iter().find(|fact| &*fact.name == name).map(|fact| &fact.value)
    }
}
