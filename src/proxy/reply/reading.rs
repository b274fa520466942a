//! Reading an answer's body for the facts its route may take, while it passes.
//!
//! The answer goes on unchanged and waits for nothing. Beside it, at most `inspect.max_body` bytes of a
//! JSON document, or of one event of a stream, are kept, in the memory that all inspection shares. A
//! document is read when it is whole; an event when it is, and only if it can hold one of the places.
//! Of several events that have a place, the last counts; where one that may have been the last cannot be
//! read, nothing before it counts.
//!
//! What cannot be read is counted and never refused: the answer is its client's.

use bytes::Bytes;

use crate::http::sse::data::{Data, DataReader};
use crate::proxy::classify::Text;
use crate::proxy::exchange::Exchange;
use crate::proxy::inspect::{Captures, Found, Pieces, Reservation, Seen};

/// What is first set aside for a body of unknown length. It doubles as needed.
const FIRST: usize = 1024;

/// What reads one answer.
#[derive(Debug)]
pub(super) struct Reading {
    kept: Kept,
    /// Memory for what is kept.
    reservation: Reservation,
}

#[derive(Debug)]
enum Kept {
    Document(Pieces),
    Events(Events),
}

#[derive(Debug, Default)]
struct Events {
    reader: DataReader,
    /// What was found so far.
    found: Found,
    /// Whether an event could not be read that may have held a place.
    has_unreadable: bool,
}

impl Reading {
    /// Begins to read a body of this kind and length. `None` where it cannot be read.
    pub(super) fn begin(text: Text, length: Option<u64>, exchange: &Exchange) -> Option<Self> {
        let max = exchange.plan.inspect.max_body;
        let is_too_long = length.is_some_and(|length| length > max as u64);
        let kept = match text {
            Text::Events => Kept::Events(Events::default()),
            Text::Document if !is_too_long => Kept::Document(Pieces::default()),
            Text::Document | Text::Unreadable => {
                count_unreadable(exchange);
                return None;
            }
        };
        let reservation = exchange.proxy().inspection().reserve(0)?;
        Some(Self { kept, reservation })
    }

    /// Takes a chunk that passes. `false` where the rest is not worth looking at.
    pub(super) fn take(&mut self, data: &Bytes, exchange: &Exchange) -> bool {
        let Some(captures) = &exchange.route.answer_captures else { return false };
        let max = exchange.plan.inspect.max_body;
        let wanted = match &self.kept {
            Kept::Document(text) => text.len().saturating_add(data.len()),
            // A chunk may hold many events, and of each only so much is kept.
            Kept::Events(events) => events.reader.len().saturating_add(data.len()).min(max),
        };
        if wanted > max || !self.make_room(wanted, max, exchange) {
            count_unreadable(exchange);
            return false;
        }
        match &mut self.kept {
            Kept::Document(text) => text.push(data.clone()),
            Kept::Events(events) => {
                events.take(data, max, captures);
                // A stream lasts: what a large event took must not be missing elsewhere until its end.
                if self.reservation.bytes() > FIRST && events.reader.len() <= FIRST {
                    events.reader.trim(FIRST);
                    self.reservation.shrink(FIRST);
                }
            }
        }
        true
    }

    /// Ends it: what was found becomes facts of the exchange. A document that is not whole holds none.
    pub(super) fn conclude(self, is_whole: bool, exchange: &mut Exchange) {
        let Some(captures) = &exchange.route.answer_captures else { return };
        let (found, is_unreadable) = match self.kept {
            Kept::Events(events) => (events.found, events.has_unreadable),
            Kept::Document(text) if !is_whole || text.is_empty() => return,
            Kept::Document(text) => match captures.find(&text.into_bytes()) {
                Ok(found) => (found, false),
                Err(_) => (Found::new(), true),
            },
        };
        let facts = captures.facts(found);
        exchange.facts.extend(facts);
        if is_unreadable {
            count_unreadable(exchange);
        }
    }

    /// Reserves memory for `wanted` bytes, and some more so that this is seldom asked.
    fn make_room(&mut self, wanted: usize, max: usize, exchange: &Exchange) -> bool {
        if wanted <= self.reservation.bytes() {
            return true;
        }
        let room = wanted.checked_next_power_of_two().unwrap_or(max).max(FIRST).min(max);
        exchange.proxy().inspection().grow(&mut self.reservation, room)
    }
}

impl Events {
    fn take(&mut self, chunk: &[u8], max: usize, captures: &Captures) {
        let Self { reader, found, has_unreadable } = self;
        reader.push(chunk, max, |data| {
            let newer = match data {
                Data::Whole(text) if !captures.may_be_in(text) => return,
                Data::Whole(text) => captures.find(text).ok(),
                Data::TooLarge => None,
            };
            if let Some(newer) = newer {
                overlay(found, newer);
            } else {
                *has_unreadable = true;
                found.clear();
            }
        });
    }
}

/// Lays what a later event holds over what earlier ones did.
fn overlay(found: &mut Found, newer: Found) {
    if found.is_empty() {
        *found = newer;
        return;
    }
    for (old, new) in found.iter_mut().zip(newer) {
        if matches!(new, Some(Seen::Fit(_))) {
            *old = new;
        }
    }
}

fn count_unreadable(exchange: &Exchange) {
    exchange.proxy().telemetry().metrics().capture_unreadable();
}
