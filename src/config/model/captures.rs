//! `[captures."…"]`: facts that may leave, where they are, what is taken there, and the names that they
//! cannot have.

use std::sync::Arc;

use crate::record::ConfigName;

/// The labels that the request metrics have already, or that Prometheus gives, as Prometheus spells
/// them.
pub const TAKEN_LABELS: [&str; 12] = [
    "http_request_method",
    "http_route",
    "http_response_status_code",
    "error_type",
    "sidecar_stream",
    "otel_metric_overflow",
    "otel_scope_name",
    "otel_scope_version",
    "le",
    "quantile",
    "job",
    "instance",
];

/// The fields that a line of the log has already, in one schema or another or at Datadog, and the
/// attributes of spans.
pub const TAKEN_FIELDS: [&str; 51] = [
    "timestamp",
    "level",
    "message",
    "service",
    "environment",
    "version",
    "requestId",
    "clientRequestId",
    "method",
    "url",
    "route",
    "operationId",
    "status",
    "duration",
    "ttfb",
    "userId",
    "tenantId",
    "userAgent",
    "clientIp",
    "bytesIn",
    "bytesOut",
    "stream",
    "events",
    "outcome",
    "errorType",
    "identityReason",
    "wouldRefuse",
    "rateLimit",
    "traceId",
    "spanId",
    "sampled",
    "upstreamMs",
    "overheadUs",
    "stack",
    "error.type",
    "error.message",
    "url.path",
    "url.scheme",
    "network.protocol.version",
    "client.address",
    "user.hash",
    "user.id",
    "tenant.id",
    "user_agent.original",
    "exception.type",
    "exception.message",
    "exception.stacktrace",
    "ddsource",
    "ddtags",
    "hostname",
    "durationMs",
];

/// How further such names begin.
pub const TAKEN_BEGINNINGS: [&str; 5] = ["sidecar.", "http.", "headers.", "sampling.", "dd."];

/// One of `[captures]`.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The fact's name.
    pub name: ConfigName,
    /// Where it is.
    pub place: Place,
    /// What is taken there.
    pub take: Take,
    /// Whether it is a label of metrics; only of a listed value.
    pub metric: bool,
}

/// Where a fact is: `captures.from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `path:<name>`: a parameter of the route's template.
    Path(Box<str>),
    /// `request.body:<pointer>`: a JSON pointer (RFC 6901) into the request's body.
    RequestBody(Box<str>),
    /// `response.header:<name>`, in lower case.
    ResponseHeader(Arc<str>),
    /// `response.body:<pointer>`: a JSON document, or the last event of a stream that has the place.
    ResponseBody(Box<str>),
}

impl Place {
    /// Whether the fact is known before the request is forwarded, so that a limit can count by it.
    pub fn is_of_the_request(&self) -> bool {
        matches!(self, Self::Path(_) | Self::RequestBody(_))
    }
}

/// `captures.take`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Take {
    /// The value itself, if it is one of these; else `_other`.
    Value(Vec<ConfigName>),
    /// The length of a text in UTF-16 code units.
    Length,
    /// A whole number that is not negative.
    Number,
    /// The pseudonym of a text, or of a whole number's digits.
    Hmac,
}
