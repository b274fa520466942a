//! The status of a gRPC answer: where it stands, what it is called, what it means for a retry.

use http::HeaderMap;

const GRPC_STATUS: &str = "grpc-status";
/// Names by number. <https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// A status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(u8);

/// Whether a request that got a status other than `OK` may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retryable {
    /// Another attempt may succeed.
    Yes,
    /// Only if the collector says when.
    IfAsked,
    /// No other attempt can succeed.
    No,
}

impl Code {
    const UNKNOWN: Self = Self(2);

    /// The status in these fields, if there is one. One that is no number is `UNKNOWN`.
    pub(super) fn of(fields: &HeaderMap) -> Option<Self> {
        let text = fields.get(GRPC_STATUS)?.to_str().unwrap_or_default();
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let code = text.parse().ok().filter(|code| is_number && usize::from(*code) < NAMES.len());
        Some(code.map_or(Self::UNKNOWN, Self))
    }

    /// Whether the call succeeded.
    pub(super) fn is_ok(self) -> bool {
        self.0 == 0
    }

    /// Whether the collector gave up for want of time.
    pub(super) fn is_timeout(self) -> bool {
        self.0 == 4
    }

    /// Its name in the gRPC documentation.
    pub(super) fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or("UNKNOWN")
    }

    /// Whether another attempt may succeed (OTLP specification, "Failures").
    pub(super) fn retryable(self) -> Retryable {
        match self.name() {
            "CANCELLED" | "DEADLINE_EXCEEDED" | "ABORTED" | "OUT_OF_RANGE" | "UNAVAILABLE"
            | "DATA_LOSS" => Retryable::Yes,
            "RESOURCE_EXHAUSTED" => Retryable::IfAsked,
            _ => Retryable::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn each_status_has_its_name_and_its_meaning_for_a_retry() {
        let allowed = [1, 4, 10, 11, 14, 15];
        for number in 0..30_u8 {
            let fields = HeaderMap::from_iter([(
                http::HeaderName::from_static(GRPC_STATUS),
                HeaderValue::from(u16::from(number)),
            )]);
            let code = Code::of(&fields).unwrap();
            assert_eq!(code.is_ok(), number == 0);
            assert_eq!(code.is_timeout(), number == 4);
            let expected = match number {
                8 => Retryable::IfAsked,
                _ if allowed.contains(&number) => Retryable::Yes,
                _ => Retryable::No,
            };
            assert_eq!(code.retryable(), expected, "{number} {}", code.name());
        }
    }

    #[test]
    fn a_status_that_is_no_number_is_unknown_and_none_is_none() {
        assert_eq!(Code::of(&HeaderMap::new()), None);
        for text in ["", "-1", "+0", "OK", "99999999999999999999", "0 0", "1e1", "17"] {
            let mut fields = HeaderMap::new();
            fields.insert(GRPC_STATUS, HeaderValue::from_str(text).unwrap());
            assert_eq!(Code::of(&fields), Some(Code::UNKNOWN), "{text}");
        }
    }
}
