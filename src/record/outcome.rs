//! How an exchange can end, and what each ending means to the world.
//!
//! One table maps every [`Refusal`] (we said no) and [`Failure`] (we could not) to its status, its
//! `error.type`, its title and its log level. Nothing else in the tree decides any of these: the compiler
//! asks for each of them when an ending is added, and [`ErrorType::is_own`] finds its word by itself.
//!
//! The set of `error.type` values is closed, so it is safe as a metric label.

use std::borrow::Cow;

use super::ErrorType;
use super::listed::listed;

/// How an exchange ended. Every exchange has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole answer of the upstream was handed to the client's connection.
    Served,
    /// We said no, and our own answer was handed to the client's connection.
    Refused(Refusal),
    /// We could not: the upstream or a part of ours failed.
    Failed(Failure),
    /// The client left before the end.
    Gone {
        /// Where the exchange was when the client left.
        phase: Phase,
    },
    /// One of our own deadlines cut the answer short.
    Aborted(Abort),
    /// A stage panicked. The client got a 500 if no head had been sent.
    Panicked,
}

listed! {
    /// We said no: the request broke a rule, and the upstream never saw it (or not all of it).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Refusal {
        /// The request is ambiguous or malformed. Usually a broken client, or an attack.
        BadRequest,
        /// A body that has to be read is compressed, or is of no media type that its operation takes.
        UnsupportedMediaType,
        /// The declared or actual body is over `max_request_body`.
        BodyTooLarge,
        /// The client stopped sending its body for `body_idle_timeout`.
        RequestBodyTimeout,
        /// `Expect` asks for something other than `100-continue`.
        ExpectationFailed,
        /// The request target is longer than `max_uri_bytes`.
        UriTooLong,
        /// The head is larger than `max_header_bytes`, or has more fields than `max_headers`.
        HeaderTooLarge,
        /// `CONNECT`, or another thing this proxy does not do.
        NotImplemented,
        /// The route's action is `deny`.
        Forbidden,
        /// A token bucket is empty.
        RateLimited,
        /// No permit, no connection, or no memory for inspection was free in time.
        Overloaded,
        /// Nobody gets a connection to the upstream, so nobody tries for a while.
        CircuitOpen,
        /// No route and no operation knows the path, and `security.unmatched` denies such.
        NotFound,
        /// The path is known, but not with this method.
        MethodNotAllowed,
        /// The route requires an identity, and there is none, or it cannot be verified.
        Unauthenticated,
        /// The identity was good until it expired.
        TokenExpired,
        /// The keys that would verify the identity cannot be had.
        JwksUnavailable,
        /// The request names another tenant than the identity's.
        TenantMismatch,
        /// A browser sent it for another site.
        Csrf,
        /// It does not fit the operation's schema.
        SchemaViolation,
    }
}

listed! {
    /// We could not: something behind or inside the sidecar failed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Failure {
        /// No connection to the upstream. Usually it is not running, or not yet.
        UpstreamConnect,
        /// The TLS handshake with the upstream failed. Usually its certificate is not trusted, has
        /// expired or names another host.
        UpstreamTls,
        /// The upstream closed or reset the connection before its answer was complete.
        UpstreamReset,
        /// The upstream answered with something that is not HTTP.
        UpstreamProtocol,
        /// No response head within `response_header`.
        ResponseHeaderTimeout,
        /// The exchange outlived `upstream.timeouts.request`.
        RequestTimeout,
        /// The gRPC status in the trailers names a server error.
        GrpcStatus(u8),
        /// The audit record could not be made durable in time.
        AuditUnavailable,
    }
}

listed! {
    /// One of our own deadlines ended an answer that had begun.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Abort {
        /// No byte of an ordinary answer for `upstream.timeouts.idle`.
        IdleTimeout,
        /// No byte of a stream for `upstream.timeouts.stream_idle`.
        StreamIdleTimeout,
        /// The stream outlived `upstream.timeouts.stream_max`.
        StreamMaxDuration,
        /// The sidecar shut down before the answer was complete.
        Drain,
    }
}

