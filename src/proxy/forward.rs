//! The upstream request: rebuilt from validated parts, sent, and its head awaited.
//!
//! Method, target and framing are made anew: the canonical target, and the length of the body itself.
//! Of the client's fields those pass that nothing holds back: hop-by-hop fields (RFC 9110 §7.6.1),
//! identity claims and untrusted forwarding fields stay behind. `traceparent`, the request id and
//! `X-Forwarded-*` are ours.
//!
//! It does not choose whether to forward.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{Method, Request, Response, Uri, Version};
use http_body::Body;
use tokio::time::Instant;

use super::claims::Claimed;
use super::exchange::{Exchange, Stop};
use super::peer::Peer;
use super::request_body::{Meter, RequestBody, State};
use super::target::{self, Target};
use super::trace;
use super::upstream::lease::UpstreamBody;
use super::upstream::send::{NoResponse, send};
use super::upstream::{NoConnection, Upstream};
use crate::http::{forwarded, hop, http2};
use crate::record::{Failure, Refusal};

/// Builds the request that the upstream sees.
pub fn prepare(
    exchange: &Exchange,
    peer: &Peer,
    head: Parts,
    target: Target,
    body: RequestBody,
) -> Request<RequestBody> {
    let plan = &exchange.plan;
    let is_trusted = plan.trusts(peer.ip);
    let named_host = target::host(&head.uri);
    let client_host = named_host.clone().or_else(|| head.headers.get(HOST).cloned());

    let mut headers = head.headers;
    let ending = ending(&headers, is_trusted, &plan.request_id_header);
    exchange.proxy().claims().note(Claimed::among(&ending, is_trusted), &peer.ip);
    let asks_for_trailers = ending.contains(&TE) && accepts_trailers(&headers);
    for name in ending {
        headers.remove(name);
    }
    let host = plan.rewritten_host.clone().or(named_host);
    if host.is_some() || client_host.is_none() {
        headers.insert(HOST, host.unwrap_or_else(|| plan.authority.clone()));
    }
    if asks_for_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if head.version == Version::HTTP_2 {
        http2::join_cookies(&mut headers);
    }
    frame(&mut headers, &head.method, &body);
    let last_hop = forwarded::Hop {
        peer: peer.address.as_ref(),
        is_trusted,
        scheme: peer.scheme,
        host: client_host,
    };
    forwarded::append(&mut headers, last_hop);
    trace::propagate(&exchange.trace, &mut headers);
    headers.insert(&plan.request_id_header, exchange.request_id.clone());

    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = Uri::from(target.origin_form);
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    request
}

/// Sends the request and waits for the response head.
pub async fn forward(
    exchange: &mut Exchange,
    upstream: &Arc<Upstream>,
    meter: &Meter,
    request: Request<RequestBody>,
) -> Result<Response<UpstreamBody>, Stop> {
    exchange.depart();
    let mut wait = Wait::new(exchange, meter);
    let answer = send(upstream, request, |cx| wait.poll(exchange, meter, cx)).await;
    let answer = answer.and_then(|response| {
        if is_plainly_coded(response.headers()) { Ok(response) } else { Err(NoResponse::Protocol) }
    });
    exchange.arrive(answer.as_ref().ok().map(|response| response.status().as_u16()));
    answer.map_err(|reason| stop(&reason, meter.state(), wait.is_over()))
}

/// Whether an answer has no transfer coding but `chunked`, which alone can be taken off here.
fn is_plainly_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

/// The clocks of the wait for a response head. The response clock starts when the request has been
/// sent; until then each pause of the client, and each pause of the upstream's reading, is bounded.
struct Wait {
    response_header: Option<std::time::Duration>,
    body_idle: std::time::Duration,
    end_by: Option<Instant>,
    seen: (State, u64),
    since: Option<Instant>,
}

