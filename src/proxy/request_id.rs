//! Which id an exchange carries.
//!
//! Ours is a UUIDv7. An inbound id is kept as the id only from a trusted proxy; anybody else's is
//! noted as `clientRequestId` if it has the form of an id that a machine made, and otherwise
//! forgotten: it may be a name.

use std::time::SystemTime;

use http::HeaderValue;

use super::survey::Survey;
use crate::http::ids::{ClientRequestId, RequestId};

/// Chooses the id of an exchange that began at `started`, and the client's proposal to note beside it.
pub fn assign(survey: &mut Survey, started: SystemTime) -> (RequestId, Option<ClientRequestId>) {
    match survey.proposed_id.take() {
        Some(id) if survey.is_trusted => (RequestId::Inherited(id), None),
        proposed => (RequestId::at(started), proposed.filter(ClientRequestId::is_machine_made)),
    }
}

/// The id as a header value.
pub fn header_value(id: &RequestId) -> HeaderValue {
    id.with_str(|id| visible(id.as_bytes()))
}

/// A value of bytes that are visible ASCII by construction, as both kinds of id are; the fallback is
/// unreachable. Apart, because a check of as many bytes as the compiler can count is one of single bytes,
/// and else one of vectors.
#[inline(never)]
fn visible(id: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(id).unwrap_or_else(|_| HeaderValue::from_static("invalid"))
}
