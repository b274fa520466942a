//! Datadog's intake for logs, version 2: a parcel is the body of a POST, a JSON array.
//!
//! <https://docs.datadoghq.com/api/latest/logs/#send-logs>: 202 takes the request, 408, 429 and 5xx may
//! be tried again, all else never. The intake takes a request whole or not at all. The key is in one
//! header, marked sensitive, and in no message.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, StatusCode, Uri};

use super::{ConnectError, SIDECAR, pause, verdict};
use crate::config::model::Datadog;
use crate::telemetry::export::{Answer, Carrier, Encoding, Parcel};
use crate::telemetry::export_client::{ExportClient, Reply};

const KEY: HeaderName = HeaderName::from_static("dd-api-key");

/// Takes parcels to the intake.
#[derive(Debug)]
pub(super) struct Intake {
    client: ExportClient,
    uri: Uri,
    headers: HeaderMap,
}

impl Intake {
    /// A carrier to this intake. Connects to nobody yet.
    pub(super) fn new(datadog: &Datadog) -> Result<Self, ConnectError> {
        let uri: Uri = datadog.url.parse().map_err(|_| ConnectError::Endpoint)?;
        let invalid = |_| ConnectError::Header(KEY.as_str().to_owned());
        let mut key = HeaderValue::from_str(datadog.key.reveal()).map_err(invalid)?;
        key.set_sensitive(true);
        let headers = HeaderMap::from_iter([
            (USER_AGENT, HeaderValue::from_static(SIDECAR)),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (KEY, key),
        ]);
        Ok(Self { client: ExportClient::new(None)?, uri, headers })
    }
}

#[async_trait]
impl Carrier for Intake {
    async fn carry(&self, parcel: &Parcel, limit: Duration) -> Answer {
        let mut headers = self.headers.clone();
        if parcel.encoding == Encoding::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let (uri, body) = (self.uri.clone(), parcel.body.clone());
        match self.client.exchange(uri, headers, body, limit).await {
            Ok(reply) => judge(&reply, SystemTime::now()),
            Err(error) => verdict::unanswered(error),
        }
    }
}

fn judge(reply: &Reply, now: SystemTime) -> Answer {
    let status = reply.head.status;
    if status.is_success() {
        return Answer::Taken { rejected: 0 };
    }
    let detail = format!("the intake answered {}", status.as_u16());
    if is_retryable(status) {
        let after = pause::retry_after(&reply.head.headers, now);
        return Answer::Later { reason: "refused", detail, after };
    }
    let hint = match status.as_u16() {
        300..=399 => "; redirects are not followed",
        401 | 403 => "; is the key right, and of this site?",
        404 | 405 => "; is `log.datadog.url` right?",
        413 => "; something on the way takes less than Datadog",
        _ => "",
    };
    Answer::Never { reason: "refused", detail: detail + hint }
}

fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429) || status.is_server_error()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Response;
    use http::header::RETRY_AFTER;

    use super::*;

    fn told(status: u16, retry_after: Option<&'static str>) -> String {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        if let Some(pause) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(pause));
        }
        let (head, ()) = response.into_parts();
        let reply = Reply { head, body: Bytes::new(), trailers: HeaderMap::new(), cut: None };
        match judge(&reply, SystemTime::UNIX_EPOCH) {
            Answer::Taken { rejected } => format!("taken but {rejected}"),
            Answer::Later { after, .. } => format!("later {after:?}"),
            Answer::Never { detail, .. } => format!("never: {detail}"),
        }
    }

    #[test]
    fn an_answer_is_read_as_the_intake_means_it() {
        for status in [200, 202] {
            assert_eq!(told(status, None), "taken but 0");
        }
        for status in [408, 429, 500, 502, 503, 504, 599] {
            assert_eq!(told(status, None), "later None", "{status}");
            assert_eq!(told(status, Some("7")), "later Some(7s)", "{status}");
        }
        for status in [301, 400, 401, 403, 404, 413, 422] {
            let told = told(status, Some("7"));
            assert!(told.starts_with(&format!("never: the intake answered {status}")), "{told}");
        }
    }
}