/// Where an exchange was when it ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reading and judging the head.
    Head,
    /// Waiting for a token bucket or a permit.
    Limits,
    /// Finding out who calls.
    Identity,
    /// Reading the request body, for captures, its schema or its tenant.
    Inspect,
    /// Waiting for the durable audit record.
    Audit,
    /// Sending to the upstream and waiting for its head.
    Upstream,
    /// Passing the body on.
    Response,
}

impl Phase {
    /// The name used in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Limits => "limits",
            Self::Identity => "identity",
            Self::Inspect => "inspect",
            Self::Audit => "audit",
            Self::Upstream => "upstream",
            Self::Response => "response",
        }
    }
}

impl Refusal {
    /// The status of the answer (RFC 9110 §15, RFC 6585).
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest | Self::SchemaViolation => 400,
            Self::Unauthenticated | Self::TokenExpired => 401,
            Self::Forbidden | Self::TenantMismatch | Self::Csrf => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestBodyTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::UriTooLong => 414,
            Self::UnsupportedMediaType => 415,
            Self::ExpectationFailed => 417,
            Self::RateLimited => 429,
            Self::HeaderTooLarge => 431,
            Self::NotImplemented => 501,
            Self::Overloaded | Self::CircuitOpen | Self::JwksUnavailable => 503,
        }
    }

    /// The closed `error.type` value.
    pub fn error_type(self) -> ErrorType {
        ErrorType::own(match self {
            Self::BadRequest => "bad_request",
            Self::Forbidden => "forbidden",
            Self::RequestBodyTimeout => "request_body_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::UriTooLong => "uri_too_long",
            Self::HeaderTooLarge => "header_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::ExpectationFailed | Self::NotImplemented => "_OTHER",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::CircuitOpen => "circuit_open",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Unauthenticated => "unauthenticated",
            Self::TokenExpired => "token_expired",
            Self::JwksUnavailable => "jwks_unavailable",
            Self::TenantMismatch => "tenant_mismatch",
            Self::Csrf => "csrf",
            Self::SchemaViolation => "schema_violation",
        })
    }

    /// The `title` of the problem document.
    pub fn title(self) -> &'static str {
        match self {
            Self::BadRequest | Self::SchemaViolation => "Invalid request",
            Self::Forbidden => "Forbidden",
            Self::RequestBodyTimeout => "Request body timeout",
            Self::BodyTooLarge => "Request body too large",
            Self::UriTooLong => "URI too long",
            Self::HeaderTooLarge => "Request header fields too large",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::ExpectationFailed => "Expectation failed",
            Self::RateLimited => "Rate limit exceeded",
            Self::NotImplemented => "Not implemented",
            Self::Overloaded => "Overloaded",
            Self::CircuitOpen => "Upstream unreachable",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::Unauthenticated | Self::TokenExpired => "Unauthorized",
            Self::JwksUnavailable => "Identity cannot be verified",
            Self::TenantMismatch => "Tenant mismatch",
            Self::Csrf => "Cross-site request refused",
        }
    }
}

impl Failure {
    /// The status of the answer, where none had been sent yet.
    pub fn status(self) -> u16 {
        match self {
            Self::UpstreamConnect
            | Self::UpstreamTls
            | Self::UpstreamReset
            | Self::UpstreamProtocol
            | Self::GrpcStatus(_) => 502,
            Self::ResponseHeaderTimeout | Self::RequestTimeout => 504,
            Self::AuditUnavailable => 503,
        }
    }

    /// The closed `error.type` value.
    pub fn error_type(self) -> ErrorType {
        ErrorType::own(match self {
            Self::UpstreamConnect => "upstream_connect",
            Self::UpstreamTls => "upstream_tls",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::ResponseHeaderTimeout => "response_header_timeout",
            Self::RequestTimeout => "request_timeout",
            Self::GrpcStatus(_) => "_OTHER",
            Self::AuditUnavailable => "audit_unavailable",
        })
    }

    /// The `title` of the problem document.
    pub fn title(self) -> &'static str {
        match self {
            Self::UpstreamConnect => "Upstream unreachable",
            Self::UpstreamTls => "Upstream TLS failure",
            Self::UpstreamReset => "Upstream connection lost",
            Self::UpstreamProtocol => "Upstream protocol error",
            Self::ResponseHeaderTimeout | Self::RequestTimeout => "Execution timeout",
            Self::GrpcStatus(_) => "Upstream error",
            Self::AuditUnavailable => "Audit unavailable",
        }
    }
}

