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
use super::identity::Sender;
use super::inspect::Interest;
use super::limits::{Stage, Verdict};
use super::peer::Peer;
use super::reply::ReplyBody;
use super::request_body::{Meter, RequestBody};
use super::survey::Survey;
use super::upstream::lease::UpstreamBody;
use super::{
    Proxy, admission, answer, classify, csrf, forward, identify, inspect_body, last_hop,
    operations, overload, preflight, screen, seat, target, upgrade, validation,
};
use crate::http::method;
use crate::record::{Failure, Refusal};

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
    let (mut head, body) = request.into_parts();
    let mut survey = Survey::of(&head.headers, &plan, peer.borrow());
    let has_body = !body.is_end_stream();
    let (house, client) = (proxy.borrow(), peer.borrow());
    let mut exchange = Exchange::begin(house, plan, client, &head, &mut survey, has_body);
    let asked = answer::Asked::of(&head, &survey);
    async move {
        let (proxy, peer) = (proxy.borrow(), peer.borrow());
        // By reference: what a future is handed by value it keeps twice.
        let walk = walk(proxy, peer, &mut exchange, &mut head, &mut survey, body);
        let outcome = contain(pin!(walk)).await;
        let mut response = match outcome {
            Ok(None) => answer::arrive(exchange),
            Ok(Some((response, _))) if upgrade::is_switch(&response) => {
                upgrade::splice(exchange, peer, response).unwrap_or_else(|exchange| {
                    answer::refuse(exchange, Failure::UpstreamProtocol.into(), asked)
                })
            }
            Ok(Some((mut response, shape))) => {
                answer::give_up_body(&exchange, asked, response.headers_mut());
                answer::follow(exchange, response, shape)
            }
            Err(stop) => answer::refuse(exchange, stop, asked),
        };
        if proxy.is_draining() {
            answer::part(&mut response, asked);
        }
        Ok(response)
    }
}

/// Every stage in order; `?` is the only way out. `None` where the request was meant for us.
async fn walk(
    proxy: &Arc<Proxy>,
    peer: &Peer,
    exchange: &mut Exchange,
    head: &mut http::request::Parts,
    survey: &mut Survey,
    body: Incoming,
) -> Result<Option<(Response<UpstreamBody>, classify::Shape)>, Stop> {
    let target = find(exchange, head)?;
    overload::enter(proxy, exchange).await?;
    let is_preflight = preflight::is_preflight(head, survey, !body.is_end_stream());
    exchange.trail.is_preflight = is_preflight;
    let verdict = &mut Verdict::default();
    if !is_preflight {
        admission::admit(Stage::Door, exchange, &head.headers, verdict).await?;
    }
    screen::judge(exchange, &head.method, &target, &body, is_preflight)?;
    csrf::judge(exchange, head, survey)?;
    if last_hop::is_here(head)? {
        return Ok(None);
    }
    if !is_preflight {
        let path = target.path();
        know_caller(proxy, peer, exchange, head, survey.is_trusted, path, verdict).await?;
    }
    exchange.announce();

    let meter = if body.is_end_stream() { &peer.no_body } else { &Arc::<Meter>::default() };
    exchange.measure(meter);
    let interest = if is_preflight {
        Interest::None
    } else {
        validation::judge_head(exchange, head, target.path(), !body.is_end_stream())?
    };
    let identities = proxy.identities();
    let names_tenant = identify::concerns_body(identities, exchange, &head.headers);
    let reading = if names_tenant { Interest::Whole } else { interest };
    let inspected =
        inspect_body::read(proxy, exchange, &head.headers, body, meter, reading).await?;
    if names_tenant && inspected.is_whole {
        let (path, text) = (target.path(), inspected.text());
        identify::judge_body(identities, exchange, &head.headers, path, text)?;
    }
    if interest != Interest::None && inspected.is_whole {
        validation::judge_body(exchange, head, &inspected.lead)?;
    }
    if !is_preflight {
        admission::admit(Stage::Body, exchange, &head.headers, verdict).await?;
    }
    let probe = proxy.upstream().breaker().admit()?; // Held until the head is here.
    seat::initiate(proxy, exchange).await?;

    let is_http2 = exchange.protocol() == "2";
    let max = exchange.route.max_request_body;
    let body = RequestBody::new(inspected.lead, inspected.rest, is_http2, meter, max);
    let (request, offer) = forward::prepare(exchange, peer, head, survey, target, body);
    let (mut request, upstream) = (Some(request), proxy.upstream());
    let mut response = forward::send(exchange, upstream, meter, &mut request, offer).await?;
    if let Some(probe) = probe {
        probe.succeed();
    }
    let shape = classify::head(exchange, &head.method, response.status(), response.headers());
    if exchange.stream.is_some() {
        overload::swap(proxy, exchange);
    }
    answer::dress(exchange, verdict, response.headers_mut());
    Ok(Some((response, shape)))
}

/// Who calls, how much its tenant holds already, and how often it may call.
async fn know_caller(
    proxy: &Proxy,
    peer: &Peer,
    exchange: &mut Exchange,
    head: &mut http::request::Parts,
    is_trusted: bool,
    path: &str,
    verdict: &mut Verdict,
) -> Result<(), Stop> {
    let identities = proxy.identities();
    if identities.are_asked_for(exchange.route.gates.identity) {
        let sender = Sender { is_trusted, certified: peer.certified.as_deref() };
        identify::identify(identities, exchange, head, sender, path).await?;
    }
    overload::share(proxy, exchange)?;
    admission::admit(Stage::Known, exchange, &head.headers, verdict).await
}

/// The one path of the request, and with it its policy and its operation.
fn find(exchange: &mut Exchange, head: &http::request::Parts) -> Result<target::Target, Stop> {
    let plan = Arc::clone(&exchange.plan);
    let target = target::canonical(&plan, head);
    let target = target.map_err(|broken| note(exchange, broken))?;
    let method = method::in_capitals(&head.method);
    let known = operations::find(&plan, method, target.path());
    let route = known.policy(plan.find(method, target.path()));
    exchange.enter(route, target.path());
    exchange.operation = known.operation().cloned();
    target.judge(&plan, method).map_err(|broken| note(exchange, broken))?;
    Ok(target)
}

/// Keeps the rule that a head broke, for who asks about it later.
fn note(exchange: &mut Exchange, broken: target::Broken) -> Refusal {
    exchange.trail.broken = Some(("head", broken.rule));
    broken.refusal
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
