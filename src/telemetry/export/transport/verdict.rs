//! What an answer means for a parcel, by the OTLP specification: taken, later, or never.
//!
//! <https://opentelemetry.io/docs/specs/otlp/>, "Failures" of each transport. It judges values and
//! does nothing. An answer that says success is success, even where the rest of it cannot be read:
//! sending again would double what the collector has.

use std::time::SystemTime;

use http::StatusCode;

use super::grpc::FRAME;
use super::grpc_status::{Code, Retryable};
use super::partial::{self, Warnings};
use super::pause;
use crate::telemetry::export::Answer;
use crate::telemetry::export_client::{PostError, Reply};

/// No head of an answer came.
pub(super) fn unanswered(PostError { reason, detail }: PostError) -> Answer {
    Answer::Later { reason, detail, after: None }
}

/// Judges an answer over http/protobuf. `now` is what a date in `Retry-After` is compared with.
pub(super) fn http(reply: &Reply, items: u64, now: SystemTime, warnings: &Warnings) -> Answer {
    let status = reply.head.status;
    if status.is_success() {
        return Answer::Taken { rejected: partial::rejected(&reply.body, items, warnings) };
    }
    let detail = format!("the collector answered {}", status.as_u16());
    if is_retryable(status) {
        let after = pause::retry_after(&reply.head.headers, now);
        return Answer::Later { reason: "refused", detail, after };
    }
    let hint = match status.as_u16() {
        300..=399 => "; redirects are not followed",
        401 | 403 => "; are its `headers` right?",
        404 | 405 => "; is this the address of its OTLP receiver?",
        _ => "",
    };
    Answer::Never { reason: "refused", detail: detail + hint }
}

/// Judges an answer over gRPC.
pub(super) fn grpc(reply: &Reply, items: u64, warnings: &Warnings) -> Answer {
    // An answer without a message has the status in its only header block ("Trailers-Only").
    let blocks = [&reply.trailers, &reply.head.headers];
    let found = blocks.into_iter().find_map(|fields| Some((Code::of(fields)?, fields)));
    let Some((code, fields)) = found else { return without_status(reply) };
    if code.is_ok() {
        let message = message(&reply.body);
        return Answer::Taken { rejected: partial::rejected(message, items, warnings) };
    }
    let detail = format!("the collector answered {}", code.name());
    let reason = if code.is_timeout() { "timeout" } else { "refused" };
    match (code.retryable(), pause::retry_info(fields)) {
        (Retryable::Yes, info) => Answer::Later { reason, detail, after: info.flatten() },
        (Retryable::IfAsked, Some(after)) => Answer::Later { reason, detail, after },
        (Retryable::IfAsked, None) | (Retryable::No, _) => Answer::Never { reason, detail },
    }
}

/// Without a gRPC status the HTTP status stands for it
/// (<https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>).
fn without_status(reply: &Reply) -> Answer {
    let status = reply.head.status;
    let number = status.as_u16();
    if is_retryable(status) {
        let detail = format!("the collector answered HTTP {number} without a gRPC status");
        return Answer::Later { reason: "refused", detail, after: None };
    }
    if status != StatusCode::OK {
        let detail = format!("the collector answered HTTP {number}; is this its gRPC port?");
        return Answer::Never { reason: "refused", detail };
    }
    match &reply.cut {
        Some(PostError { reason: "refused", detail }) => {
            Answer::Never { reason: "refused", detail: detail.clone() }
        }
        Some(PostError { reason, detail }) => {
            Answer::Later { reason, detail: detail.clone(), after: None }
        }
        None => {
            let detail = "an answer without a gRPC status; does a proxy drop the trailers?";
            Answer::Never { reason: "refused", detail: detail.to_owned() }
        }
    }
}

fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// The first message, or nothing where none can be read: we offer no compression, so one that is
/// compressed all the same is none.
fn message(body: &[u8]) -> &[u8] {
    let Some(([0, length @ ..], rest)) = body.split_first_chunk::<FRAME>() else { return &[] };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    rest.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests;