impl Abort {
    /// The status that would have been the answer, had none been sent yet.
    pub fn status(self) -> u16 {
        match self {
            Self::IdleTimeout | Self::StreamIdleTimeout | Self::StreamMaxDuration => 504,
            Self::Drain => 503,
        }
    }

    /// The `title` of the problem document.
    pub fn title(self) -> &'static str {
        match self {
            Self::IdleTimeout | Self::StreamIdleTimeout | Self::StreamMaxDuration => {
                "Execution timeout"
            }
            Self::Drain => "Shutting down",
        }
    }

    /// The closed `error.type` value.
    pub fn error_type(self) -> ErrorType {
        ErrorType::own(match self {
            Self::IdleTimeout => "idle_timeout",
            Self::StreamIdleTimeout => "stream_idle_timeout",
            Self::StreamMaxDuration => "stream_max_duration",
            Self::Drain => "drain",
        })
    }
}

/// How loud a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something broke: 5xx, panic, cut stream.
    Error,
    /// We said no, or the client left.
    Warn,
    /// All else.
    Info,
}

impl Level {
    /// The winston name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
        }
    }
}

impl Outcome {
    /// The word for this ending in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
            Self::Gone { .. } => "gone",
            Self::Aborted(_) => "aborted",
            Self::Panicked => "panicked",
        }
    }

    /// The `error.type`, where there is one. `status` is what the client got, if anything.
    pub fn error_type(self, status: Option<u16>) -> Option<ErrorType> {
        match self {
            Self::Served => status.filter(|s| *s >= 500).map(ErrorType::upstream_status),
            Self::Refused(refusal) => Some(refusal.error_type()),
            Self::Failed(failure) => Some(failure.error_type()),
            Self::Gone { .. } => Some(ErrorType::CLIENT_ABORT),
            Self::Aborted(abort) => Some(abort.error_type()),
            Self::Panicked => Some(ErrorType::PANIC),
        }
    }

    /// The level of the log line.
    pub fn level(self, status: Option<u16>) -> Level {
        match self {
            Self::Served if status.is_some_and(|s| s >= 500) => Level::Error,
            Self::Served => Level::Info,
            Self::Refused(refusal) if refusal.status() >= 500 => Level::Error,
            Self::Refused(_) | Self::Gone { .. } => Level::Warn,
            Self::Failed(_) | Self::Aborted(_) | Self::Panicked => Level::Error,
        }
    }

    /// Whether this ending counts as an error of the service: status ≥ 500, timeout, reset, cut
    /// stream. Refusals below 500 and clients that leave do not.
    pub fn is_error(self, status: Option<u16>) -> bool {
        self.level(status) == Level::Error
    }

    /// Whether an error event is worth sending: failures and panics, not refusals, and not an
    /// upstream's own 5xx (its own error reporting knows more).
    pub fn is_reported(self) -> bool {
        matches!(self, Self::Failed(_) | Self::Aborted(_) | Self::Panicked)
    }

    /// Our own sentence about this ending: never a word of the upstream's or the client's.
    pub fn message(self, status: Option<u16>) -> Cow<'static, str> {
        match self {
            Self::Served => match status {
                Some(status) if status >= 500 => format!("The upstream answered {status}.").into(),
                _ => "The exchange was served.".into(),
            },
            Self::Refused(refusal) => format!("{}.", refusal.title()).into(),
            Self::Failed(Failure::GrpcStatus(code)) => {
                format!("The upstream ended with gRPC status {code}.").into()
            }
            Self::Failed(failure) => format!("{}.", failure.title()).into(),
            Self::Gone { phase } => format!("The client left in phase {}.", phase.as_str()).into(),
            Self::Aborted(abort) => {
                format!("The answer was cut: {}.", abort.error_type().as_str()).into()
            }
            Self::Panicked => "A stage of the pipeline panicked.".into(),
        }
    }
}
