//! One request of a sink that speaks HTTP, and who sends it.
//!
//! What an answer means is the sink's: here an answer is one by its head. It tries nothing twice.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Response, Uri};

use super::export_client::{ExportClient, PostError};

/// Sends one request at a time.
#[async_trait]
pub trait Post: Send + Sync + 'static {
    /// Posts a body and reads the answer within `limit`, or says why not (`unreachable`,
    /// `timeout`; the detail names no URL). Dropping the future gives the request up.
    async fn post(
        &self,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
        limit: Duration,
    ) -> Result<Response<Bytes>, PostError>;
}

/// The way out of Sentry's events and of webhooks: the same client as the other exporters'.
#[derive(Debug)]
pub(super) struct Mail(ExportClient);

impl Mail {
    pub(super) fn new(client: ExportClient) -> Self {
        Self(client)
    }
}

#[async_trait]
impl Post for Mail {
    /// The head says whether it was taken, so a body that is too long, slow or cut changes nothing.
    async fn post(
        &self,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
        limit: Duration,
    ) -> Result<Response<Bytes>, PostError> {
        let reply = self.0.exchange(uri, headers, body, limit).await?;
        Ok(Response::from_parts(reply.head, reply.body))
    }
}
