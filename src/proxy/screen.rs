//! What the route's policy says about the head alone: denied routes, unknown paths, declared lengths.
//!
//! The body is not touched here, so a refused `Expect: 100-continue` never sees its 100.

use http::header::ALLOW;
use http::{HeaderMap, Method};
use http_body::Body;

use super::exchange::{Exchange, Stop};
use super::target::Target;
use crate::config::model::Action;
use crate::record::{Refusal, Step};

/// Judges the head by the route's policy. A preflight asks about another method than its own, so it
/// passes where its path is known at all.
pub fn judge(
    exchange: &mut Exchange,
    method: &Method,
    target: &Target,
    body: &impl Body,
    is_preflight: bool,
) -> Result<(), Stop> {
    exchange.trail.reached = Step::Action;
    let (plan, route) = (&exchange.plan, &exchange.route);
    if route.action == Action::Deny {
        return Err(Refusal::Forbidden.into());
    }
    if plan.denies_unmatched() && !route.is_configured && exchange.operation.is_none() {
        let Some(allow) = plan.allow(method, target.path()) else {
            return Err(Refusal::NotFound.into());
        };
        if !is_preflight {
            let fields = HeaderMap::from_iter([(ALLOW, allow)]);
            return Err(Stop::Refused(Refusal::MethodNotAllowed, Box::new(fields)));
        }
    }
    if body.size_hint().lower() > route.max_request_body {
        return Err(Refusal::BodyTooLarge.into());
    }
    Ok(())
}
