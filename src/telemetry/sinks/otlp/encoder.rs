//! A batch of items as the bytes of one export request.
//!
//! It runs where its caller runs, not in the blocking pool: a batch is a fraction of a millisecond, and
//! to wake another thread for it, which then frees records that this one made, costs more. So that no
//! request on the same thread waits for a whole batch, it lets others go first every few records.

use bytes::Bytes;
use tokio::task::yield_now;

use super::envelope::{Envelope, EnvelopeError};
use super::wire::Writer;
use crate::config::model::Service;

/// Items between two looks at what else there is to do: some fifty microseconds.
const TURN: usize = 32;

/// Turns items of one signal into bytes.
#[derive(Debug)]
pub(super) struct Encoder {
    envelope: Envelope,
    /// Where items are written; kept, because it grows to the same size every time.
    written: Writer,
}

impl Encoder {
    pub(super) fn new(service: &Service) -> Result<Self, EnvelopeError> {
        Ok(Self { envelope: Envelope::new(service)?, written: Writer::default() })
    }

    /// All these items in one export request; `write` appends what one of them leaves.
    pub(super) async fn encode<T>(
        &mut self,
        items: &[T],
        mut write: impl FnMut(&T, &mut Writer),
    ) -> Bytes {
        self.written.clear();
        for some in items.chunks(TURN) {
            for item in some {
                write(item, &mut self.written);
            }
            yield_now().await;
        }
        self.envelope.around(self.written.as_bytes()).into()
    }
}
