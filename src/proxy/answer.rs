//! Heads towards the client: the upstream's, cleaned; or our own, with a problem document.
//!
//! Every answer carries what [`sign`] adds, the request id among it. An answer of our own never repeats a
//! word of the client's or the upstream's.

use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, SERVER, TRAILER,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use http_body::Body;

use super::classify::Shape;
use super::exchange::{Exchange, Stop};
use super::limits::{self, Verdict};
use super::reply::ReplyBody;
use super::security_headers::X_POWERED_BY;
use super::survey::Survey;
use super::upstream::lease::UpstreamBody;
use crate::http::hop;
use crate::http::problem::{self, Pointed, Problem};
use crate::http::server_timing::{self, SERVER_TIMING};
use crate::openapi::Violation;
use crate::record::{ErrorType, Failure, Outcome, Phase, Refusal};

/// What a refusal says that no wait makes good.
const NEVER_ADMITTED: &str = "The request costs more than this limit ever admits at once.";

/// What the client's head says about how to answer it.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    is_head: bool,
    expects_continue: bool,
    prefers_html: bool,
    version: Version,
}

impl Asked {
    /// Reads it off a head, before the head is taken apart.
    pub fn of(head: &Parts, survey: &Survey) -> Self {
        Self {
            is_head: head.method == Method::HEAD,
            expects_continue: survey.has_expectation,
            prefers_html: survey.prefers_html,
            version: head.version,
        }
    }
}

/// Cleans the upstream's head for the client.
pub fn dress(exchange: &Exchange, verdict: &Verdict, headers: &mut HeaderMap) {
    // These two come with almost every answer, so they need no list.
    let (mut has_connection, mut has_keep_alive) = (false, false);
    // So does the first of these.
    let (mut has_server, mut has_powered_by) = (false, false);
    let mut ending = Vec::new();
    let (mut lists_fields, mut has_trailer) = (false, false);
    for (name, value) in &*headers {
        match *name {
            CONNECTION => {
                has_connection = true;
                lists_fields |= !hop::lists_nothing(value.as_bytes());
            }
            SERVER => has_server = true,
            _ if hop::is_usual(name) => {}
            TRAILER => has_trailer = true,
            _ if *name == X_POWERED_BY => has_powered_by = true,
            _ if *name == hop::KEEP_ALIVE => has_keep_alive = true,
            _ if ends_here(name) => ending.push(name.clone()),
            _ => {}
        }
    }
    if lists_fields {
        ending.extend(hop::listed(headers));
    }
    if has_trailer {
        hop::strip_announced(headers, |name| *name == exchange.plan.request_id_header);
    }
    if has_connection {
        headers.remove(CONNECTION);
    }
    if has_keep_alive {
        headers.remove(hop::KEEP_ALIVE);
    }
    for name in ending {
        headers.remove(name);
    }
    let security = &exchange.plan.security_headers;
    if has_server && security.hides_server {
        headers.remove(SERVER);
    }
    if has_powered_by && security.hides_powered_by {
        headers.remove(X_POWERED_BY);
    }
    limits::dress(headers, verdict);
    sign(exchange, headers);
}

/// Adds what every answer carries, the upstream's and our own: the security headers (a content policy by
/// the media type that is already there), the request id, and where the time went.
pub fn sign(exchange: &Exchange, headers: &mut HeaderMap) {
    exchange.plan.security_headers.add_to(headers, exchange.is_tls());
    headers.insert(&exchange.plan.request_id_header, exchange.request_id.clone());
    tell_time(exchange, headers);
}

/// Passes the upstream's answer on, and the exchange inside its body.
pub fn follow(
    exchange: Box<Exchange>,
    response: Response<UpstreamBody>,
    shape: Shape,
) -> Response<ReplyBody> {
    let (mut head, body) = response.into_parts();
    head.version = version(&exchange, &body);
    let length = body.size_hint().exact();
    // A length beside a transfer coding does not count and must not go on (RFC 9112 §6.3). One
    // without a body hyper would take for a mistake of ours.
    if length.map_or(!shape.has_no_body, |length| shape.has_no_body && length > 0) {
        head.headers.remove(CONTENT_LENGTH);
    }
    Response::from_parts(head, ReplyBody::follow(body, exchange, shape))
}

/// The version is the connection's, not the upstream's (RFC 9110 §2.5): behind an HTTP/1.0 service
/// the client still gets HTTP/1.1, and hyper answers an HTTP/1.0 client in kind. Only an answer that
/// such a client must read until the close says so itself, because hyper would promise to keep the
/// connection.
fn version(exchange: &Exchange, body: &UpstreamBody) -> Version {
    let ends_at_the_close = exchange.protocol() == "1.0" && body.size_hint().exact().is_none();
    if ends_at_the_close { Version::HTTP_10 } else { Version::HTTP_11 }
}

