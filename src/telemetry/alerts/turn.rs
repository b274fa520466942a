//! What is told of an alert: that it fires, or no longer does.

use std::time::SystemTime;

use super::watch::Change;
use crate::config::model::Alert;
use crate::record::ConfigName;
use crate::secret::Secret;

/// A turn of an alert. It names what the configuration names, and numbers; nothing else is in it.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The alert.
    pub name: ConfigName,
    /// Its condition, as it is written.
    pub when: ConfigName,
    /// Whether it fires now.
    pub is_firing: bool,
    /// What was compared; `None` where there was nothing to compare, or the alert has gone.
    pub value: Option<f64>,
    /// What it was compared with.
    pub threshold: f64,
    /// What both are counted in: `/min`, `s`, `%`.
    pub unit: &'static str,
    /// Since when it fires, or did.
    pub since: SystemTime,
    /// When it turned.
    pub at: SystemTime,
    /// Where it is posted to.
    pub webhook: Option<Secret>,
}

impl Turn {
    pub(super) fn new(alert: &Alert, change: Change, at: SystemTime) -> Self {
        let condition = &alert.when.condition;
        Self {
            name: alert.name.clone(),
            when: alert.when.shown.clone(),
            is_firing: change.is_firing,
            value: change.value,
            threshold: condition.threshold(),
            unit: condition.unit(),
            since: change.since,
            at,
            webhook: alert.notify.webhook.clone(),
        }
    }

    /// `firing` or `resolved`.
    pub fn status(&self) -> &'static str {
        if self.is_firing { "firing" } else { "resolved" }
    }

    /// The value for a person: `12/min`, `5.4s`, none.
    pub fn shown_value(&self) -> String {
        match self.value {
            Some(value) => format!("{}{}", (value * 1000.0).round() / 1000.0, self.unit),
            None => "none".to_owned(),
        }
    }
}
