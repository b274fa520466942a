//! The upstream request: rebuilt from validated parts.
//!
//! Method, target and framing are made anew: the canonical target, and the length of the body itself.
//! Of the client's fields those pass that nothing holds back: hop-by-hop fields (RFC 9110 §7.6.1),
//! identity claims and untrusted forwarding fields stay behind. `traceparent`, the request id and
//! `X-Forwarded-*` are ours.
//!
//! It sends nothing.

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderValue, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Method, Request, Uri, Version};
use http_body::Body;

use crate::http::hop::SIGNED_IDENTITY;
use crate::http::{forwarded, hop, http2, upgrade};
use crate::proxy::claims::Claimed;
use crate::proxy::exchange::Exchange;
use crate::proxy::identity::Identity;
use crate::proxy::peer::Peer;
use crate::proxy::plan::Plan;
use crate::proxy::request_body::RequestBody;
use crate::proxy::survey::Survey;
use crate::proxy::target::{self, Target};
use crate::proxy::trace;

/// How long an upstream may leave a client's `Expect: 100-continue` unanswered.
const SILENCE: std::time::Duration = std::time::Duration::from_secs(1);

/// Builds the request that the upstream sees. The fields of `head` move into it.
pub fn prepare(
    exchange: &Exchange,
    peer: &Peer,
    head: &mut Parts,
    survey: &mut Survey,
    target: Target,
    mut body: RequestBody,
) -> (Request<RequestBody>, Option<Offer>) {
    let plan = &exchange.plan;
    let is_trusted = survey.is_trusted;
    if let Some(fields) = &plan.removed_trailers {
        body.remove_from_trailers(fields);
    }
    let named_host = target::host(&head.uri);
    let client_host = named_host.clone().or(survey.host.take());

    // The map itself goes on: hyper hands the same few maps round and round.
    let headers = &mut head.headers;
    let claimed = Claimed::among(&survey.ending, plan, is_trusted);
    exchange.proxy().claims().note(claimed, &peer.ip);
    let asks_for_trailers = survey.accepts_trailers;
    let expects = survey.has_expectation && head.version == Version::HTTP_11 && body.is_untouched();
    let offers = survey.ending.contains(&UPGRADE);
    let offer = if offers { offer(head.version, headers, &body) } else { None };
    leave_out(plan, survey, headers);
    let host = plan.rewritten_host.clone().or(named_host);
    if host.is_some() || client_host.is_none() {
        headers.insert(HOST, host.unwrap_or_else(|| plan.authority.clone()));
    }
    ask_of_the_connection(headers, offer.as_deref(), asks_for_trailers);
    if exchange.route.reads_answers {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    if expects {
        headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
    }
    if head.version == Version::HTTP_2 {
        http2::join_cookies(headers);
    }
    frame(headers, &head.method, &body);
    let last_hop = forwarded::Hop {
        peer: peer.address.as_ref(),
        is_trusted,
        scheme: peer.scheme,
        host: client_host,
    };
    forwarded::append(headers, last_hop);
    trace::propagate(plan, survey, &exchange.trace, headers);
    headers.insert(&plan.request_id_header, exchange.request_id.clone());
    if let Some(identity) = &exchange.identity {
        introduce(exchange, identity, headers);
    }

    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = Uri::from(target.origin_form);
    *request.version_mut() = Version::HTTP_11;
    std::mem::swap(request.headers_mut(), headers);
    if expects {
        hold(&mut request, exchange.route.response_header);
    }
    (request, offer)
}

/// Takes out what ends here, and does not announce the trailers that will.
fn leave_out(plan: &Plan, survey: &Survey, headers: &mut HeaderMap) {
    for name in &survey.ending {
        headers.remove(name);
    }
    if survey.announces_trailers {
        let removed = plan.removed_trailers.as_deref().unwrap_or_default();
        hop::strip_announced(headers, |name| {
            removed.iter().any(|other| hop::is_twin(name.as_str(), other.as_str()))
        });
    }
}

/// Says who calls. What the client said of it has been removed.
fn introduce(exchange: &Exchange, identity: &Identity, headers: &mut HeaderMap) {
    for (name, value) in identity.fields() {
        headers.insert(name, value.clone());
    }
    let sealed = exchange.proxy().identities().sealed(identity, &exchange.request_id);
    if let Some(sealed) = sealed {
        headers.insert(SIGNED_IDENTITY, sealed);
    }
}

/// What is asked of our own connection to the upstream: another protocol, trailers.
fn ask_of_the_connection(headers: &mut HeaderMap, offer: Option<&HeaderValue>, trailers: bool) {
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(offer) = offer {
        let options = if trailers { "upgrade, te" } else { "upgrade" };
        headers.insert(CONNECTION, HeaderValue::from_static(options));
        headers.insert(UPGRADE, offer.clone());
    } else if trailers {
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Lets the upstream say whether the client is to send its body. One that keeps silent about it (it
/// may not know how) gets the body all the same, while there is still time for its answer.
fn hold(request: &mut Request<RequestBody>, response_header: Option<std::time::Duration>) {
    let patience = response_header.map_or(SILENCE, |due| SILENCE.min(due / 2));
    request.body_mut().hold(patience);
}

/// The protocols that a request offers to switch to. Boxed: few requests do.
pub type Offer = Box<HeaderValue>;

/// What of the client's offer goes on. A body would have to be read to its end before the switch, and
/// HTTP/1.0 cannot switch (RFC 9110 §7.8): such an offer is left out.
fn offer(version: Version, headers: &HeaderMap, body: &RequestBody) -> Option<Offer> {
    let can_switch = version == Version::HTTP_11 && body.is_end_stream();
    if can_switch { upgrade::offer(headers).map(Box::new) } else { None }
}

/// Says how the body is framed. Methods that have none as a rule say nothing of an empty one (RFC 9110 §8.6).
fn frame(headers: &mut HeaderMap, method: &Method, body: &RequestBody) {
    match body.size_hint().exact() {
        Some(0) if !matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {}
        Some(length) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        None => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}
