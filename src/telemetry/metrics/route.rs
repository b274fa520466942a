//! The handles of one route, resolved on first use and then found without a lock.
//!
//! Routes that share a template share their series, and a reload that keeps the template keeps the
//! counters.

use std::sync::OnceLock;

use prometheus_client::metrics::counter::Counter;

use super::family::{Family, Metric};
use super::histogram::{Histogram, Witness};
use super::instruments::Instruments;
use super::labels::{Labels, key};
use super::orchestrations::MODE;
use super::slots::Slots;
use crate::http::method::Method;
use crate::record::{Cache, ConfigName, ErrorType, Outcome, Record, Refusal, Value};

/// The metric handles of one route. Made by [`super::Metrics::route`].
#[derive(Debug)]
pub struct RouteMetrics {
    template: ConfigName,
    /// The captured facts that are labels.
    labels: Box<[ConfigName]>,
    methods: [OnceLock<Box<MethodMetrics>>; Method::COUNT],
    first_byte: OnceLock<Histogram>,
    stream_duration: OnceLock<Histogram>,
    stream_events: OnceLock<Counter>,
    stream_gap: OnceLock<Histogram>,
    cache_hits: OnceLock<Counter>,
    cache_misses: OnceLock<Counter>,
    blocked: Slots<ConfigName, Counter, 8>,
}

#[derive(Debug)]
struct MethodMetrics {
    request_body: Histogram,
    response_body: Histogram,
    durations: Slots<Ending, Histogram, 8>,
}

/// The labels of a duration that vary within a method of a route.
#[derive(Clone, Debug, PartialEq)]
struct Ending {
    status: Option<u16>,
    error_type: Option<ErrorType>,
    is_stream: bool,
}

impl RouteMetrics {
    pub(super) fn new(template: &ConfigName, labels: &[ConfigName]) -> Self {
        Self {
            template: template.clone(),
            labels: labels.into(),
            methods: std::array::from_fn(|_| OnceLock::new()),
            first_byte: OnceLock::new(),
            stream_duration: OnceLock::new(),
            stream_events: OnceLock::new(),
            stream_gap: OnceLock::new(),
            cache_hits: OnceLock::new(),
            cache_misses: OnceLock::new(),
            blocked: Slots::new(),
        }
    }

    /// Counts what a record says about its route.
    pub(super) fn observe(&self, record: &Record, witness: Option<Witness>, all: &Instruments) {
        self.observe_method(record, witness, all);
        if let Some(ttfb) = record.ttfb {
            self.first_byte.get_or_init(|| self.owned(&all.first_byte)).observe_with(ttfb, witness);
        }
        if let Some(stream) = &record.stream {
            self.stream_duration
                .get_or_init(|| self.owned(&all.stream_duration))
                .observe_with(record.duration, witness);
            self.stream_events.get_or_init(|| self.owned(&all.stream_events)).inc_by(stream.events);
            self.stream_gap.get_or_init(|| self.owned(&all.stream_gap)).add_gaps(&stream.gaps);
        }
        match record.cache {
            None => {}
            Some(Cache::Hit) => {
                self.cache_hits.get_or_init(|| self.owned(&all.cache_hits)).inc();
            }
            Some(Cache::Miss) => {
                self.cache_misses.get_or_init(|| self.owned(&all.cache_misses)).inc();
            }
        }
        // In shadow mode `limited_by` is set too, but nothing was blocked.
        if let (Some(rule), Outcome::Refused(Refusal::RateLimited)) =
            (&record.limited_by, record.outcome)
        {
            let resolve = || all.blocked.series(&self.labels_after(key::RULE, rule));
            self.blocked.visit(rule, resolve, |counter| {
                counter.inc();
            });
        }
    }

    fn observe_method(&self, record: &Record, witness: Option<Witness>, all: &Instruments) {
        let Some(method) = self.methods.get(record.method.index()) else { return };
        let method = method.get_or_init(|| {
            let labels = self.labels(record.method);
            Box::new(MethodMetrics {
                request_body: all.request_body.series(&labels),
                response_body: all.response_body.series(&labels),
                durations: Slots::new(),
            })
        });
        method.request_body.observe(record.bytes_in);
        method.response_body.observe(record.bytes_out);
        let ending = Ending {
            // Of an answer that its client did not stay for, the log line and the span tell.
            status: record.status.filter(|_| !matches!(record.outcome, Outcome::Gone { .. })),
            error_type: record.error_type(),
            is_stream: record.stream.is_some(),
        };
        let resolve = || {
            let mut labels = self.labels(record.method).status(ending.status);
            if let Some(error_type) = &ending.error_type {
                labels = labels.error(key::ERROR_TYPE, error_type);
            }
            labels.flag(key::STREAM, ending.is_stream)
        };
        if self.has_labels_in(record) {
            let all = all.request_duration.series(&self.with_facts(resolve(), record));
            return all.observe_with(record.duration, witness);
        }
        let resolve = || all.request_duration.series(&resolve());
        method.durations.visit(&ending, resolve, |h| h.observe_with(record.duration, witness));
    }

    /// Whether a captured fact of this name is a label.
    pub(super) fn is_label(&self, name: &str) -> bool {
        self.labels.iter().any(|label| **label == *name)
    }

    /// Whether the record has a fact that is a label of the duration. The mode of an orchestration has
    /// metrics of its own.
    fn has_labels_in(&self, record: &Record) -> bool {
        !self.labels.is_empty() && self.facts_of(record).next().is_some()
    }

    fn with_facts(&self, labels: Labels, record: &Record) -> Labels {
        self.facts_of(record).fold(labels, |labels, (name, member)| labels.fact(name, member))
    }

    fn facts_of<'a>(
        &'a self,
        record: &'a Record,
    ) -> impl Iterator<Item = (&'a ConfigName, &'a ConfigName)> {
        self.labels.iter().filter(|label| ***label != *MODE).filter_map(|label| {
            match record.fact(label) {
                Some(Value::Member(member)) => Some((label, member)),
                _ => None,
            }
        })
    }

    fn labels(&self, method: Method) -> Labels {
        Labels::default().closed(key::METHOD, method.as_str()).named(key::ROUTE, &self.template)
    }

    fn labels_after(&self, key: &'static str, value: &ConfigName) -> Labels {
        Labels::default().named(key, value).named(key::ROUTE, &self.template)
    }

    /// The series of a family that has no label but the route.
    fn owned<M: Metric>(&self, family: &Family<M>) -> M {
        family.series(&Labels::default().named(key::ROUTE, &self.template))
    }
}
