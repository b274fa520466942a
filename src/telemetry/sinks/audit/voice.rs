//! What the log is told of the audit: one `AUDIT` line for each record that has become durable.
//!
//! The log never waits, so neither does the writer. The trail is opened before there is a log; what the
//! start closes is told once there is one.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::audit::line::Line;
use crate::audit::{AuditResult, Draft, Event};
use crate::config::model::LogLevel;
use crate::http::ids::{ClientRequestId, RequestId};
use crate::http::traceparent::TraceId;
use crate::telemetry::log::{Audited, Entry, Log};

/// The way to the log.
#[derive(Debug, Default)]
pub(super) struct Voice {
    log: OnceLock<Arc<Log>>,
    /// What the start closed, until there is a log.
    early: Mutex<Vec<Audited>>,
}

/// The way to the log, for the records of one commit.
pub(super) struct Speaker<'a> {
    log: Option<&'a Log>,
    now: Option<SystemTime>,
}

impl Voice {
    /// Tells this log from now on, and of what was closed before. Only the first log counts.
    pub(super) fn speak_through(&self, log: &Arc<Log>) {
        if self.log.set(Arc::clone(log)).is_ok() {
            for early in std::mem::take(&mut *self.early.lock()) {
                say(log, early);
            }
        }
    }

    /// Keeps these until there is a log. There are no more of them than exchanges that ran at once.
    pub(super) fn tell(&self, early: Vec<Audited>) {
        *self.early.lock() = early;
    }

    /// Who says what a commit has made durable.
    pub(super) fn speaker(&self) -> Speaker<'_> {
        let log = self.log.get().map(Arc::as_ref);
        Speaker { log: log.filter(|log| log.hears(LogLevel::Info)), now: None }
    }
}

impl Speaker<'_> {
    /// Says that this record has this number; an end of which only the beginning is known has a result
    /// of its own.
    pub(super) fn say(&mut self, draft: &Draft, result: AuditResult, seq: u64) {
        if let Some(log) = self.log {
            let at = *self.now.get_or_insert_with(SystemTime::now);
            let event = draft.event.as_str().into();
            let (request_id, trace_id) = (draft.request_id.clone(), draft.trace_id);
            say(log, Audited { at, event, seq, result, request_id, trace_id });
        }
    }
}

fn say(log: &Log, audited: Audited) {
    log.say(&Entry::Audited(Arc::new(audited)));
}

/// What is said of the end of the exchange that this line began. `None` where its event or one of its ids
/// is none of ours: a forged line.
pub(super) fn audited(initiated: &[u8], seq: u64, at: SystemTime) -> Option<Audited> {
    let line = Line::parse(initiated)?;
    let event = Event::parse(&line.event)?.as_str().into();
    let request_id = RequestId::Inherited(ClientRequestId::parse(line.request_id.as_bytes())?);
    let trace_id = TraceId::parse(line.trace_id?.as_bytes())?;
    Some(Audited { at, event, seq, result: AuditResult::Aborted, request_id, trace_id })
}
