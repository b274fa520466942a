//! Which id an exchange carries.
//!
//! Ours is a UUIDv7. An inbound id is kept as the id only from a trusted proxy; anybody else's is
//! noted as `clientRequestId` if it is well formed, and otherwise forgotten.

use http::{HeaderMap, HeaderValue};

use super::plan::Plan;
use crate::http::ids::{ClientRequestId, RequestId};

/// Chooses the id, and the client's proposal to note beside it.
pub fn assign(
    plan: &Plan,
    is_trusted: bool,
    headers: &HeaderMap,
) -> (RequestId, Option<ClientRequestId>) {
    let proposed = headers
        .get(&plan.request_id_header)
        .and_then(|value| ClientRequestId::parse(value.as_bytes()));
    match proposed {
        Some(id) if is_trusted => (RequestId::Inherited(id), None),
        proposed => (RequestId::generate(), proposed),
    }
}

/// The id as a header value.
pub fn header_value(id: &RequestId) -> HeaderValue {
    // Both kinds of id are visible ASCII by construction; the fallback is unreachable.
    id.with_str(|id| {
        HeaderValue::from_str(id).unwrap_or_else(|_| HeaderValue::from_static("invalid"))
    })
}
