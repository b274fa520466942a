//! Label sets: pairs of a fixed or configured key and a value that is a closed enum, a number or a configured name.
//!
//! Keys are the attribute keys of OpenTelemetry; how Prometheus spells them is the exposition's
//! business. There is no way to put a `String` from a request into one: values are static or come
//! from the configuration as [`ConfigName`].

use std::fmt;

use crate::record::{ConfigName, ErrorType};

/// The attribute keys, once each.
pub(super) mod key {
    pub(in super::super) const METHOD: &str = "http.request.method";
    pub(in super::super) const ROUTE: &str = "http.route";
    pub(in super::super) const STATUS_CODE: &str = "http.response.status_code";
    pub(in super::super) const ERROR_TYPE: &str = "error.type";
    pub(in super::super) const SERVER_ADDRESS: &str = "server.address";
    pub(in super::super) const SERVER_PORT: &str = "server.port";
    pub(in super::super) const STREAM: &str = "sidecar.stream";
    pub(in super::super) const STATUS: &str = "status";
    pub(in super::super) const MODE: &str = "mode";
    pub(in super::super) const RULE: &str = "rule";
    pub(in super::super) const TYPE: &str = "type";
    pub(in super::super) const PHASE: &str = "phase";
    pub(in super::super) const SIGNAL: &str = "signal";
    pub(in super::super) const SINK: &str = "sink";
    pub(in super::super) const REASON: &str = "reason";
    pub(in super::super) const RESULT: &str = "result";
    pub(in super::super) const DECISION: &str = "decision";
    pub(in super::super) const GATE: &str = "gate";
    pub(in super::super) const STATE: &str = "state";
    pub(in super::super) const EVENT: &str = "event";
    pub(in super::super) const VERSION: &str = "version";
    pub(in super::super) const OPERATION_NAME: &str = "gen_ai.operation.name";
    pub(in super::super) const PROVIDER_NAME: &str = "gen_ai.provider.name";
    pub(in super::super) const REQUEST_MODEL: &str = "gen_ai.request.model";
    pub(in super::super) const RESPONSE_MODEL: &str = "gen_ai.response.model";
    pub(in super::super) const TOKEN_TYPE: &str = "gen_ai.token.type";
    /// Of the one series that counts what found no room in its family (OpenTelemetry metrics SDK,
    /// "Overflow attribute").
    pub(in super::super) const OVERFLOW: &str = "otel.metric.overflow";
}

/// A value of a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Value {
    /// A member of a closed enum.
    Closed(&'static str),
    /// Yes or no.
    Flag(bool),
    /// A name from the configuration.
    Named(ConfigName),
    /// A status or a port.
    Number(u16),
}

/// What a label is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// An attribute key of [`key`].
    Fixed(&'static str),
    /// The name of a captured fact.
    Fact(ConfigName),
}

/// The labels of one series, in the order they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Labels(Vec<(Key, Value)>);

impl Labels {
    /// The labels of the overflow series.
    pub(super) fn overflow() -> Self {
        Self::default().flag(key::OVERFLOW, true)
    }

    /// Adds a member of a closed enum.
    pub(super) fn closed(self, key: &'static str, value: &'static str) -> Self {
        self.with(key, Value::Closed(value))
    }

    /// Adds a yes or no.
    pub(super) fn flag(self, key: &'static str, value: bool) -> Self {
        self.with(key, Value::Flag(value))
    }

    /// Adds a configured name.
    pub(super) fn named(self, key: &'static str, value: &ConfigName) -> Self {
        self.with(key, Value::Named(value.clone()))
    }

    /// Adds a word for an error: of the program, or of the configuration.
    pub(super) fn error(self, key: &'static str, value: &ErrorType) -> Self {
        match value.own_word() {
            Some(word) => self.closed(key, word),
            None => self.named(key, &value.name()),
        }
    }

    /// Adds a number.
    pub(super) fn number(self, key: &'static str, value: u16) -> Self {
        self.with(key, Value::Number(value))
    }

    /// Adds a status, if there is one. What is no HTTP status shares one series.
    pub(super) fn status(self, status: Option<u16>) -> Self {
        match status {
            Some(status @ 100..=599) => self.number(key::STATUS_CODE, status),
            Some(_) => self.closed(key::STATUS_CODE, "_OTHER"),
            None => self,
        }
    }

    /// Adds a captured fact, under its own name.
    pub(super) fn fact(mut self, name: &ConfigName, value: &ConfigName) -> Self {
        self.0.push((Key::Fact(name.clone()), Value::Named(value.clone())));
        self
    }

    /// The pairs, in order.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| match key {
            Key::Fixed(key) => (*key, value),
            Key::Fact(name) => (&**name, value),
        })
    }

    /// The keys that an instrument has to declare: all but those of captured facts.
    pub(super) fn declared(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().filter_map(|(key, _)| match key {
            Key::Fixed(key) => Some(*key),
            Key::Fact(_) => None,
        })
    }

    fn with(mut self, key: &'static str, value: Value) -> Self {
        self.0.push((Key::Fixed(key), value));
        self
    }
}

impl fmt::Display for Value {
    /// As Prometheus shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(text) => f.write_str(text),
            Self::Flag(flag) => flag.fmt(f),
            Self::Named(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
        }
    }
}
