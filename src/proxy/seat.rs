//! Audit as a commit protocol, seen from a request: intent durable before forwarding, its end through
//! the place reserved then.
//!
//! Only routes that name an event come here, after every gate. In `strict` mode a request whose
//! intent cannot be made durable in time is not forwarded; in `best_effort` it is, and its end is
//! written all the same.

use tokio::time::Instant;

use super::Proxy;
use super::exchange::{Exchange, Stop};
use super::identity::Identity;
use crate::audit::facts::{resource_id, resource_type};
use crate::audit::{AuditResult, Draft, Event, Evidence, Stage};
use crate::config::model::AuditMode;
use crate::record::{Failure, Phase, Record, Rejection, Step};
use crate::telemetry::sinks::audit::{Audit, Seat, Unavailable};

/// Reserves a seat and waits for the durable `initiated` record.
///
/// Cancel safe: a client that leaves while waiting ends its exchange, which ends what it began.
pub async fn initiate(proxy: &Proxy, exchange: &mut Exchange) -> Result<(), Stop> {
    let (Some(event), Some(audit)) = (exchange.route.audit, proxy.audit()) else { return Ok(()) };
    (exchange.phase, exchange.trail.reached) = (Phase::Audit, Step::Audit);
    let deadline = Instant::now() + exchange.plan.audit_deadline;
    let draft = draft(exchange, event);
    // Boxed, like all that few requests wait for: each connection has room for a whole walk.
    let begun = match Box::pin(audit.reserve(deadline)).await {
        // From here on the exchange holds the seat, so whatever ends the exchange ends the record
        // too, and only once: a late `initiated` may still become durable.
        Ok(seat) => {
            let seat = exchange.seat.insert(seat);
            Box::pin(seat.initiate(draft, deadline)).await
        }
        Err(unavailable) => Err(unavailable),
    };
    if begun == Err(Unavailable::NotWritable) {
        // Nothing was begun. A place kept for an end alone is held until the disk is well, and once
        // all are held a refusal would wait for its deadline instead of leaving at once.
        exchange.seat = None;
    }
    match begun {
        Err(_) if exchange.plan.audit_mode == AuditMode::Strict => {
            Err(Failure::AuditUnavailable.into())
        }
        _ => Ok(()),
    }
}

/// What is known of an exchange for its audit record. `initiated` until [`complete`] says more.
pub fn draft(exchange: &Exchange, event: Event) -> Draft {
    let path = exchange.audit_path.clone().unwrap_or_else(|| Evidence::of(""));
    let template = &exchange.route.names.template;
    let identity = exchange.identity.as_deref();
    Draft {
        timestamp: exchange.started(),
        event,
        stage: Stage::Initiated,
        result: AuditResult::Initiated,
        user_id: identity.and_then(Identity::user).map(Evidence::of),
        tenant_id: identity.and_then(Identity::tenant).map(Evidence::of),
        ip_address: exchange.client_ip,
        user_agent: exchange.user_agent().cloned(),
        resource_id: resource_id(template, &path, &exchange.facts),
        resource_type: resource_type(template),
        action: Draft::action_for(exchange.method(), event),
        method: exchange.method(),
        route: template.clone(),
        path,
        request_id: exchange.id().clone(),
        trace_id: exchange.trace.trace_id,
        status: None,
        duration: None,
        facts: exchange.facts.iter().filter(|fact| fact.is_exact()).cloned().collect(),
        reason: None,
    }
}

/// Writes the end of an audited exchange: through its seat, or, where it never got one, through the
/// bounded lane. Neither waits.
pub fn complete(audit: &Audit, seat: Option<Seat>, mut draft: Draft, record: &Record) {
    draft.timestamp = record.started + record.duration;
    draft.stage = Stage::Completed;
    draft.result = AuditResult::of(record.outcome, record.status);
    draft.status = record.status;
    draft.duration = Some(record.duration);
    draft.reason = record.rejection.map(Rejection::as_str);
    match seat {
        Some(seat) => seat.complete(draft),
        None => audit.deny(draft),
    }
}
