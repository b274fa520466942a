//! Forwarding: the prepared request is sent, and the head of its answer awaited.
//!
//! Each pause on the way has a clock: the client's while it sends its body, the upstream's while it reads
//! and until it answers. What comes back is judged before anybody reads it: a head that two readers could
//! understand in different ways is no answer.
//!
//! It does not choose whether to forward. How the request is made anew is in `request`.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use tokio::time::Instant;

use super::exchange::{Exchange, Stop};
use super::patience::Patience;
use super::request_body::{Meter, RequestBody, State};
use super::upstream::lease::{Accepted, UpstreamBody};
use super::upstream::send::{self, NoResponse};
use super::upstream::{NoConnection, Upstream};
use crate::http::upgrade;
use crate::record::{Failure, Refusal};

mod request;

pub use request::{Offer, prepare};

/// Sends the request and waits for the response head.
pub async fn send(
    exchange: &mut Exchange,
    upstream: &Arc<Upstream>,
    meter: &Meter,
    request: &mut Option<Request<RequestBody>>,
    offer: Option<Offer>,
) -> Result<Response<UpstreamBody>, Stop> {
    let now = Instant::now();
    exchange.depart(now);
    let mut wait = Wait::new(exchange, meter);
    let answer = send::send(upstream, now, request, |cx| wait.poll(exchange, meter, cx)).await;
    let answer = answer.and_then(|response| match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => switched(response, offer),
        _ => Ok(response),
    });
    if let Err(NoResponse::NoConnection(NoConnection::Unreachable | NoConnection::Tls)) = &answer {
        upstream.breaker().fail();
    }
    exchange.arrive(answer.as_ref().ok().map(|response| response.status().as_u16()));
    answer.map_err(|reason| stop(&reason, meter.state(), wait.is_over()))
}

/// Takes note of what a 101 switches to. One that was not asked for, or that switches to something
/// else, is no answer.
fn switched(
    mut response: Response<UpstreamBody>,
    offer: Option<Offer>,
) -> Result<Response<UpstreamBody>, NoResponse> {
    let accepted = offer.and_then(|offer| upgrade::accepted(&offer, response.headers()));
    response.extensions_mut().insert(Accepted(accepted.ok_or(NoResponse::Protocol)?));
    Ok(response)
}

/// The clocks of the wait for a response head. The response clock starts when the request has been
/// sent; until then each pause of the client, and each pause of the upstream's reading, is bounded.
struct Wait {
    response_header: Option<Duration>,
    patience: Patience,
    end_by: Option<Instant>,
    seen: (State, u64),
    since: Option<Instant>,
}

impl Wait {
    fn new(exchange: &Exchange, meter: &Meter) -> Self {
        Self {
            response_header: exchange.route.response_header,
            patience: Patience::new(&exchange.plan.limits),
            end_by: exchange.plan.timeouts.request.map(|max| exchange.began() + max),
            seen: (meter.state(), meter.bytes()),
            since: None,
        }
    }

    fn poll(&mut self, exchange: &Exchange, meter: &Meter, cx: &mut Context<'_>) -> Poll<()> {
        let now_seen = (meter.state(), meter.bytes());
        if self.seen != now_seen {
            let now = Instant::now();
            if let (State::Waiting, Some(since)) = (self.seen.0, self.since) {
                self.patience.spend(now - since);
            }
            self.seen = now_seen;
            self.since = Some(now);
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        let patience = match self.seen.0 {
            State::Waiting => Some(self.patience.next_pause(self.seen.1)),
            _ => self.response_header,
        };
        let due = patience.map(|patience| since + patience);
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
