//! The two metrics of orchestrations that the service's own plan named.
//!
//! An orchestration is a request whose route has that span, or one with that captured fact.

use prometheus_client::metrics::counter::Counter;

use super::histogram::{Histogram, Witness};
use super::instruments::Instruments;
use super::labels::{Labels, key};
use super::slots::Slots;
use crate::record::{ConfigName, Outcome, Record, Value};

/// The fact that names the mode of an orchestration.
pub(super) const MODE: &str = "orchestration.mode";
/// The span of a route that runs orchestrations.
pub(super) const SPAN: &str = "orchestration.execute";

/// The handles of each mode, and of each of its two endings.
#[derive(Debug)]
pub(super) struct Orchestrations {
    modes: Slots<(bool, ConfigName), (Counter, Histogram), 16>,
    other: ConfigName,
}

impl Orchestrations {
    /// No handles yet.
    pub(super) fn new() -> Self {
        Self { modes: Slots::new(), other: Value::OTHER.into() }
    }

    /// Counts a record, if it is one of an orchestration.
    ///
    /// A request that was refused before the upstream saw it never became an orchestration; it is
    /// counted by what refused it. A client that leaves is no error of the service. A mode that may not be
    /// a label is `_other`.
    pub(super) fn observe(
        &self,
        record: &Record,
        is_label: bool,
        witness: Option<Witness>,
        all: &Instruments,
    ) {
        let fact = record.fact(MODE);
        if fact.is_none() && record.route.span.as_deref() != Some(SPAN) {
            return;
        }
        if matches!(record.outcome, Outcome::Refused(_)) && record.upstream.is_none() {
            return;
        }
        let mode = match fact {
            Some(Value::Member(mode)) if is_label => mode,
            _ => &self.other,
        };
        // A stream has had its status long before it fails: it says so in an event of type `error`.
        let has_error_event = record.stream.as_ref().is_some_and(|stream| stream.has_error_event);
        let key = (record.is_error() || has_error_event, mode.clone());
        let resolve = || {
            let by_mode = Labels::default().named(key::MODE, mode);
            let status = if key.0 { "error" } else { "success" };
            let labels = Labels::default().closed(key::STATUS, status).named(key::MODE, mode);
            (all.orchestrations.series(&labels), all.orchestration_duration.series(&by_mode))
        };
        self.modes.visit(&key, resolve, |(requests, duration)| {
            requests.inc();
            duration.observe_with(record.duration, witness);
        });
    }
}
