//! What a response head says about the answer: its shape, its cache, its gRPC status.
//!
//! It notes in the exchange what the head tells, and says what body to expect and how it can be read. It
//! goes by the head alone; what a body or its trailers tell is the part of `reply`.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::exchange::Exchange;
use crate::record::{Failure, Outcome, Stream, StreamKind};

/// The shape of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// HEAD, 204 and 304 have no body, whatever their header fields say (RFC 9110 §6.4.1).
    pub has_no_body: bool,
    /// An event stream to which an event of ours can be added: it is neither encoded nor of a
    /// declared length.
    pub takes_events: bool,
    /// What can be read of the body for the route's captures; `None` where they do not ask.
    pub text: Option<Text>,
    /// Whether the beginning of the body may tell the class of the error.
    pub tells_class: bool,
    /// An ending that the head itself declares (a gRPC trailers-only answer).
    pub ending: Option<Outcome>,
}

/// How a body is to be read for facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// As one JSON document.
    Document,
    /// As events whose data may be JSON.
    Events,
    /// Not at all: it is encoded, or of another media type.
    Unreadable,
}

/// gRPC statuses that are the server's fault (OpenTelemetry gRPC conventions): unknown, deadline
/// exceeded, unimplemented, internal, unavailable, data loss.
const GRPC_SERVER_ERRORS: [u8; 6] = [2, 4, 12, 13, 14, 15];

/// Reads a response head into the exchange and says what body to expect.
pub fn head(
    exchange: &mut Exchange,
    method: &Method,
    status: StatusCode,
    headers: &HeaderMap,
) -> Shape {
    exchange.status = Some(status.as_u16());
    exchange.cache = exchange.plan.cache_fields.judge(headers);
    if let Some(captures) = &exchange.route.head_captures {
        exchange.facts.extend(captures.read(headers));
    }
    let media_type = headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let has_no_body = method == Method::HEAD
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    // What never comes is no stream, whatever it would have been.
    let kind = if has_no_body { None } else { stream_of(media_type) };
    let is_encoded = kind.is_some() && is_encoded(headers);
    if kind.is_some() || status == StatusCode::SWITCHING_PROTOCOLS {
        let visible = kind.filter(|_| !is_encoded).unwrap_or(StreamKind::Opaque);
        exchange.stream = Some(Box::new(Stream::of(visible)));
    }
    let tells_class = status.is_server_error() && is_told_by_body(exchange, headers, has_no_body);
    Shape {
        has_no_body,
        takes_events: kind == Some(StreamKind::Events)
            && !is_encoded
            && !headers.contains_key(CONTENT_LENGTH),
        tells_class,
        text: exchange
            .route
            .answer_captures
            .is_some()
            .then(|| text(kind, essence(media_type), headers)),
        // A head that is all there is of a gRPC answer has its media type, too.
        ending: kind
            .is_some_and(|kind| kind != StreamKind::Events)
            .then(|| grpc_failure(headers))
            .flatten()
            .map(|code| Outcome::Failed(Failure::GrpcStatus(code))),
    }
}

/// Notes the class of an error, as far as its head tells it. Whether its body may tell more.
fn is_told_by_body(exchange: &mut Exchange, headers: &HeaderMap, has_no_body: bool) -> bool {
    let (Some(classes), Some(status)) = (&exchange.plan.error_classes, exchange.status) else {
        return false;
    };
    if let Some(class) = classes.named(headers) {
        exchange.class = Some(class.clone());
        return false;
    }
    exchange.class = classes.of_status(status).cloned();
    if has_no_body || !classes.ask_for_body(status) {
        return false;
    }
    let is_readable = !is_encoded(headers);
    if !is_readable {
        exchange.proxy().telemetry().metrics().capture_unreadable();
    }
    is_readable
}

/// The gRPC status, where it names a server error.
pub fn grpc_failure(headers: &HeaderMap) -> Option<u8> {
    let code = headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()?;
    GRPC_SERVER_ERRORS.contains(&code).then_some(code)
}

/// How to read this body. One without a media type may be JSON as well as anything.
fn text(kind: Option<StreamKind>, essence: &[u8], headers: &HeaderMap) -> Text {
    let suffix = essence.len().checked_sub(b"+json".len()).and_then(|at| essence.get(at..));
    let is_json = essence.is_empty()
        || essence.eq_ignore_ascii_case(b"application/json")
        || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"));
    match kind {
        _ if is_encoded(headers) => Text::Unreadable,
        Some(StreamKind::Events) => Text::Events,
        None if is_json => Text::Document,
        _ => Text::Unreadable,
    }
}

