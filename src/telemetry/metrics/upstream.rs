//! The handles of one upstream: the client side of each exchange.

use super::histogram::{Histogram, Witness};
use super::instruments::Instruments;
use super::labels::{Labels, key};
use super::slots::Slots;
use crate::http::method::Method;
use crate::record::{ConfigName, ErrorType, Record};

/// The durations of requests to one upstream.
#[derive(Debug)]
pub(super) struct UpstreamMetrics {
    host: ConfigName,
    port: u16,
    methods: [Slots<Ending, Histogram, 6>; Method::COUNT],
}

#[derive(Clone, Debug, PartialEq)]
struct Ending {
    status: Option<u16>,
    error_type: Option<ErrorType>,
}

impl UpstreamMetrics {
    pub(super) fn new(host: &ConfigName, port: u16) -> Self {
        Self { host: host.clone(), port, methods: std::array::from_fn(|_| Slots::new()) }
    }

    /// Counts the upstream leg of a record, if it has one.
    pub(super) fn observe(&self, record: &Record, witness: Option<Witness>, all: &Instruments) {
        let Some(leg) = record.upstream else { return };
        let Some(slots) = self.methods.get(record.method.index()) else { return };
        // Judged by what the upstream said, which is not always what the client got.
        let error_type = record.error_type_of(leg.status);
        let ending = Ending { status: leg.status, error_type };
        let resolve = || {
            let mut labels =
                Labels::default().closed(key::METHOD, record.method.as_str()).status(ending.status);
            if let Some(error_type) = &ending.error_type {
                labels = labels.error(key::ERROR_TYPE, error_type);
            }
            let mut labels = labels.named(key::SERVER_ADDRESS, &self.host);
            // A Unix socket has no port.
            if self.port != 0 {
                labels = labels.number(key::SERVER_PORT, self.port);
            }
            all.client_duration.series(&labels)
        };
        let span = record.trace.client_span;
        let witness = witness.map(|witness| Witness { span, ..witness });
        slots.visit(&ending, resolve, |h| h.observe_with(leg.duration, witness));
    }
}
