//! The transport of OTLP over HTTP: one attempt to take a finished parcel to the collector.
//!
//! It knows what the OTLP specification calls retryable (429, 502, 503, 504 and lost connections) and
//! reads partial success. It neither waits, counts nor logs, and knows nothing of spans but their
//! number.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use crate::telemetry::export::{Answer, Carrier, Encoding, Parcel};
use crate::telemetry::export_client::ExportClient;

/// Sends encoded batches to one endpoint.
#[derive(Debug)]
pub(super) struct Sender {
    client: ExportClient,
    endpoint: Uri,
    /// The configured headers: secrets, so each is marked sensitive.
    headers: HeaderMap,
}

impl Sender {
    pub(super) fn new(client: ExportClient, endpoint: Uri, headers: HeaderMap) -> Self {
        Self { client, endpoint, headers }
    }

    /// The endpoint without what may be secret in it: user and query.
    pub(super) fn place(&self) -> String {
        let scheme = self.endpoint.scheme_str().unwrap_or("http");
        let host = self.endpoint.host().unwrap_or_default();
        let port = self.endpoint.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{host}{port}{}", self.endpoint.path())
    }

    fn headers_for(&self, parcel: &Parcel) -> HeaderMap {
        let mut headers = self.headers.clone();
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        headers.insert(header::CONTENT_TYPE, protobuf);
        if parcel.encoding == Encoding::Gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers
    }
}

#[async_trait]
impl Carrier for Sender {
    async fn carry(&self, parcel: &Parcel, limit: Duration) -> Answer {
        let (headers, body) = (self.headers_for(parcel), parcel.body.clone());
        let answer = match self.client.post(self.endpoint.clone(), headers, body, limit).await {
            Ok(answer) => answer,
            Err(error) => {
                return Answer::Later { reason: error.reason, detail: error.detail, after: None };
            }
        };
        let status = answer.status();
        if status.is_success() {
            return partial_success(answer.into_body(), parcel.items);
        }
        let detail = format!("the collector answered {}", status.as_u16());
        if !is_retryable(status) {
            return Answer::Never { reason: "refused", detail };
        }
        let asked = answer.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok());
        let after = asked.and_then(|v| v.trim().parse().ok()).map(Duration::from_secs);
        Answer::Later { reason: "refused", detail, after }
    }
}

fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// Reads the answer of a collector that took the batch, or most of it. What cannot be read means
/// success: the status said so.
fn partial_success(answer: Bytes, spans: u64) -> Answer {
    let partial = ExportTraceServiceResponse::decode(answer).ok().and_then(|a| a.partial_success);
    let rejected = partial.map_or(0, |partial| partial.rejected_spans);
    Answer::Taken { rejected: u64::try_from(rejected).unwrap_or(0).min(spans) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_told_without_what_may_be_secret() {
        let endpoint = "http://user:secret@localhost:4318/v1/traces?key=secret".parse().unwrap();
        let client = ExportClient::new(None).unwrap();
        let sender = Sender::new(client, endpoint, HeaderMap::new());
        assert_eq!(sender.place(), "http://localhost:4318/v1/traces");
    }

    #[test]
    fn an_answer_that_cannot_be_read_means_what_its_status_said() {
        let all = Answer::Taken { rejected: 0 };
        assert_eq!(partial_success(Bytes::from_static(b"{}"), 3), all);
        assert_eq!(partial_success(Bytes::new(), 3), all);
    }
}
