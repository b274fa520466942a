//! What the route's policy says about the head alone: denied routes and declared lengths.
//!
//! The body is not touched here, so a refused `Expect: 100-continue` never sees its 100.

use http_body::Body;

use super::exchange::Exchange;
use crate::config::model::Action;
use crate::record::Refusal;

/// Judges the head by the route's policy.
pub fn judge(exchange: &Exchange, body: &impl Body) -> Result<(), Refusal> {
    if exchange.route.action == Action::Deny {
        return Err(Refusal::Forbidden);
    }
    if body.size_hint().lower() > exchange.route.max_request_body {
        return Err(Refusal::BodyTooLarge);
    }
    Ok(())
}
