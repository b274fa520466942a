//! Numbers that are counted elsewhere and shown here: a closure is asked at each scrape.
//!
//! The types are plain, so that lanes, limits and the audit writer need to know nothing of
//! instruments. A closure is called on the scrape's thread: it takes a snapshot and must not wait.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use super::catalogue;
use super::instrument::Instrument;
use super::labels::{Labels, key};
use super::reading::{Point, Reading};
use crate::record::ConfigName;

/// The account of one sink, as the ledger keeps it.
#[derive(Clone, Debug, Default)]
pub struct SinkCounts {
    /// `traces`, `logs`, `errors`, `audit`.
    pub signal: &'static str,
    /// The sink's name, e.g. `otlp`.
    pub sink: &'static str,
    /// Items taken.
    pub accepted: u64,
    /// Items that arrived.
    pub exported: u64,
    /// Items lost, by reason from a closed set.
    pub dropped: Vec<(&'static str, u64)>,
    /// Items on their way.
    pub in_flight: u64,
    /// The size of the files in the spool; `None` where there is none.
    pub spool_bytes: Option<u64>,
    /// Items the queue can hold.
    pub capacity: u64,
    /// Export attempts by result, from a closed set; empty where the sink makes none.
    pub attempts: Vec<(&'static str, u64)>,
    /// When a batch last arrived.
    pub last_success: Option<SystemTime>,
}

/// The decisions of one rate limit.
#[derive(Clone, Debug)]
pub struct RuleCounts {
    /// Its configured name.
    pub rule: ConfigName,
    /// Requests let through.
    pub allowed: u64,
    /// Requests refused.
    pub denied: u64,
    /// Requests that shadow mode let through.
    pub would_deny: u64,
    /// Buckets held now.
    pub keys: u64,
}

/// The state of the audit chain.
#[derive(Clone, Debug, Default)]
pub struct AuditCounts {
    /// Records by event and result, both from closed sets.
    pub records: Vec<(&'static str, &'static str, u64)>,
    /// Records that could not be made durable.
    pub failures: u64,
    /// The last durable sequence number.
    pub sequence: u64,
}

/// Something that is asked for its numbers. Made here, handed to [`super::Metrics::register`].
pub struct Source {
    name: &'static str,
    ask: Box<dyn Fn() -> Vec<Reading> + Send + Sync>,
}

/// Shows the ledger's accounts.
pub fn sinks(ask: impl Fn() -> Vec<SinkCounts> + Send + Sync + 'static) -> Source {
    Source::new("sinks", move || sink_readings(&ask()))
}

/// Shows the decisions of the rate limits.
pub fn rules(ask: impl Fn() -> Vec<RuleCounts> + Send + Sync + 'static) -> Source {
    Source::new("rules", move || rule_readings(&ask()))
}

/// How the shared rate-limit store is.
#[derive(Clone, Debug)]
pub struct StoreState {
    /// Whether it is away.
    pub is_degraded: bool,
    /// Decisions taken without it, by limit; they are counted as what they were, too.
    pub decisions: Vec<(ConfigName, u64)>,
}

/// Shows whether the shared rate-limit store is away. Nothing where there is none.
pub fn store(ask: impl Fn() -> Option<StoreState> + Send + Sync + 'static) -> Source {
    Source::new("store", move || {
        let Some(state) = ask() else { return Vec::new() };
        let decisions = state.decisions.iter().map(|(rule, count)| {
            let labels = Labels::default().named(key::RULE, rule).closed(key::DECISION, "degraded");
            (labels, Point::Count(*count))
        });
        let is_degraded = Point::Count(u64::from(state.is_degraded));
        vec![
            Reading::new(&catalogue::DECISIONS, decisions),
            Reading::single(&catalogue::LIMITS_DEGRADED, is_degraded),
        ]
    })
}

/// Shows where the breaker is: one number per state, 1 for the one it is in.
pub fn breaker(ask: impl Fn() -> Vec<(&'static str, bool)> + Send + Sync + 'static) -> Source {
    Source::new("breaker", move || {
        let states = ask().into_iter().map(|(state, is_here)| {
            (Labels::default().closed(key::STATE, state), Point::Count(u64::from(is_here)))
        });
        vec![Reading::new(&catalogue::BREAKER_STATE, states)]
    })
}

/// Shows which alerts fire: one number per alert, 1 while it does.
pub fn alerts(ask: impl Fn() -> Vec<(ConfigName, bool)> + Send + Sync + 'static) -> Source {
    Source::new("alerts", move || {
        let alerts = ask().into_iter().map(|(name, is_firing)| {
            (Labels::default().named(key::ALERT, &name), Point::Count(u64::from(is_firing)))
        });
        vec![Reading::new(&catalogue::ALERT_FIRING, alerts)]
    })
}

/// Shows the state of the audit chain.
pub fn audit(ask: impl Fn() -> AuditCounts + Send + Sync + 'static) -> Source {
    Source::new("audit", move || audit_readings(&ask()))
}

/// Shows how the last reload went: whether it succeeded, and when one last did.
pub fn reloads(ask: impl Fn() -> (bool, SystemTime) + Send + Sync + 'static) -> Source {
    Source::new("reloads", move || {
        let (is_successful, last_success) = ask();
        vec![
            Reading::single(&catalogue::RELOAD_SUCCESSFUL, Point::Count(u64::from(is_successful))),
            Reading::single(&catalogue::RELOAD_SUCCESS_TIME, since_epoch(last_success)),
        ]
    })
}

impl Source {
    /// Asks `ask` at each scrape.
    pub(super) fn new(
        name: &'static str,
        ask: impl Fn() -> Vec<Reading> + Send + Sync + 'static,
    ) -> Self {
        Self { name, ask: Box::new(ask) }
    }

    /// Asks now.
    pub(super) fn read(&self) -> Vec<Reading> {
        (self.ask)()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.name).finish()
    }
}

fn sink_readings(sinks: &[SinkCounts]) -> Vec<Reading> {
    let labels = |sink: &SinkCounts| {
        Labels::default().closed(key::SIGNAL, sink.signal).closed(key::SINK, sink.sink)
    };
    let each = |instrument: &'static Instrument, point: fn(&SinkCounts) -> Option<Point>| {
        let series = sinks.iter().filter_map(|sink| Some((labels(sink), point(sink)?)));
        Reading::new(instrument, series)
    };
    let by = |instrument: &'static Instrument,
              key: &'static str,
              counts: fn(&SinkCounts) -> &[(&'static str, u64)]| {
        let series = sinks.iter().flat_map(|sink| {
            let labels = labels(sink);
            counts(sink)
                .iter()
                .map(move |(word, count)| (labels.clone().closed(key, word), Point::Count(*count)))
        });
        Reading::new(instrument, series)
    };
    vec![
        each(&catalogue::ACCEPTED, |sink| Some(Point::Count(sink.accepted))),
        each(&catalogue::EXPORTED, |sink| Some(Point::Count(sink.exported))),
        by(&catalogue::DROPPED, key::REASON, |sink| &sink.dropped),
        each(&catalogue::IN_FLIGHT, |sink| Some(Point::Count(sink.in_flight))),
        // A queue that is bounded in bytes has no capacity in items.
        each(&catalogue::QUEUE_CAPACITY, |sink| {
            (sink.capacity > 0).then_some(Point::Count(sink.capacity))
        }),
        each(&catalogue::SPOOL_BYTES, |sink| sink.spool_bytes.map(Point::Count)),
        by(&catalogue::ATTEMPTS, key::RESULT, |sink| &sink.attempts),
        each(&catalogue::LAST_SUCCESS, |sink| sink.last_success.map(since_epoch)),
    ]
}

fn rule_readings(rules: &[RuleCounts]) -> Vec<Reading> {
    let labels = |rule: &RuleCounts| Labels::default().named(key::RULE, &rule.rule);
    let decisions = rules.iter().flat_map(|rule| {
        let labels = labels(rule);
        [("allow", rule.allowed), ("deny", rule.denied), ("would_deny", rule.would_deny)].map(
            |(decision, count)| {
                (labels.clone().closed(key::DECISION, decision), Point::Count(count))
            },
        )
    });
    let keys = rules.iter().map(|rule| (labels(rule), Point::Count(rule.keys)));
    vec![Reading::new(&catalogue::DECISIONS, decisions), Reading::new(&catalogue::LIMIT_KEYS, keys)]
}

fn audit_readings(counts: &AuditCounts) -> Vec<Reading> {
    let records = counts.records.iter().map(|(event, result, count)| {
        let labels = Labels::default().closed(key::EVENT, event).closed(key::RESULT, result);
        (labels, Point::Count(*count))
    });
    vec![
        Reading::new(&catalogue::AUDIT_RECORDS, records),
        Reading::single(&catalogue::AUDIT_FAILURES, Point::Count(counts.failures)),
        Reading::single(&catalogue::AUDIT_SEQUENCE, Point::Count(counts.sequence)),
    ]
}

fn since_epoch(at: SystemTime) -> Point {
    Point::Real(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64())
}