/// Whether a body must be decoded before it can be read. `identity` is no coding (RFC 9110 §8.4.1).
fn is_encoded(headers: &HeaderMap) -> bool {
    let is_plain = |coding: &[u8]| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity");
    let lines = headers.get_all(CONTENT_ENCODING).into_iter().map(HeaderValue::as_bytes);
    let mut codings =
        lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    codings.any(|coding| !is_plain(coding))
}

/// A media type without its parameters, nor the blanks before them (RFC 9110 §5.6.3: spaces and tabs).
fn essence(media_type: &[u8]) -> &[u8] {
    let end = memchr::memchr3(b';', b' ', b'\t', media_type).unwrap_or(media_type.len());
    &media_type[..end]
}

/// The kind of stream that a media type announces; `None` of an ordinary answer.
fn stream_of(media_type: &[u8]) -> Option<StreamKind> {
    let essence = essence(media_type);
    let is = |name: &str| essence.eq_ignore_ascii_case(name.as_bytes());
    let begins = |name: &str| {
        essence.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name.as_bytes()))
    };
    if is("text/event-stream") {
        Some(StreamKind::Events)
    } else if begins("application/grpc") {
        // The text form of gRPC-Web is base64.
        let is_text = begins("application/grpc-web-text");
        Some(if is_text { StreamKind::Opaque } else { StreamKind::Grpc })
    } else if is("application/x-ndjson") || is("application/ndjson") || is("application/jsonl") {
        Some(StreamKind::Lines)
    } else if is("application/json-seq") {
        Some(StreamKind::Records)
    } else {
        None
    }
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (HeaderName::from_static(k), v.parse().unwrap())).collect()
    }

    #[test]
    fn streams_are_known_at_the_head() {
        for (media_type, expected) in [
            ("text/event-stream; charset=utf-8", Some(StreamKind::Events)),
            ("text/event-stream\t; charset=utf-8", Some(StreamKind::Events)),
            ("application/x-ndjson \t;charset=utf-8", Some(StreamKind::Lines)),
            ("application/grpc+proto", Some(StreamKind::Grpc)),
            ("application/grpc-web", Some(StreamKind::Grpc)),
            ("application/grpc-web-text+proto", Some(StreamKind::Opaque)),
            ("application/x-ndjson", Some(StreamKind::Lines)),
            ("Application/NDJSON", Some(StreamKind::Lines)),
            ("application/jsonl;charset=utf-8", Some(StreamKind::Lines)),
            ("application/json-seq", Some(StreamKind::Records)),
            ("application/json", None),
            ("", None),
        ] {
            assert_eq!(stream_of(media_type.as_bytes()), expected, "{media_type}");
        }
    }

    #[test]
    fn json_and_events_in_the_clear_are_read() {
        let encoded = headers(&[("content-encoding", "gzip")]);
        let plain = headers(&[("content-encoding", "Identity")]);
        for (media_type, expected) in [
            ("application/json; charset=utf-8", Text::Document),
            ("application/problem+JSON", Text::Document),
            ("", Text::Document),
            ("text/event-stream", Text::Events),
            ("text/html", Text::Unreadable),
            ("application/json-seq", Text::Unreadable),
            ("application/grpc+json", Text::Unreadable),
            ("json", Text::Unreadable),
        ] {
            let media_type = media_type.as_bytes();
            let text = |headers| text(stream_of(media_type), essence(media_type), headers);
            assert_eq!(text(&plain), expected, "{media_type:?}");
            assert_eq!(text(&encoded), Text::Unreadable, "{media_type:?}");
        }
    }

    #[test]
    fn identity_is_no_coding_and_one_real_coding_is_enough() {
        for (lines, expected) in [
            (&[][..], false),
            (&["identity"], false),
            (&["Identity, identity", ""], false),
            (&["gzip"], true),
            (&["identity, br"], true),
            (&["identity", "zstd"], true),
        ] {
            let line = |line: &&'static str| (CONTENT_ENCODING, HeaderValue::from_static(line));
            let mut headers = HeaderMap::new();
            for (name, value) in lines.iter().map(line) {
                headers.append(name, value);
            }
            assert_eq!(is_encoded(&headers), expected, "{lines:?}");
        }
    }

    #[test]
    fn only_server_errors_of_grpc_are_failures() {
        assert_eq!(grpc_failure(&headers(&[("grpc-status", "14")])), Some(14));
        assert_eq!(grpc_failure(&headers(&[("grpc-status", "5")])), None);
        assert_eq!(grpc_failure(&headers(&[("grpc-status", "0")])), None);
        assert_eq!(grpc_failure(&headers(&[("grpc-status", "999")])), None);
    }
}