/// Says of an upstream's answer that the connection ends with it, where its client holds a body back
/// that nobody asked for: whether it comes after all, no one can know.
pub fn give_up_body(exchange: &Exchange, asked: Asked, headers: &mut HeaderMap) {
    if asked.expects_continue && exchange.is_body_untouched() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Answers as the last recipient of a request (`Max-Forwards: 0`). The exchange ends here.
pub fn arrive(mut exchange: Box<Exchange>) -> Response<ReplyBody> {
    exchange.status = Some(StatusCode::OK.as_u16());
    exchange.end(Outcome::Served);
    let mut response = Response::new(ReplyBody::Empty);
    let fields = response.headers_mut();
    fields.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    sign(&exchange, fields);
    response
}

/// Answers a stop ourselves. The exchange ends here.
pub fn refuse(mut exchange: Box<Exchange>, stop: Stop, asked: Asked) -> Response<ReplyBody> {
    let violations = match &stop {
        Stop::Invalid(violations) => violations.clone(),
        _ => Vec::new(),
    };
    let errors: Vec<_> = violations.iter().map(pointed).collect();
    let (outcome, status, title, error_type, headers) = explain(stop, exchange.phase);
    // Who has left gets neither a head nor a body: no one was told this status.
    let is_told = !matches!(outcome, Outcome::Gone { .. });
    exchange.status = is_told.then_some(status);
    let limit = exchange.limited_by.clone();
    let violated: Vec<&str> = limit.iter().map(|name| &**name).collect();
    let (body, media_type) = exchange.id().with_str(|id| {
        let mut problem = Problem::new(status, title, error_type.as_str(), id);
        problem.type_uri = problem::type_uri(&exchange.plan.errors_type_base, error_type.as_str());
        problem.errors = &errors;
        if status == 429 {
            problem.type_uri = problem::QUOTA_EXCEEDED.into();
            problem.violated_policies = &violated;
            problem.detail = (!headers.contains_key(RETRY_AFTER)).then_some(NEVER_ADMITTED);
        }
        if asked.prefers_html {
            (problem.html(), problem::HTML)
        } else {
            (problem.json(), problem::JSON)
        }
    });
    let length = body.len();
    if is_told && !asked.is_head {
        exchange.bytes_out = length as u64;
    }
    exchange.end(outcome);

    let body = (!asked.is_head).then(|| body.into());
    let mut response = Response::new(ReplyBody::Own(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = headers;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == 503 && !fields.contains_key(RETRY_AFTER) {
        fields.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    sign(&exchange, fields);
    // A body that is under way can often still be skipped; one that was too large, too slow, malformed
    // or never asked for ends the connection.
    let is_given_up =
        matches!(status, 408 | 413) || asked.expects_continue || exchange.link().is_broken();
    if is_given_up && exchange.link().has_unread() {
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Asks the client to open its next connection elsewhere. HTTP/2 has GOAWAY for that; a connection that
/// changes its protocol is no longer HTTP.
pub fn part(response: &mut Response<ReplyBody>, asked: Asked) {
    if asked.version < Version::HTTP_2 && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Adds where the time went, where the plan wants every client to know. It is appended behind what the
/// upstream says of itself, and replaces nothing.
fn tell_time(exchange: &Exchange, headers: &mut HeaderMap) {
    if !exchange.plan.server_timing {
        return;
    }
    let upstream = exchange.upstream_time();
    let own = exchange.began().elapsed().saturating_sub(upstream.unwrap_or_default());
    if let Some(value) = server_timing::value(own, upstream) {
        headers.append(SERVER_TIMING, value);
    }
}

fn explain(stop: Stop, phase: Phase) -> (Outcome, u16, &'static str, ErrorType, HeaderMap) {
    match stop {
        Stop::Refused(refusal, headers) => (
            Outcome::Refused(refusal),
            refusal.status(),
            refusal.title(),
            refusal.error_type(),
            *headers,
        ),
        Stop::Invalid(_) => {
            let refusal = Refusal::SchemaViolation;
            let (status, title) = (refusal.status(), refusal.title());
            (Outcome::Refused(refusal), status, title, refusal.error_type(), HeaderMap::new())
        }
        Stop::Failed(failure) => failed(failure),
        // Nobody is there to read it; hyper still wants an answer.
        Stop::Gone => (
            Outcome::Gone { phase },
            400,
            Refusal::BadRequest.title(),
            ErrorType::CLIENT_ABORT,
            HeaderMap::new(),
        ),
        Stop::Panicked => {
            (Outcome::Panicked, 500, "Internal error", ErrorType::PANIC, HeaderMap::new())
        }
    }
}

fn pointed(violation: &Violation) -> Pointed<'_> {
    Pointed {
        place: violation.place.as_str(),
        pointer: &violation.pointer,
        rule: violation.rule.as_str(),
    }
}

fn failed(failure: Failure) -> (Outcome, u16, &'static str, ErrorType, HeaderMap) {
    let outcome = Outcome::Failed(failure);
    (outcome, failure.status(), failure.title(), failure.error_type(), HeaderMap::new())
}

fn ends_here(name: &http::HeaderName) -> bool {
    hop::is_hop_by_hop(name) || hop::is_internal(name)
}
