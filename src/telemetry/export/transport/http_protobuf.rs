//! OTLP over HTTP/1.1: a parcel is the body of a POST.

use std::path::Path;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Uri};

use super::partial::Warnings;
use super::verdict;
use crate::telemetry::export::{Answer, Carrier, Encoding, Parcel};
use crate::telemetry::export_client::{CaFileError, ExportClient};

/// Takes parcels to one URL.
#[derive(Debug)]
pub(super) struct HttpProtobuf {
    client: ExportClient,
    uri: Uri,
    headers: HeaderMap,
    warnings: Warnings,
}

impl HttpProtobuf {
    /// A carrier to this URL, used as it is.
    pub(super) fn new(
        uri: Uri,
        mut headers: HeaderMap,
        ca_file: Option<&Path>,
    ) -> Result<Self, CaFileError> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.remove(CONTENT_ENCODING);
        let client = ExportClient::new(ca_file)?;
        Ok(Self { client, uri, headers, warnings: Warnings::default() })
    }
}

#[async_trait]
impl Carrier for HttpProtobuf {
    async fn carry(&self, parcel: &Parcel, limit: Duration) -> Answer {
        let mut headers = self.headers.clone();
        if parcel.encoding == Encoding::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let (uri, body) = (self.uri.clone(), parcel.body.clone());
        match self.client.exchange(uri, headers, body, limit).await {
            Ok(reply) => verdict::http(&reply, parcel.items, SystemTime::now(), &self.warnings),
            Err(error) => verdict::unanswered(error),
        }
    }
}
