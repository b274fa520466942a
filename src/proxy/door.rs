//! The first gate: token buckets whose keys are known from the connection and the head.
//!
//! It stands before anything that costs more than a look-up. The buckets themselves are in
//! [`super::limits`].

use http::HeaderMap;

use super::exchange::{Exchange, Stop};
use super::limits::{self, Keys, Verdict};
use crate::record::{Phase, Refusal};

/// Asks every limit of the route. A shadow limit only leaves its name on the record.
pub fn admit(exchange: &mut Exchange, headers: &HeaderMap) -> Result<Verdict, Stop> {
    exchange.phase = Phase::Limits;
    let keys = Keys { ip: exchange.client_ip, route: &exchange.route.names.template, headers };
    let verdict = limits::admit(&exchange.route.limiters, &keys);
    if let Some(denial) = &verdict.denied {
        exchange.limited_by = Some(denial.limit.clone());
        let mut fields = Box::<HeaderMap>::default();
        limits::dress(&mut fields, &verdict);
        return Err(Stop::Refused(Refusal::RateLimited, fields));
    }
    exchange.limited_by.clone_from(&verdict.would_deny);
    Ok(verdict)
}
