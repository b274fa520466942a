//! The faults, what is expected of each, and the scene in which they happen.

use std::time::Duration;

use serde_json::Value;
use vital_sidecar::config::Config;
use vital_sidecar::record::Record;

use crate::support::client::Answer;
use crate::support::sidecar::{self, Sidecar};
use crate::support::upstream::Upstream;

/// What goes wrong, in the words of no protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nobody listens.
    Refused,
    ResetBeforeHead,
    ResetInHead,
    ResetInBody,
    HangBeforeHead,
    HangInBody,
    /// A head that comes byte by byte, and does not end.
    TrickledHead,
    /// A body that comes byte by byte, and does not end.
    TrickledBody,
    Garbage,
    GarbageInBody,
    OversizeHead,
    EarlyClose,
    /// The request is read, and the connection closed in one direction.
    HalfClose,
    /// The upstream speaks TLS.
    Tls,
    /// The upstream speaks another version of HTTP.
    OtherVersion,
}

/// What the client and the record must say.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected {
    /// Our own answer, with this status and `error.type`.
    Problem(u16, &'static str),
    /// The upstream's head has passed: the answer is cut, and the record has this `error.type`.
    Cut(&'static str),
}

impl Fault {
    pub(super) fn expected(self) -> Expected {
        use Expected::{Cut, Problem};
        match self {
            Self::Refused => Problem(502, "upstream_connect"),
            Self::ResetBeforeHead | Self::ResetInHead | Self::HalfClose => {
                Problem(502, "upstream_reset")
            }
            Self::Garbage | Self::OversizeHead | Self::Tls | Self::OtherVersion => {
                Problem(502, "upstream_protocol")
            }
            Self::HangBeforeHead | Self::TrickledHead => Problem(504, "response_header_timeout"),
            Self::ResetInBody | Self::EarlyClose => Cut("upstream_reset"),
            Self::GarbageInBody => Cut("upstream_protocol"),
            Self::HangInBody => Cut("idle_timeout"),
            Self::TrickledBody => Cut("request_timeout"),
        }
    }
}

/// A configuration whose clocks a test can wait for.
pub(super) fn config(upstream: &Upstream) -> Config {
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.timeouts.response_header = Some(Duration::from_millis(150));
    config.upstream.timeouts.idle = Some(Duration::from_millis(100));
    config.upstream.timeouts.request = Some(Duration::from_millis(700));
    config
}

/// Sends a request into the fault and asserts what must follow; `mend` is called before the next
/// request, which must succeed.
pub(super) async fn meet(config: &Config, expected: Expected, mend: impl AsyncFnOnce()) {
    let mut sidecar = sidecar::with(config).await;
    let mut client = sidecar.client().await;
    let answer = client.get("/").await;
    let record = sidecar.record().await;
    match expected {
        Expected::Problem(status, error_type) => {
            assert_problem(&answer, &record, status, error_type);
        }
        Expected::Cut(error_type) => {
            assert_eq!((answer.status, record.status), (200, Some(200)));
            assert!(client.rest().await.is_empty(), "the client's connection is cut");
            assert_eq!(error_type_of(&record), error_type);
            client = sidecar.client().await;
        }
    }
    mend().await;
    succeeds(&mut sidecar, client.get("/").await).await;
}

/// Asserts that an answer was served, and that no record but its own is there.
pub(super) async fn succeeds(sidecar: &mut Sidecar, answer: Answer) {
    assert_eq!((answer.status, &*answer.body), (200, &b"fine"[..]));
    assert_eq!(sidecar.record().await.error_type(), None);
    sidecar.assert_no_more_records();
}

/// Asserts that the client got our own answer, and that its record says the same.
pub(super) fn assert_problem(answer: &Answer, record: &Record, status: u16, error_type: &str) {
    assert_eq!((answer.status, record.status), (status, Some(status)));
    assert_eq!(error_type_of(record), error_type);
    assert_eq!(answer.field("content-type"), Some("application/problem+json"));
    let id = record.request_id.with_str(str::to_owned);
    assert_eq!(answer.field("x-request-id"), Some(&*id));
    let problem = answer.json();
    assert_eq!(problem["request_id"], Value::from(&*id));
    assert_eq!(problem["error_type"], Value::from(error_type));
    assert_eq!(problem["status"], Value::from(status));
}

fn error_type_of(record: &Record) -> String {
    record.error_type().expect("an error type").as_str().to_owned()
}
