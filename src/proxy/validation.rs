//! The gate `validation`: does a request fit its operation?
//!
//! First the parameters, then what the head says of the body, then, once it has been read, the body
//! itself. A refusal names rules and places ([`crate::openapi::Violation`]), never a value. In shadow
//! mode nothing is refused; the record says what would have been.
//!
//! It reads no body: that is the part of `inspect_body`, one bounded read for the captures too.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http_body::Frame;

use super::exchange::{Exchange, Stop};
use super::inspect::Interest;
use super::operations::OperationPlan;
use crate::config::model::Mode;
use crate::openapi::Media;
use crate::record::{Refusal, Step};
use crate::telemetry::metrics::{Decision, Gate};

/// Judges the head, and says what is to be made of the body. `path` is the canonical path.
pub fn judge_head(
    exchange: &mut Exchange,
    head: &Parts,
    path: &str,
    has_body: bool,
) -> Result<Interest, Stop> {
    let mode = exchange.route.gates.validation;
    let Some(plan) = exchange.operation.as_ref().filter(|_| mode != Mode::Off) else {
        return Ok(Interest::None);
    };
    let plan = Arc::clone(plan);
    exchange.trail.reached = Step::Validation;
    judge_parameters(exchange, &plan, head, path)?;
    let Some(body) = plan.operation.body() else { return Ok(Interest::None) };
    if !has_body {
        if let Some(violation) = body.judge_absence() {
            refuse(exchange, mode, Stop::Invalid(vec![violation]))?;
        }
        return Ok(Interest::None);
    }
    match body.media(&head.headers) {
        Media::Json(_) if mode == Mode::Enforce => Ok(Interest::Whole),
        Media::Json(_) => Ok(Interest::Glance),
        Media::Opaque => Ok(Interest::None),
        Media::Unsupported => {
            refuse(exchange, mode, Refusal::UnsupportedMediaType.into())?;
            Ok(Interest::None)
        }
    }
}

/// Judges a whole body. `lead` is what was read of it.
pub fn judge_body(
    exchange: &mut Exchange,
    head: &Parts,
    lead: &VecDeque<Frame<Bytes>>,
) -> Result<(), Stop> {
    let Some(plan) = exchange.operation.clone() else { return Ok(()) };
    let Some(body) = plan.operation.body() else { return Ok(()) };
    let text = lead.front().and_then(Frame::data_ref).map_or(&[][..], |text| text);
    let violations = match body.media(&head.headers) {
        // It was announced, and nothing came.
        Media::Json(_) if text.is_empty() => body.judge_absence().into_iter().collect(),
        Media::Json(schema) => schema.judge(text),
        Media::Opaque | Media::Unsupported => return Ok(()),
    };
    if violations.is_empty() {
        return Ok(());
    }
    let mode = exchange.route.gates.validation;
    refuse(exchange, mode, Stop::Invalid(violations))
}

/// Judges what stands in the path, behind the `?` and in header fields.
pub fn judge_parameters(
    exchange: &mut Exchange,
    plan: &OperationPlan,
    head: &Parts,
    path: &str,
) -> Result<(), Stop> {
    if !plan.operation.has_parameters() {
        return Ok(());
    }
    let params = plan.template.params(path);
    let query = head.uri.query().unwrap_or_default();
    let violations = plan.operation.judge_head(&params, query, &head.headers);
    if violations.is_empty() {
        return Ok(());
    }
    let mode = exchange.route.gates.validation;
    refuse(exchange, mode, Stop::Invalid(violations))
}

/// Stops, or notes that it would have; a request is counted once.
fn refuse(exchange: &mut Exchange, mode: Mode, stop: Stop) -> Result<(), Stop> {
    if let Stop::Invalid(violations) = &stop {
        let broken = violations.first().map(|first| (first.place.as_str(), first.rule.as_str()));
        exchange.trail.broken = exchange.trail.broken.or(broken);
    }
    if mode == Mode::Enforce {
        exchange.note_gate(Gate::Validation, Decision::Deny);
        return Err(stop);
    }
    if !exchange.trail.has_shadow(Step::Validation)
        && exchange.note_gate(Gate::Validation, Decision::WouldDeny)
    {
        tracing::warn!(
            route = %exchange.route.names.template,
            "A request does not fit its operation, and `validation = \"enforce\"` would refuse it; the \
             next ones of this route are only counted."
        );
    }
    exchange.trail.note_shadow(Step::Validation);
    exchange.would_refuse.get_or_insert(match stop {
        Stop::Refused(refusal, _) => refusal,
        _ => Refusal::SchemaViolation,
    });
    Ok(())
}
