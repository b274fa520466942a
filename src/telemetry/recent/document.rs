//! A record as `GET /explain/{request-id}` shows it: who refused, who would have, and who was not asked.
//!
//! It shows what the log may show, and of the client's address nothing.

use serde_json::{Map, Value as Json, json};

use crate::record::{ErrorType, Failure, Kept, Outcome, Record, Refusal, Rejection, Step, Value};
use crate::telemetry::timestamp;

/// The document of one exchange.
pub(super) fn of(record: &Record) -> Json {
    let route = &record.route;
    json!({
        "requestId": record.request_id.with_str(str::to_owned),
        "timestamp": timestamp::format(record.started),
        "method": record.method.as_str(),
        "url": record.url(),
        "route": &*route.template,
        "name": route.name.as_deref(),
        "operation": record.operation.as_deref(),
        "status": record.status,
        "outcome": record.outcome.as_str(),
        "errorType": record.error_type().as_ref().map(ErrorType::as_str),
        "durationMs": millis(record.duration),
        "gates": gates(record),
        "upstream": upstream(record),
        "facts": facts(record),
        "spans": match record.kept {
            None | Some(Kept::Unsent(_)) => "dropped",
            Some(Kept::Head) => "kept",
            Some(Kept::End(reason)) => reason.as_str(),
        },
    })
}

fn millis(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn upstream(record: &Record) -> Option<Json> {
    let leg = record.upstream.as_ref()?;
    Some(json!({
        "status": leg.status,
        "offsetMs": millis(leg.offset),
        "headMs": millis(leg.to_head),
        "durationMs": millis(leg.duration),
    }))
}

fn facts(record: &Record) -> Map<String, Json> {
    let value = |value: &Value| match value {
        Value::Member(member) => json!(&**member),
        Value::Length(number) | Value::Number(number) => json!(number),
        Value::Pseudonym(pseudonym) => pseudonym.with_str(|text| json!(text)),
    };
    record.facts.iter().map(|fact| (fact.name.to_string(), value(&fact.value))).collect()
}

/// Every gate in the order of the walk.
fn gates(record: &Record) -> Vec<Json> {
    let policy = &record.route.policy;
    let mut gates = Vec::new();
    let mut add = |name: String, mode: &str, decision: &str, facts: Option<String>| {
        gates.push(json!({ "gate": name, "mode": mode, "decision": decision, "facts": facts }));
    };
    let limits = |step: Step| {
        let all = policy.limits.iter().enumerate();
        all.filter(move |(_, (asked_at, _, _))| *asked_at == step)
    };
    let steps = [
        (Step::Target, "target", "enforce"),
        (Step::Overload, "overload", "enforce"),
        (Step::Door, "", ""),
        (Step::Action, "action", "enforce"),
        (Step::Csrf, "csrf", policy.csrf),
        (Step::Identity, "identity", policy.identity),
        (Step::Known, "", ""),
        (Step::Validation, "validation", policy.validation),
        (Step::Body, "", ""),
        (Step::Breaker, "breaker", "enforce"),
        (Step::Audit, "audit", if record.route.audit.is_some() { "on" } else { "off" }),
        (Step::Upstream, "pool", "enforce"),
    ];
    for (step, name, mode) in steps {
        if !name.is_empty() {
            add(name.to_owned(), mode, decision(record, step, mode), said(record, step));
        }
        for (index, (_, limit, mode)) in limits(step) {
            let decision = match record.trail.limits.was_short(index) {
                None => "-",
                Some(false) => "pass",
                Some(true) if *mode == "enforce" => "refuse",
                Some(true) => "would deny",
            };
            add(format!("limit {limit}"), mode, decision, None);
        }
    }
    gates
}

/// What a gate that is no limit decided.
fn decision(record: &Record, step: Step, mode: &str) -> &'static str {
    let trail = &record.trail;
    let refused_at = refused_at(record);
    let is_let_by = trail.is_preflight && matches!(step, Step::Identity | Step::Validation);
    let has_nothing_to_judge = step == Step::Validation && record.operation.is_none();
    match step {
        _ if refused_at == Some(step) => "refuse",
        _ if trail.has_shadow(step) => "would deny",
        _ if is_let_by || has_nothing_to_judge || matches!(mode, "off" | "none") => "-",
        _ if step > trail.reached => "-",
        // What came of the connection is not the pool's.
        Step::Upstream => "pass",
        _ if step < trail.reached => "pass",
        _ if refused_at.is_some() || record.outcome == Outcome::Served => "pass",
        _ => "ended here",
    }
}

/// The gate that refused, where one did.
fn refused_at(record: &Record) -> Option<Step> {
    let refusal = match record.outcome {
        Outcome::Refused(refusal) => refusal,
        Outcome::Failed(Failure::AuditUnavailable) => return Some(Step::Audit),
        _ => return None,
    };
    Some(match refusal {
        Refusal::Overloaded => full(record.trail.reached),
        Refusal::CircuitOpen => Step::Breaker,
        // It was on its way already, and then its body broke a rule.
        _ if record.trail.reached == Step::Upstream => Step::Action,
        _ => record.trail.reached,
    })
}

/// The gate that had no room: for the body that it was to look into, for another connection, or for
/// another request at all.
fn full(reached: Step) -> Step {
    match reached {
        Step::Validation | Step::Upstream => reached,
        _ => Step::Overload,
    }
}

/// What was full, by the name of its key.
fn bound(record: &Record) -> &'static str {
    match record.trail.reached {
        Step::Validation => "inspect.max_memory",
        Step::Upstream => "upstream.pool.max_connections",
        Step::Overload => "overload.max_in_flight",
        _ => "overload.tenant_share",
    }
}

/// What a gate went by.
fn said(record: &Record, step: Step) -> Option<String> {
    let is_full = record.outcome == Outcome::Refused(Refusal::Overloaded);
    let (broken, is_early) = (record.trail.broken, record.trail.reached == Step::Target);
    match step {
        _ if is_full && refused_at(record) == Some(step) => Some(bound(record).to_owned()),
        // Its own rule, or none: what it broke later is the operation's.
        Step::Target if is_early => broken.map(|(_, rule)| rule.to_owned()),
        Step::Validation if is_early => None,
        Step::Identity => caller(record),
        // The tenant of a body is judged once that has been read.
        Step::Validation if record.rejection == Some(Rejection::TenantBody) => {
            Some(Rejection::TenantBody.as_str().to_owned())
        }
        Step::Validation => broken.map(|(place, rule)| format!("{place}: {rule}")),
        Step::Audit => record.route.audit.as_ref().map(ToString::to_string),
        _ => None,
    }
}

/// Who calls, and why that did not help.
fn caller(record: &Record) -> Option<String> {
    let why = record.rejection.filter(|why| *why != Rejection::TenantBody).map(Rejection::as_str);
    let Some(user) = &record.caller.user else { return why.map(str::to_owned) };
    let user = user.with_str(|user| format!("user {user}"));
    let tenant = record.caller.tenant.as_ref().map(|tenant| format!(", tenant {tenant}"));
    let why = why.map(|why| format!("; {why}"));
    Some(user + &tenant.unwrap_or_default() + &why.unwrap_or_default())
}
