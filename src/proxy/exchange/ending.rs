//! The end of an exchange: what was gathered becomes one record, which leaves.
//!
//! Whatever ends an exchange comes here, and only the first time counts. What it held (permits, what its
//! tenant holds with it) goes back last. It does not decide how the exchange ended: whoever ends it says so.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Exchange;
use crate::audit::Event;
use crate::proxy::request_body::{Meter, State};
use crate::proxy::seat;
use crate::record::{Abort, Fact, Outcome, Record, Refusal, UpstreamLeg};
use crate::telemetry::diagnostics;
use crate::telemetry::sampling::Ending;

impl Exchange {
    /// Ends the exchange: the record leaves now, and never again.
    pub fn end(&mut self, outcome: Outcome) {
        self.end_at(Instant::now(), outcome);
    }

    /// Ends the exchange as of now, for who has just read the clock.
    pub fn end_at(&mut self, now: Instant, outcome: Outcome) {
        if self.busy.take().is_none() {
            return;
        }
        self.announce();
        let is_read = |meter: &Arc<Meter>| meter.state() == State::Complete;
        if self.has_body && !self.meter.as_ref().is_some_and(is_read) {
            self.link.leave_unread();
        }
        for due in std::mem::take(&mut self.dues) {
            due.settle(&self.facts);
        }
        self.facts.retain(Fact::is_exact);
        let is_foreign = outcome == Outcome::Refused(Refusal::TenantMismatch);
        let event = if is_foreign { Some(Event::TenantMismatch) } else { self.route.audit };
        let draft = event.map(|event| seat::draft(self, event));
        let record = self.record(now, outcome);
        if let (Some(draft), Some(audit)) = (draft, self.proxy.audit()) {
            seat::complete(audit, self.seat.take(), draft, &record);
        }
        if self.plan.genai {
            self.proxy.telemetry.metrics().observe_genai(&record);
        }
        self.proxy.telemetry.emit(record, &self.route.metrics);
        self.proxy.overload.leave_tenant(self.holding.take());
        self.proxy.overload.leave(std::mem::take(&mut self.permit));
    }

    /// The sidecar's own time: before the upstream leg, and from the upstream's head to the answer's;
    /// all of it where there was no leg.
    fn overhead(&self, duration: Duration) -> Duration {
        let Some(leg) = self.leg else { return duration };
        let handed_on = self.handed_on.unwrap_or(duration);
        let after = leg.answered.map(|answered| handed_on.saturating_sub(answered));
        leg.offset + after.unwrap_or_default()
    }

    /// Made where it stays: a record is half a kilobyte, and every voice reads the same one.
    fn record(&mut self, now: Instant, outcome: Outcome) -> Arc<Record> {
        let duration = now.saturating_duration_since(self.began);
        let upstream = self.leg.map(|leg| UpstreamLeg {
            offset: leg.offset,
            to_head: leg.to_head.unwrap_or(duration.saturating_sub(leg.offset)),
            duration: duration.saturating_sub(leg.offset),
            status: leg.status,
        });
        let overhead = self.overhead(duration);
        let status = match outcome {
            Outcome::Refused(refusal) => self.status.or(Some(refusal.status())),
            Outcome::Failed(failure) => self.status.or(Some(failure.status())),
            Outcome::Panicked => self.status.or(Some(500)),
            _ => self.status,
        };
        let ending = Ending {
            outcome,
            status,
            duration,
            ttfb: self.first_byte,
            is_stream: self.stream.is_some(),
        };
        let kept = self.plan.sampling.keep(self.trace.sampled, &ending, now);
        let names = &self.route.names;
        Arc::new(Record {
            request_id: self.id.clone(),
            client_request_id: self.client_request_id.take(),
            trace: self.trace.clone(),
            kept,
            started: self.started,
            duration,
            ttfb: self.first_byte,
            overhead,
            upstream,
            method: self.method,
            scheme: self.scheme,
            protocol: self.protocol,
            shape: self.shape.take(),
            route: Arc::clone(names),
            caller: std::mem::take(&mut self.caller),
            rejection: self.rejection,
            operation: self.operation.take().and_then(|plan| plan.operation.id.clone()),
            trail: self.trail,
            would_refuse: self.would_refuse,
            status,
            outcome,
            stack: if outcome == Outcome::Panicked { diagnostics::take_stack() } else { None },
            // An answer that did not arrive whole is an error of another kind.
            class: self.class.take().filter(|_| outcome == Outcome::Served),
            bytes_in: self.meter.as_ref().map_or(0, |meter| meter.bytes()),
            bytes_out: self.bytes_out,
            stream: self.stream.take(),
            user_agent: self.user_agent.take(),
            headers: std::mem::take(&mut self.headers),
            client_ip: self.client_ip,
            facts: std::mem::take(&mut self.facts),
            limited_by: self.limited_by.take(),
            cache: self.cache,
            store_calls: std::mem::take(&mut self.store_calls),
        })
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.is_over() {
            return; // Without a look at the clock.
        }
        self.end(if std::thread::panicking() {
            Outcome::Panicked
        } else if self.proxy.is_cut() {
            Outcome::Aborted(Abort::Drain)
        } else {
            Outcome::Gone { phase: self.phase }
        });
    }
}
