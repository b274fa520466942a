//! Measuring a stream as it passes: its messages, the first of them, the gaps between them.
//!
//! The numbers grow in the exchange, so that its record has them however it ends, also where the
//! client leaves and the body is dropped. It reads no clock: the time of a frame is handed in.

use tokio::time::Instant;

use crate::http::messages::{GrpcCounter, LineCounter, MessageCounter, RecordCounter};
use crate::http::sse::EventCounter;
use crate::proxy::exchange::Exchange;
use crate::record::StreamKind;

/// What measures one stream.
#[derive(Debug)]
pub(super) struct Watch {
    /// `None` where messages cannot be told apart: then every chunk counts as one for the gaps.
    counter: Option<MessageCounter>,
    /// When the last message came.
    last: Option<Instant>,
}

impl Watch {
    pub(super) fn new(kind: StreamKind) -> Self {
        let counter = match kind {
            StreamKind::Events => Some(MessageCounter::Events(EventCounter::default())),
            StreamKind::Grpc => Some(MessageCounter::Grpc(GrpcCounter::default())),
            StreamKind::Lines => Some(MessageCounter::Lines(LineCounter::default())),
            StreamKind::Records => Some(MessageCounter::Records(RecordCounter::default())),
            StreamKind::Opaque => None,
        };
        Self { counter, last: None }
    }

    /// Takes note of a chunk that is passed on now.
    pub(super) fn pass(&mut self, data: &[u8], now: Instant, exchange: &mut Exchange) {
        let began = exchange.began();
        let Some(stream) = &mut exchange.stream else { return };
        if let Some(counter) = &mut self.counter {
            let events = counter.push(data);
            if events == 0 {
                return;
            }
            stream.events += events;
            if let MessageCounter::Events(counter) = counter {
                stream.has_error_event = counter.had_error();
            }
        } else if data.is_empty() {
            return;
        }
        match self.last.replace(now) {
            Some(last) => stream.gaps.add(now.saturating_duration_since(last)),
            None => stream.first_event = Some(now.saturating_duration_since(began)),
        }
    }

    /// Whether an event stream stands between two events: nothing of another has begun.
    pub(super) fn is_between_events(&self) -> bool {
        match &self.counter {
            Some(MessageCounter::Events(counter)) => counter.is_between_events(),
            _ => false,
        }
    }
}
