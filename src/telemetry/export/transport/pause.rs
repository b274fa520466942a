//! How long a collector asks to be left alone: `Retry-After`, and gRPC's `RetryInfo`.
//!
//! It says what was asked for, however long; who waits decides how much of that it honours.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;
use prost::Message;

use crate::base64::{self, Form};

const DETAILS: &str = "grpc-status-details-bin";
const RETRY_INFO: &str = "google.rpc.RetryInfo";

/// `google.rpc.Status`, without the texts.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(bytes = "vec", tag = "1")]
    type_url: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtobufDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
struct ProtobufDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// `Retry-After` in seconds or as a date (RFC 9110 §10.2.3); `None` for anything else.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only too many digits make it no number.
        text.parse().map_or(Duration::MAX, Duration::from_secs)
    } else {
        let until = httpdate::parse_http_date(text).ok()?;
        // A date that has passed asks for nothing.
        until.duration_since(now).unwrap_or(Duration::ZERO)
    };
    Some(pause)
}

/// A `RetryInfo` in the details of a gRPC status: there is one, and which pause it names, if any.
#[expect(clippy::option_option, reason = "no RetryInfo, one without and one with a delay differ")]
pub(super) fn retry_info(trailers: &HeaderMap) -> Option<Option<Duration>> {
    let text = trailers.get(DETAILS)?.as_bytes();
    // Values of the same field may have been joined (gRPC over HTTP/2).
    let text = text.split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
    let status = Status::decode(&*base64::decode(text, Form::Standard)?).ok()?;
    let is_one =
        |any: &&Any| any.type_url.rsplit(|b| *b == b'/').next() == Some(RETRY_INFO.as_bytes());
    let info = status.details.iter().find(is_one)?;
    let info = RetryInfo::decode(&*info.value).ok()?;
    Some(info.retry_delay.map(pause_of))
}

fn pause_of(delay: ProtobufDuration) -> Duration {
    // Both are negative in a negative duration, which asks for nothing.
    let seconds = Duration::from_secs(u64::try_from(delay.seconds).unwrap_or(0));
    let nanos = Duration::from_nanos(u64::try_from(delay.nanos).unwrap_or(0));
    seconds.saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn asked(text: &str, now: SystemTime) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
        retry_after(&headers, now)
    }

    #[test]
    fn a_pause_is_read_as_seconds_or_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let cases = [
            ("0", Some(0)),
            (" 7 ", Some(7)),
            ("3600", Some(3600)),
            ("3601", Some(3601)),
            ("18446744073709551615", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:40 GMT", Some(3)),
            ("Sunday, 06-Nov-94 08:49:40 GMT", Some(3)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(252_618_189_022)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("soon", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(asked(text, now), seconds.map(Duration::from_secs), "{text}");
        }
        assert_eq!(asked("99999999999999999999999999", now), Some(Duration::MAX));
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    fn details(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(DETAILS, HeaderValue::from_str(text).unwrap());
        headers
    }

    #[test]
    fn retry_info_is_found_among_the_details_with_padding_and_without() {
        let nanos = u64::from(i32::MAX.unsigned_abs());
        let beyond = Duration::from_secs(i64::MAX.unsigned_abs()) + Duration::from_nanos(nanos);
        // Each a google.rpc.Status: an ErrorInfo before a RetryInfo of 1.5 s; RetryInfos below zero,
        // beyond every clock, and without a delay.
        let cases = [
            (
                "CAgSBHNsb3caKgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLkVycm9ySW5mbxo2Cih0eXBlLm\
                 dvb2dsZWFwaXMuY29tL2dvb2dsZS5ycGMuUmV0cnlJbmZvEgoKCAgBEIDKte4B",
                Some(Duration::from_millis(1500)),
            ),
            (
                "GjIKFmEvZ29vZ2xlLnJwYy5SZXRyeUluZm8SGAoWCP///////////wEQ+///////////AQ==",
                Some(Duration::ZERO),
            ),
            ("GiwKFmEvZ29vZ2xlLnJwYy5SZXRyeUluZm8SEgoQCP//////////fxD/////Bw==", Some(beyond)),
            ("GhgKFmEvZ29vZ2xlLnJwYy5SZXRyeUluZm8=", None),
        ];
        for (text, pause) in cases {
            assert_eq!(retry_info(&details(text)), Some(pause), "{text}");
            assert_eq!(retry_info(&details(text.trim_end_matches('='))), Some(pause), "{text}");
            assert_eq!(retry_info(&details(&format!("{text}, {text}"))), Some(pause), "{text}");
        }
    }

    #[test]
    fn details_that_cannot_be_read_hold_no_retry_info() {
        let error_info = "CAgSBHNsb3caKgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLkVycm9ySW5mbw==";
        for text in ["", "?", "A", "////////", error_info] {
            assert_eq!(retry_info(&details(text)), None, "{text}");
        }
        assert_eq!(retry_info(&HeaderMap::new()), None);
    }
}
