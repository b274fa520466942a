//! The life of a request, as a straight line.
//!
//! [`handle`] cannot fail: whatever `walk` meets, one answer leaves, and with it, once its last
//! byte is gone, one record. A panic in a stage is an outcome like any other.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;

use super::exchange::{Exchange, Stop};
use super::peer::Peer;
use super::reply::ReplyBody;
use super::request_body::{Meter, RequestBody};
use super::upstream::lease::UpstreamBody;
use super::{Proxy, answer, classify, door, forward, inspect_body, overload, screen, seat, target};

/// Answers one request. The exchange begins with the call, not with the first poll: hyper drops the
/// future unpolled where the client's end of file comes in the same read as its head.
///
/// Cancel safe: hyper drops the future when the client leaves, and the exchange in it then says so.
pub fn handle<H: Borrow<Arc<Proxy>> + Send, P: Borrow<Peer> + Send>(
    proxy: H,
    peer: P,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<ReplyBody>, Infallible>> + Send + use<H, P> {
    let plan = proxy.borrow().plan(); // One load: one request, one plan, even if a reload lands now.
    let (head, body) = request.into_parts();
    let has_body = !body.is_end_stream();
    let mut exchange = Exchange::begin(proxy.borrow(), plan, peer.borrow(), &head, has_body);
    let asked = answer::Asked::of(&head);
    async move {
        let (proxy, peer) = (proxy.borrow(), peer.borrow());
        let outcome = contain(pin!(walk(proxy, peer, &mut exchange, head, body))).await;
        let mut response = match outcome {
            Ok((response, shape)) => answer::follow(exchange, response, shape),
            Err(stop) => answer::refuse(exchange, stop, asked),
        };
        if proxy.is_draining() {
            answer::part(&mut response, asked);
        }
        Ok(response)
    }
}

/// Every stage in order; `?` is the only way out.
async fn walk(
    proxy: &Arc<Proxy>,
    peer: &Peer,
    exchange: &mut Exchange,
    head: http::request::Parts,
    body: Incoming,
) -> Result<(Response<UpstreamBody>, classify::Shape), Stop> {
    let plan = Arc::clone(&exchange.plan);
    let target = target::canonical(&plan, &head)?;
    let route = plan.find(&head.method, target.path());
    exchange.enter(route, target.path());
    overload::enter(proxy, exchange).await?;
    let verdict = door::admit(exchange, &head.headers)?;
    screen::judge(exchange, &body)?;

    let meter = if body.is_end_stream() { &peer.no_body } else { &Arc::<Meter>::default() };
    exchange.measure(meter);
    let inspected = inspect_body::read(proxy, exchange, &head.headers, body, meter).await?;
    seat::initiate(proxy, exchange).await?;

    let method = head.method.clone();
    let body = RequestBody::new(inspected.lead, inspected.rest, meter, route.max_request_body);
    let request = forward::prepare(exchange, peer, head, target, body);
    let mut response = forward::forward(exchange, proxy.upstream(), meter, request).await?;
    let shape = classify::head(exchange, &method, response.status(), response.headers());
    if exchange.stream.is_some() {
        overload::swap(proxy, exchange);
    }
    answer::dress(exchange, &verdict, response.headers_mut());
    Ok((response, shape))
}

/// Runs a walk and turns a panic into a stop. The exchange lives outside, so it can still answer. The
/// walk stays where it is pinned: handed over, it would be there twice in every connection's memory.
pub async fn contain<T>(
    mut walk: Pin<&mut impl Future<Output = Result<T, Stop>>>,
) -> Result<T, Stop> {
    poll_fn(|cx| {
        // After a panic the walk is never polled again, so what it left half done is never seen.
        catch_unwind(AssertUnwindSafe(|| walk.as_mut().poll(cx)))
            .unwrap_or(Poll::Ready(Err(Stop::Panicked)))
    })
    .await
}
