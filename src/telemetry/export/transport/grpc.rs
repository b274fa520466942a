//! OTLP over gRPC: a parcel behind a frame of five bytes, in a POST over HTTP/2.
//!
//! A unary call needs no more of gRPC than that: the frame, four headers, and the status behind the
//! answer. <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName, HeaderValue, TE};
use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};
use parking_lot::Mutex;

use super::partial::Warnings;
use super::verdict;
use crate::config::model::Signal;
use crate::telemetry::export::{Answer, Carrier, Encoding, Parcel};
use crate::telemetry::export_client::{CaFileError, ExportClient};

/// A compressed flag and a length stand before each message.
pub(super) const FRAME: usize = 5;
/// The greatest number that `grpc-timeout` can say.
const MAX_TIMEOUT: u128 = 99_999_999;
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Takes parcels to the service of one signal.
#[derive(Debug)]
pub(super) struct Grpc {
    /// All requests share one connection, and a dead one is found out only by silence: after a
    /// timeout the next request gets a new one.
    client: Mutex<ExportClient>,
    uri: Uri,
    headers: HeaderMap,
    warnings: Warnings,
}

impl Grpc {
    /// A carrier to the service of this signal at the URI's authority; its path means nothing.
    pub(super) fn new(
        uri: &Uri,
        mut headers: HeaderMap,
        ca_file: Option<&Path>,
        signal: Signal,
    ) -> Result<Self, CaFileError> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.remove(CONTENT_ENCODING);
        // The authority says it.
        headers.remove(HOST);
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static(method(signal)));
        // It had a scheme and an authority: with a path it stays whole.
        let uri = Uri::from_parts(parts).unwrap_or_else(|_| uri.clone());
        let client = Mutex::new(ExportClient::http2(ca_file)?);
        Ok(Self { client, uri, headers, warnings: Warnings::default() })
    }
}

#[async_trait]
impl Carrier for Grpc {
    async fn carry(&self, parcel: &Parcel, limit: Duration) -> Answer {
        let mut headers = self.headers.clone();
        if parcel.encoding == Encoding::Gzip {
            headers.insert(GRPC_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers.insert(GRPC_TIMEOUT, grpc_timeout(limit));
        let Some(body) = frame(parcel) else {
            let detail = "a request of 4 GiB or more".to_owned();
            return Answer::Never { reason: "refused", detail };
        };
        let client = self.client.lock().clone();
        let reply = client.exchange(self.uri.clone(), headers, body, limit).await;
        let ended = reply.as_ref().map_or_else(Some, |reply| reply.cut.as_ref());
        if ended.is_some_and(|error| error.reason == "timeout") {
            *self.client.lock() = client.renewed();
        }
        match reply {
            Ok(reply) => verdict::grpc(&reply, parcel.items, &self.warnings),
            Err(error) => verdict::unanswered(error),
        }
    }
}

fn method(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    }
}

/// The message with its frame; `None` if it is longer than a frame can say.
fn frame(parcel: &Parcel) -> Option<Bytes> {
    let length = u32::try_from(parcel.body.len()).ok()?;
    let mut framed = BytesMut::with_capacity(FRAME + parcel.body.len());
    framed.put_u8(u8::from(parcel.encoding == Encoding::Gzip));
    framed.put_u32(length);
    framed.put_slice(&parcel.body);
    Some(framed.freeze())
}

/// At most eight digits and a unit: the finest that fits, rounded up.
fn grpc_timeout(limit: Duration) -> HeaderValue {
    let millis = limit.as_millis().max(1);
    let seconds = millis.div_ceil(1000);
    let text = match (millis, seconds) {
        (0..=MAX_TIMEOUT, _) => format!("{millis}m"),
        (_, 0..=MAX_TIMEOUT) => format!("{seconds}S"),
        _ => format!("{}H", seconds.div_ceil(3600).min(MAX_TIMEOUT)),
    };
    // Digits and a letter.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("10S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_said_in_eight_digits() {
        let cases = [
            (Duration::from_secs(10), "10000m"),
            (Duration::from_micros(1), "1m"),
            (Duration::from_millis(99_999_999), "99999999m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::from_secs(100_000_000), "27778H"),
            (Duration::MAX, "99999999H"),
        ];
        for (limit, text) in cases {
            assert_eq!(grpc_timeout(limit), text);
        }
    }

    #[test]
    fn a_frame_says_whether_and_how_long() {
        let mut parcel =
            Parcel { items: 1, encoding: Encoding::Gzip, body: Bytes::from_static(b"abc") };
        assert_eq!(frame(&parcel).unwrap(), &b"\x01\0\0\0\x03abc"[..]);
        parcel.encoding = Encoding::Identity;
        assert_eq!(frame(&parcel).unwrap(), &b"\0\0\0\0\x03abc"[..]);
    }
}
