//! A batch of records as the bytes of one export request.
//!
//! It runs where its caller runs, not in the blocking pool: a batch is a fraction of a millisecond, and
//! to wake another thread for it, which then frees records that this one made, costs more. So that no
//! request on the same thread waits for a whole batch, it lets others go first every few records.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::yield_now;

use super::envelope::{Envelope, EnvelopeError};
use super::spans::{self, Site};
use super::wire::Writer;
use crate::config::model::{Service, Upstream};
use crate::record::Record;

/// Records between two looks at what else there is to do: some fifty microseconds.
const TURN: usize = 32;

/// Turns records into bytes.
#[derive(Debug)]
pub(super) struct Encoder {
    site: Site,
    envelope: Envelope,
    /// Where spans are written; kept, because it grows to the same size every time.
    spans: Writer,
}

impl Encoder {
    pub(super) fn new(service: &Service, upstream: &Upstream) -> Result<Self, EnvelopeError> {
        let envelope = Envelope::new(service)?;
        Ok(Self { site: Site::new(upstream), envelope, spans: Writer::default() })
    }

    /// The spans of all these records in one export request.
    pub(super) async fn encode(&mut self, records: &[Arc<Record>]) -> Bytes {
        self.spans.clear();
        for some in records.chunks(TURN) {
            for record in some {
                spans::write(record, &self.site, &mut self.spans);
            }
            yield_now().await;
        }
        self.envelope.around(self.spans.as_bytes()).into()
    }
}
