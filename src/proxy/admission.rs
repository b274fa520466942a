//! The gate of the limits, which stands at three places: before anything that costs more than a
//! look-up, once the caller is known, and once the body was looked into.
//!
//! Each limit is asked at the first of them where its keys are known, so a flood of tokens meets the
//! limits by address before a signature is checked. The buckets themselves are in [`super::limits`].

use http::HeaderMap;

use super::exchange::{Exchange, Stop};
use super::limits::{self, Keys, Stage, Verdict};
use crate::record::{Phase, Refusal};

/// Asks the route's limits of this stage. A shadow limit only leaves its name on the record.
///
/// It waits only where limits are shared with other replicas. Cancel safe.
pub async fn admit(
    stage: Stage,
    exchange: &mut Exchange,
    headers: &HeaderMap,
    verdict: &mut Verdict,
) -> Result<(), Stop> {
    if exchange.route.limits.at(stage).is_empty() {
        return Ok(());
    }
    exchange.trail.reached = stage.step();
    exchange.phase = Phase::Limits;
    if exchange.plan.rate_limits.is_shared() {
        // Boxed, like all that few requests wait for.
        Box::pin(ask_shared(stage, exchange, headers, verdict)).await;
    } else {
        let slots = exchange.route.limits.at(stage);
        limits::admit(slots, &keys(exchange, headers), verdict);
    }
    for call in verdict.calls.drain(..) {
        exchange.note_store_call(call);
    }
    exchange.dues.append(&mut verdict.dues);
    exchange.trail.limits = verdict.limited;
    if let Some(denial) = &verdict.denied {
        exchange.limited_by = Some(denial.limit.clone());
        let mut fields = Box::<HeaderMap>::default();
        limits::dress(&mut fields, verdict);
        return Err(Stop::Refused(Refusal::RateLimited, fields));
    }
    if exchange.limited_by.is_none() {
        exchange.limited_by.clone_from(&verdict.would_deny);
    }
    Ok(())
}

async fn ask_shared(stage: Stage, exchange: &Exchange, headers: &HeaderMap, verdict: &mut Verdict) {
    let slots = exchange.route.limits.at(stage);
    let waited = exchange.waited_for_store();
    limits::admit_shared(slots, &keys(exchange, headers), waited, verdict).await;
}

fn keys<'a>(exchange: &'a Exchange, headers: &'a HeaderMap) -> Keys<'a> {
    Keys {
        ip: exchange.client_ip,
        route: &exchange.route.names.template,
        headers,
        identity: exchange.identity.as_deref(),
        facts: &exchange.facts,
        unfit: &exchange.unfit,
    }
}
