//! Reading a request body for the facts its route may take and for the schema of its operation, within
//! bounds, before forwarding.
//!
//! Only where somebody asks, and once for all who do. A body longer than `inspect.max_body` is refused
//! where validation is enforced, and else streams on unread (counted); one with a `Content-Encoding` is
//! refused with 415. Whatever was read goes on to the upstream unchanged, in front of the rest.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use super::Proxy;
use super::exchange::{Exchange, Stop};
use super::inspect::{Interest, Pieces, Reservation};
use super::patience::Patience;
use super::request_body::{Meter, is_cut, is_gone};
use crate::record::{Phase, Refusal, Step};
use crate::telemetry::metrics::{Decision, Gate};

/// A body after inspection: what was read, and what was not.
#[derive(Debug)]
pub struct Inspected {
    /// Frames already read, to be sent first.
    pub lead: VecDeque<Frame<Bytes>>,
    /// The rest.
    pub rest: Incoming,
    /// Whether the lead is the whole body, within the bounds.
    pub is_whole: bool,
    /// Memory the lead may use; given back when the request has been sent.
    pub reservation: Option<Reservation>,
}

impl Inspected {
    /// What was read.
    pub fn text(&self) -> &[u8] {
        text_of(&self.lead)
    }
}

/// Reads the body where a capture or the validation wants it, and takes the route's facts from it.
///
/// Cancel safe: a dropped call drops the client's body with it.
pub async fn read(
    proxy: &Proxy,
    exchange: &mut Exchange,
    headers: &HeaderMap,
    body: Incoming,
    meter: &Arc<Meter>,
    interest: Interest,
) -> Result<Inspected, Stop> {
    let captures = exchange.route.captures.is_some();
    let mut inspected =
        Inspected { lead: VecDeque::new(), rest: body, is_whole: false, reservation: None };
    if (!captures && interest == Interest::None) || inspected.rest.is_end_stream() {
        return Ok(inspected);
    }
    (exchange.phase, exchange.trail.reached) = (Phase::Inspect, Step::Validation);
    let is_plain = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(CONTENT_ENCODING).iter().all(is_plain) {
        if captures || interest == Interest::Whole {
            return Err(Refusal::UnsupportedMediaType.into());
        }
        leave_unjudged(exchange, interest, Refusal::UnsupportedMediaType);
        return Ok(inspected);
    }
    let max = exchange.plan.inspect.max_body;
    let declared = inspected.rest.size_hint().exact();
    if declared.is_some_and(|length| length > max as u64) {
        pass_unread(proxy, exchange, interest)?;
        return Ok(inspected);
    }
    let wanted = declared.and_then(|length| usize::try_from(length).ok()).unwrap_or(max);
    inspected.reservation = proxy.inspection().reserve(wanted);
    if inspected.reservation.is_none() {
        let is_needed = captures || interest == Interest::Whole;
        return if is_needed { Err(Refusal::Overloaded.into()) } else { Ok(inspected) };
    }

    // Boxed: most requests are not inspected and need no room for it.
    inspected.is_whole = Box::pin(gather(exchange, &mut inspected, max, meter)).await?;
    if !inspected.is_whole {
        pass_unread(proxy, exchange, interest)?;
        return Ok(inspected);
    }
    let route = Arc::clone(&exchange.route);
    if let Some(captures) = &route.captures {
        match captures.read(text_of(&inspected.lead)) {
            Ok(taken) => {
                exchange.facts.extend(taken.facts);
                exchange.unfit.extend(taken.unfit);
            }
            Err(_) => leave_unread(proxy, exchange),
        }
    }
    Ok(inspected)
}

/// A body that is longer than may be inspected: refused where it has to be, else counted.
fn pass_unread(proxy: &Proxy, exchange: &mut Exchange, interest: Interest) -> Result<(), Refusal> {
    if interest == Interest::Whole {
        return Err(Refusal::BodyTooLarge);
    }
    leave_unread(proxy, exchange);
    leave_unjudged(exchange, interest, Refusal::BodyTooLarge);
    Ok(())
}

/// Notes that the captures of the body cannot be taken.
fn leave_unread(proxy: &Proxy, exchange: &mut Exchange) {
    if let Some(captures) = &exchange.route.captures {
        exchange.unfit.extend(captures.names());
        proxy.telemetry().metrics().capture_unreadable();
    }
}

/// Notes that validation in shadow mode has not seen a body that it would refuse for that.
fn leave_unjudged(exchange: &mut Exchange, interest: Interest, refusal: Refusal) {
    if interest != Interest::Glance {
        return;
    }
    if !exchange.trail.has_shadow(Step::Validation) {
        exchange.note_gate(Gate::Validation, Decision::WouldDeny);
    }
    exchange.trail.note_shadow(Step::Validation);
    exchange.would_refuse.get_or_insert(refusal);
}

/// Reads frames until the body ends or exceeds `max`. Returns whether it ended.
async fn gather(
    exchange: &Exchange,
    inspected: &mut Inspected,
    max: usize,
    meter: &Meter,
) -> Result<bool, Stop> {
    let mut patience = Patience::new(&exchange.plan.limits);
    let (mut text, mut trailers) = (Pieces::default(), None);
    let mut is_whole = true;
    while !inspected.rest.is_end_stream() {
        let next = std::future::poll_fn(|cx| Pin::new(&mut inspected.rest).poll_frame(cx));
        let asked = Instant::now();
        let came = timeout(patience.next_pause(meter.bytes()), next).await;
        patience.spend(asked.elapsed());
        let frame = match came {
            Err(_) => return Err(Refusal::RequestBodyTimeout.into()),
            Ok(None) if is_cut(&inspected.rest, exchange.protocol() == "2") => {
                return Err(Stop::Gone);
            }
            Ok(None) => break,
            Ok(Some(Err(error))) if is_gone(&error) => return Err(Stop::Gone),
            Ok(Some(Err(_))) => return Err(Refusal::BadRequest.into()),
            Ok(Some(Ok(frame))) => frame,
        };
        match frame.into_data() {
            Ok(data) => {
                meter.add(data.len());
                text.push(data);
            }
            Err(frame) => trailers = Some(frame),
        }
        if meter.bytes() > exchange.route.max_request_body {
            return Err(Refusal::BodyTooLarge.into());
        }
        if text.len() > max {
            is_whole = false;
            break;
        }
    }
    let text = Some(text.into_bytes()).filter(|text| !text.is_empty()).map(Frame::data);
    inspected.lead.extend(text.into_iter().chain(trailers));
    Ok(is_whole)
}

fn text_of(lead: &VecDeque<Frame<Bytes>>) -> &[u8] {
    lead.front().and_then(Frame::data_ref).map_or(&[], |text| text)
}
