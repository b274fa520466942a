//! How a sidecar ended, as the exit code and the last words tell it.

use std::sync::Arc;

use crate::telemetry::ledger::Ledger;
use crate::telemetry::sinks::audit;

/// How a sidecar ended.
#[derive(Clone, Debug)]
pub struct Farewell {
    /// What became of everything that was to leave.
    pub ledger: Arc<Ledger>,
    /// The audit's last numbers, where there is an audit.
    pub audit: Option<audit::Report>,
    /// Whether every exchange ended by itself.
    pub all_finished: bool,
    /// Whether somebody asked again, so that audit and sinks did not get their time. The ledger says
    /// what that cost.
    pub was_hurried: bool,
}

impl Farewell {
    /// Whether nothing was cut or cut short, and the audit is whole.
    pub fn is_clean(&self) -> bool {
        self.all_finished
            && !self.was_hurried
            && self.audit.as_ref().is_none_or(audit::Report::is_whole)
    }
}
