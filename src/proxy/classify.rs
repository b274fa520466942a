//! What a response head says about the answer: its shape, its cache, its gRPC status.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use http::{HeaderName, Method, StatusCode};

use super::exchange::Exchange;
use crate::http::cache_status::Verdict;
use crate::record::{Cache, Failure, Outcome, Stream};

/// The shape of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// HEAD, 204 and 304 have no body, whatever their header fields say (RFC 9110 §6.4.1).
    pub has_no_body: bool,
    /// Server-sent events: counted.
    pub is_event_stream: bool,
    /// An event stream to which an event of ours can be added: it is neither encoded nor of a
    /// declared length.
    pub takes_events: bool,
    /// An ending that the head itself declares (a gRPC trailers-only answer).
    pub ending: Option<Outcome>,
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
    exchange.cache = exchange.plan.cache_fields.judge(headers).map(|verdict| match verdict {
        Verdict::Hit => Cache::Hit,
        Verdict::Miss => Cache::Miss,
    });
    let media_type = headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let kind = Kind::of(media_type);
    if kind != Kind::Ordinary || status == StatusCode::SWITCHING_PROTOCOLS {
        exchange.stream = Some(Stream::default());
    }
    let has_no_body = method == Method::HEAD
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    Shape {
        has_no_body,
        is_event_stream: kind == Kind::EventStream,
        takes_events: kind == Kind::EventStream
            && !headers.contains_key(CONTENT_ENCODING)
            && !headers.contains_key(CONTENT_LENGTH),
        // A head that is all there is of a gRPC answer has its media type, too.
        ending: (kind == Kind::OtherStream)
            .then(|| grpc_failure(headers))
            .flatten()
            .map(|code| Outcome::Failed(Failure::GrpcStatus(code))),
    }
}

/// The gRPC status, where it names a server error.
pub fn grpc_failure(headers: &HeaderMap) -> Option<u8> {
    let code = headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()?;
    GRPC_SERVER_ERRORS.contains(&code).then_some(code)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ordinary,
    EventStream,
    OtherStream,
}

impl Kind {
    fn of(media_type: &[u8]) -> Self {
        let end = memchr::memchr2(b';', b' ', media_type).unwrap_or(media_type.len());
        let essence = &media_type[..end];
        let is = |name: &str| essence.eq_ignore_ascii_case(name.as_bytes());
        let is_grpc =
            essence.len() >= 16 && essence[..16].eq_ignore_ascii_case(b"application/grpc");
        if is("text/event-stream") {
            Self::EventStream
        } else if is_grpc
            || is("application/x-ndjson")
            || is("application/ndjson")
            || is("application/jsonl")
            || is("application/json-seq")
        {
            Self::OtherStream
        } else {
            Self::Ordinary
        }
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
        assert_eq!(Kind::of(b"text/event-stream; charset=utf-8"), Kind::EventStream);
        assert_eq!(Kind::of(b"application/grpc+proto"), Kind::OtherStream);
        for lines in
            ["application/x-ndjson", "Application/NDJSON", "application/jsonl;charset=utf-8"]
        {
            assert_eq!(Kind::of(lines.as_bytes()), Kind::OtherStream, "{lines}");
        }
        assert_eq!(Kind::of(b"application/json-seq"), Kind::OtherStream);
        assert_eq!(Kind::of(b"application/json"), Kind::Ordinary);
        assert_eq!(Kind::of(b""), Kind::Ordinary);
    }

    #[test]
    fn only_server_errors_of_grpc_are_failures() {
        assert_eq!(grpc_failure(&headers(&[("grpc-status", "14")])), Some(14));
        assert_eq!(grpc_failure(&headers(&[("grpc-status", "5")])), None);
        assert_eq!(grpc_failure(&headers(&[("grpc-status", "0")])), None);
        assert_eq!(grpc_failure(&headers(&[("grpc-status", "999")])), None);
    }
}
