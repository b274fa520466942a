//! The sidecar's own time, by phase.

use super::histogram::Histogram;
use super::instruments::Instruments;
use super::labels::{Labels, key};
use crate::record::Record;

/// Where the sidecar's own time goes, each phase with its handle.
#[derive(Debug)]
pub(super) struct Overhead {
    request: Histogram,
    response: Histogram,
    total: Histogram,
}

impl Overhead {
    pub(super) fn new(instruments: &Instruments) -> Self {
        let phase =
            |phase| instruments.overhead.series(&Labels::default().closed(key::PHASE, phase));
        Self { request: phase("request"), response: phase("response"), total: phase("total") }
    }

    /// Counts the phases that there were; a request without an upstream leg has only the first.
    pub(super) fn observe(&self, record: &Record) {
        let request = record.upstream.map_or(record.overhead, |leg| leg.offset);
        let response = record.overhead.saturating_sub(request);
        self.request.observe_duration(request);
        if !response.is_zero() {
            self.response.observe_duration(response);
        }
        self.total.observe_duration(record.overhead);
    }
}
