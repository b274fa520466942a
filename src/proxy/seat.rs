//! Audit as a commit protocol, seen from a request: intent durable before forwarding, its end through
//! the place reserved then.
//!
//! Only routes that name an event come here, after every gate. In `strict` mode a request whose
//! intent cannot be made durable in time is not forwarded; in `best_effort` it is. A disk that is
//! merely late keeps the seat: the end follows the beginning through it. Where nothing was begun, the
//! end is offered to the bounded lane of denials instead.

use std::sync::Arc;

use tokio::time::Instant;

use super::Proxy;
use super::exchange::{Exchange, Stop};
use crate::audit::facts::{resource_id, resource_type};
use crate::audit::{AuditResult, Draft, Event, Stage};
use crate::config::model::AuditMode;
use crate::record::{Failure, Phase, Record};
use crate::telemetry::sinks::audit::{Audit, Seat, Unavailable};

/// Reserves a seat and waits for the durable `initiated` record.
///
/// Cancel safe: the exchange holds its seat before the wait begins, so whoever ends the exchange
/// ends what was begun, once.
pub async fn initiate(proxy: &Proxy, exchange: &mut Exchange) -> Result<(), Stop> {
    let (Some(event), Some(audit)) = (exchange.route.audit, proxy.audit()) else { return Ok(()) };
    exchange.phase = Phase::Audit;
    let deadline = Instant::now() + exchange.plan.audit_deadline;
    if sit(audit, exchange, event, deadline).await.is_ok() {
        return Ok(());
    }
    match exchange.plan.audit_mode {
        AuditMode::BestEffort => Ok(()),
        AuditMode::Strict => Err(Failure::AuditUnavailable.into()),
    }
}

async fn sit(
    audit: &Audit,
    exchange: &mut Exchange,
    event: Event,
    deadline: Instant,
) -> Result<(), Unavailable> {
    let draft = draft(exchange, event);
    let reserved = audit.reserve(deadline).await?;
    let seated = exchange.seat.insert(reserved).initiate(draft, deadline).await;
    if seated == Err(Unavailable::NotWritable) {
        // Nothing was begun. A place kept for an end alone would be held until the disk is well.
        exchange.seat = None;
    }
    seated
}

/// What is known of an exchange for its audit record. `initiated` until [`complete`] says more.
pub fn draft(exchange: &Exchange, event: Event) -> Draft {
    let path: Arc<str> = exchange.audit_path.clone().unwrap_or_else(|| "".into());
    let template = &exchange.route.names.template;
    Draft {
        timestamp: exchange.started(),
        event,
        stage: Stage::Initiated,
        result: AuditResult::Initiated,
        user_id: None,
        tenant_id: None,
        ip_address: exchange.client_ip,
        user_agent: exchange.user_agent().map(Into::into),
        resource_id: resource_id(template, &path, &exchange.facts).map(Into::into),
        resource_type: resource_type(template).map(Into::into),
        action: Draft::action_for(exchange.method(), event),
        method: exchange.method(),
        route: Arc::clone(template),
        path,
        request_id: exchange.id().clone(),
        trace_id: exchange.trace.trace_id,
        status: None,
        duration: None,
        facts: exchange.facts.clone(),
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
    match seat {
        Some(seat) => seat.complete(draft),
        None => audit.deny(draft),
    }
}