impl Wait {
    fn new(exchange: &Exchange, meter: &Meter) -> Self {
        Self {
            response_header: exchange.route.response_header,
            body_idle: exchange.plan.limits.body_idle_timeout,
            end_by: exchange.plan.timeouts.request.map(|max| exchange.began() + max),
            seen: (meter.state(), meter.bytes()),
            since: None,
        }
    }

    fn poll(&mut self, exchange: &Exchange, meter: &Meter, cx: &mut Context<'_>) -> Poll<()> {
        let now_seen = (meter.state(), meter.bytes());
        if self.since.is_none() || self.seen != now_seen {
            self.seen = now_seen;
            self.since = Some(Instant::now());
        }
        let patience = match self.seen.0 {
            State::Waiting => Some(self.body_idle),
            _ => self.response_header,
        };
        let due = self.since.zip(patience).map(|(since, patience)| since + patience);
        exchange.link().poll_due([due, self.end_by].into_iter().flatten().min(), cx)
    }

    /// Whether the exchange as a whole ran out of time.
    fn is_over(&self) -> bool {
        self.end_by.is_some_and(|end| Instant::now() >= end)
    }
}

/// What the absence of a response means. A request body that broke explains everything after it.
fn stop(reason: &NoResponse, body: State, is_over: bool) -> Stop {
    match (body, reason) {
        (State::TooLarge, _) => Refusal::BodyTooLarge.into(),
        (State::Malformed, _) => Refusal::BadRequest.into(),
        (State::Gone, _) => Stop::Gone,
        (_, NoResponse::TimedOut) if is_over => Failure::RequestTimeout.into(),
        (State::Waiting, NoResponse::TimedOut) => Refusal::RequestBodyTimeout.into(),
        (_, NoResponse::TimedOut) => Failure::ResponseHeaderTimeout.into(),
        (_, NoResponse::NoConnection(NoConnection::Busy)) => Refusal::Overloaded.into(),
        (_, NoResponse::NoConnection(NoConnection::Unreachable)) => Failure::UpstreamConnect.into(),
        (_, NoResponse::NoConnection(NoConnection::Tls)) => Failure::UpstreamTls.into(),
        (_, NoResponse::NoConnection(NoConnection::WrongProtocol)) => {
            Failure::UpstreamProtocol.into()
        }
        (_, NoResponse::Unsendable) => Refusal::BadRequest.into(),
        (_, NoResponse::Reset) => Failure::UpstreamReset.into(),
        (_, NoResponse::Protocol) => Failure::UpstreamProtocol.into(),
    }
}

/// The fields that end here, each once, found in one sweep. The map itself goes on to the upstream:
/// hyper hands the same few maps round and round, so in the usual case, where nothing ends here,
/// neither the map nor a list of names is allocated.
fn ending(headers: &HeaderMap, is_trusted: bool, request_id: &HeaderName) -> Vec<HeaderName> {
    let ends_here = |name: &&HeaderName| {
        let name = *name;
        let ends_by_name = || {
            hop::is_hop_by_hop(name)
                || matches!(*name, EXPECT | CONTENT_LENGTH)
                || matches!(name.as_str(), "traceparent" | "tracestate")
                || hop::is_identity(name)
                || (!is_trusted && forwarded::is_forwarding(name))
        };
        name == request_id || (!hop::is_usual(name) && ends_by_name())
    };
    let mut ending: Vec<HeaderName> = headers.keys().filter(ends_here).cloned().collect();
    // Only `Connection` can list more, and it ends here itself.
    if ending.contains(&CONNECTION) {
        for name in hop::listed(headers) {
            if !ending.contains(&name) {
                ending.push(name);
            }
        }
    }
    ending
}

/// Says how the body is framed where hyper would guess otherwise: its client assumes that GET, HEAD
/// and the like have none.
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

fn accepts_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(TE).iter().any(|value| {
        value
            .as_bytes()
            .split(|b| *b == b',')
            .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}
