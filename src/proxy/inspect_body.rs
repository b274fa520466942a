//! Reading a request body for the facts its route may take, within bounds, before forwarding.
//!
//! Only where the route asks. A body longer than `inspect.max_body` streams on unread (counted), one
//! with a `Content-Encoding` is refused with 415. Whatever was read goes on to the upstream
//! unchanged, in front of the rest.

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
use super::inspect::{Pieces, Reservation};
use super::patience::Patience;
use super::request_body::{Meter, is_gone};
use crate::record::{Phase, Refusal};

/// A body after inspection: what was read, and what was not.
#[derive(Debug)]
pub struct Inspected {
    /// Frames already read, to be sent first.
    pub lead: VecDeque<Frame<Bytes>>,
    /// The rest.
    pub rest: Incoming,
    /// Memory the lead may use; given back when the request has been sent.
    pub reservation: Option<Reservation>,
}

/// Takes the route's facts from the body.
///
/// Cancel safe: a dropped call drops the client's body with it.
pub async fn read(
    proxy: &Proxy,
    exchange: &mut Exchange,
    headers: &HeaderMap,
    body: Incoming,
    meter: &Arc<Meter>,
) -> Result<Inspected, Stop> {
    let route = Arc::clone(&exchange.route);
    let Some(captures) = route.captures.as_ref().filter(|_| !body.is_end_stream()) else {
        return Ok(Inspected { lead: VecDeque::new(), rest: body, reservation: None });
    };
    exchange.phase = Phase::Inspect;
    let is_plain = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get(CONTENT_ENCODING).is_some_and(|value| !is_plain(value)) {
        return Err(Refusal::UnsupportedMediaType.into());
    }
    let max = exchange.plan.inspect.max_body;
    let declared = body.size_hint().exact();
    if declared.is_some_and(|length| length > max as u64) {
        proxy.telemetry().metrics().capture_unreadable();
        return Ok(Inspected { lead: VecDeque::new(), rest: body, reservation: None });
    }
    let wanted = declared.and_then(|length| usize::try_from(length).ok()).unwrap_or(max);
    let reservation = proxy.inspection().reserve(wanted).ok_or(Refusal::Overloaded)?;

    let mut inspected =
        Inspected { lead: VecDeque::new(), rest: body, reservation: Some(reservation) };
    // Boxed: most requests are not inspected and need no room for it.
    let is_whole = Box::pin(gather(exchange, &mut inspected, max, meter)).await?;
    match is_whole.then(|| captures.read(text_of(&inspected.lead))) {
        Some(Ok(facts)) => exchange.facts.extend(facts),
        Some(Err(_)) | None => proxy.telemetry().metrics().capture_unreadable(),
    }
    Ok(inspected)
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
