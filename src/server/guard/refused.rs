//! The answer to a head that never became a request: a problem document, and a record of its own.
//!
//! Nothing of a refused head is believed, so nothing of it is repeated or recorded but its method. The
//! answer is the one that the pipeline gives; only it is written here, because hyper has nothing to
//! answer.

use std::io::Write;
use std::sync::Arc;

use http::{Method, Request};

use crate::http::framing::{self, Kind};
use crate::http::sanitise;
use crate::proxy::Proxy;
use crate::proxy::answer::{self, Asked};
use crate::proxy::exchange::{Exchange, Stop};
use crate::proxy::peer::Peer;
use crate::proxy::reply::ReplyBody;
use crate::proxy::survey::Survey;
use crate::record;

/// Refuses what begins with `head`. The record leaves now; the bytes are for the client.
pub fn answer(proxy: &Arc<Proxy>, peer: &Peer, head: &[u8], refusal: framing::Refusal) -> Vec<u8> {
    let client = sanitise::truncate_ip(peer.ip);
    tracing::debug!(%client, why = refusal.why, "A request was refused by its bytes.");
    let (mut parts, ()) = Request::new(()).into_parts();
    // A method outside the standard ones is counted as such; an empty one cannot be.
    let method = framing::method(head).and_then(|method| Method::from_bytes(method).ok());
    parts.method = method.unwrap_or_else(unknown);
    let plan = proxy.plan();
    let mut survey = Survey::of(&parts.headers, &plan, peer);
    let mut exchange = Exchange::begin(proxy, plan, peer, &parts, &mut survey, false);
    exchange.trail.broken = Some(("head", refusal.why));
    let stop = Stop::from(record::Refusal::from(refusal.kind));
    let (head, body) = answer::refuse(exchange, stop, Asked::of(&parts, &survey)).into_parts();

    let mut bytes = Vec::with_capacity(1024);
    let reason = head.status.canonical_reason().unwrap_or_default();
    let date = httpdate::HttpDate::from(std::time::SystemTime::now());
    // Writing to a vector cannot fail.
    let _infallible = write!(
        bytes,
        "HTTP/1.1 {} {reason}\r\nconnection: close\r\ndate: {date}\r\n",
        head.status.as_u16(),
    );
    for (name, value) in &head.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    if let ReplyBody::Own(Some(body)) = body {
        bytes.extend_from_slice(&body);
    }
    bytes
}

fn unknown() -> Method {
    Method::from_bytes(b"INVALID").unwrap_or_default()
}

impl From<Kind> for record::Refusal {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::HeadTooLarge => Self::HeaderTooLarge,
            Kind::Malformed => Self::BadRequest,
            Kind::NotImplemented => Self::NotImplemented,
            Kind::TargetTooLong => Self::UriTooLong,
            Kind::UnknownExpectation => Self::ExpectationFailed,
        }
    }
}
