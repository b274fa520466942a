//! Partial success: what a collector says it did not take of a request that it took.
//!
//! The answers of all signals have the same shape, and their numbers the same meaning.

use std::time::Duration;

use parking_lot::Mutex;
use prost::Message;
use tokio::time::Instant;

/// How long one line about a collector's warnings holds.
const SILENCE: Duration = Duration::from_mins(10);

/// `Export{Trace,Metrics,Logs}ServiceResponse`.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// `Export{Trace,Metrics,Logs}PartialSuccess`.
#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    /// `rejected_spans`, `rejected_data_points`, `rejected_log_records`.
    #[prost(int64, tag = "1")]
    rejected: i64,
    /// A text, but whoever writes it need not keep to UTF-8.
    #[prost(bytes = "vec", tag = "2")]
    error_message: Vec<u8>,
}

/// Remembers when a warning was last told, so that a collector cannot fill the log.
#[derive(Debug, Default)]
pub(super) struct Warnings(Mutex<Option<Instant>>);

impl Warnings {
    /// One line at most in ten minutes. The collector's message is not in it: it is free text, and
    /// may repeat what it was sent.
    fn tell(&self, rejected: u64) {
        let now = Instant::now();
        let mut told = self.0.lock();
        if told.is_some_and(|told| now.saturating_duration_since(told) < SILENCE) {
            return;
        }
        *told = Some(now);
        drop(told);
        tracing::warn!(
            rejected,
            "The OTLP collector took a request with a warning; its own log says why."
        );
    }
}

/// How many items of so many were rejected. What cannot be read means none: the status said so.
pub(super) fn rejected(answer: &[u8], items: u64, warnings: &Warnings) -> u64 {
    let response = Response::decode(answer).unwrap_or_default();
    let Some(partial) = response.partial_success else { return 0 };
    let rejected = u64::try_from(partial.rejected).unwrap_or(0).min(items);
    if rejected > 0 || !partial.error_message.is_empty() {
        warnings.tell(rejected);
    }
    rejected
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceResponse,
    };

    use super::*;

    fn of(partial: Option<(i64, &str)>) -> u64 {
        let partial_success = partial.map(|(rejected_spans, message)| ExportTracePartialSuccess {
            rejected_spans,
            error_message: message.to_owned(),
        });
        let answer = ExportTraceServiceResponse { partial_success }.encode_to_vec();
        rejected(&answer, 3, &Warnings::default())
    }

    #[test]
    fn only_a_number_rejects_and_never_more_than_was_sent() {
        let cases = [
            (None, 0),
            (Some((0, "")), 0),
            (Some((0, "be careful")), 0),
            (Some((2, "")), 2),
            (Some((7, "too many")), 3),
            (Some((-1, "")), 0),
            (Some((i64::MAX, "")), 3),
        ];
        for (partial, expected) in cases {
            assert_eq!(of(partial), expected, "{partial:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_rejects_nothing() {
        for answer in [&b"{}"[..], b"", b"\x0a", b"\x0a\xff\xff\xff\xff\x0f", &[0xff; 100]] {
            assert_eq!(rejected(answer, 3, &Warnings::default()), 0, "{answer:?}");
        }
        // Not UTF-8, but the number is there.
        let answer = b"\x0a\x05\x08\x02\x12\x01\xff";
        assert_eq!(rejected(answer, 3, &Warnings::default()), 2);
    }
}
