//! What gates decide, beside limits, which count for themselves: requests that one refused, or would
//! have refused if its mode were not `shadow`.
//!
//! What passes is not counted: it is every other request.

use super::Metrics;
use super::labels::{Labels, key};
use crate::record::ConfigName;

/// A gate with a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Requests of pages of other origins.
    Csrf,
    /// Requests that break the schema of their operation.
    Validation,
}

/// What a gate decided, where it is not to let a request pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It refused the request.
    Deny,
    /// It would have, but its mode is `shadow`.
    WouldDeny,
}

impl Gate {
    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csrf => "csrf",
            Self::Validation => "validation",
        }
    }
}

impl Decision {
    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::WouldDeny => "would_deny",
        }
    }
}

impl Metrics {
    /// Counts a decision about a request of this route. Returns whether it is the first of its kind.
    pub fn gate_decided(&self, gate: Gate, decision: Decision, route: &ConfigName) -> bool {
        let labels = Labels::default()
            .closed(key::GATE, gate.as_str())
            .closed(key::DECISION, decision.as_str())
            .named(key::ROUTE, route);
        self.shared.instruments.gate_decisions.series(&labels).inc() == 0
    }
}
