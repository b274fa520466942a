//! One request on one stream, up to its response head.
//!
//! The head is made for HTTP/2 (RFC 9113 §8.3): the authority from Host, nothing that is about a
//! connection. The original is kept, because a request that the upstream provably did not process (its
//! stream refused, or beyond the last one that a GOAWAY names: §6.8, §8.7) is given back unsent, as long
//! as nothing of its body has been read.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use h2::{Reason, RecvStream};
use http::header::{CONTENT_LENGTH, EXPECT, HOST, TE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, Uri, Version};
use http_body::Body;

use super::connection::{has_too_many_fields, is_our_finding};
use super::pump::{Pump, Sent};
use super::{Answer, Slot};
use crate::http::answer::judge;
use crate::http::hop;
use crate::proxy::request_body::RequestBody;
use crate::proxy::upstream::send::{Cut, NoResponse};

/// What every request to one upstream has in common.
#[derive(Debug)]
pub(in super::super) struct Target {
    pub(in super::super) scheme: Scheme,
    /// For requests that name no host.
    pub(in super::super) authority: Option<Authority>,
}

/// Sends a request and waits for its head, or for `watch`.
///
/// Cancel safe: dropping the future resets the stream.
pub(in super::super) async fn exchange(
    mut slot: Box<Slot>,
    target: &Target,
    place: &mut Option<Request<RequestBody>>,
    watch: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
) -> Result<Response<Answer>, Cut> {
    let Some(request) = place.take() else { return Err(Cut::Failed(NoResponse::Reset)) };
    let (head, mut body) = request.into_parts();
    body.release();
    let Some(translated) = translate(&head, target) else {
        return Err(Cut::Failed(NoResponse::Unsendable));
    };
    let is_whole = body.is_end_stream();
    let Ok((mut response, stream)) = slot.sender.send_request(translated, is_whole) else {
        // Nothing was written: the connection went away, or is about to.
        return Err(unsent(place, head, body));
    };
    let (mut pump, mut whole) =
        if is_whole { (None, Some(body)) } else { (Some(Pump::new(body, stream)), None) };
    let mut is_broken = false;
    let answer = poll_fn(|cx| {
        if let Some(running) = &mut pump
            && let Poll::Ready(sent) = Pin::new(running).poll(cx)
        {
            if sent == Sent::Broken {
                is_broken = true;
                return Poll::Ready(None);
            }
            if sent == Sent::Whole {
                pump = None;
            }
        }
        if let Poll::Ready(answer) = pin!(&mut response).poll(cx) {
            return Poll::Ready(Some(answer));
        }
        watch(cx).map(|()| None)
    });
    match answer.await {
        Some(Ok(response)) => accept(response, pump, slot),
        Some(Err(error)) if is_unprocessed(&error) => {
            let untouched = whole.take().or_else(|| pump.and_then(Pump::into_untouched));
            Err(untouched.map_or(Cut::Failed(NoResponse::Reset), |body| unsent(place, head, body)))
        }
        Some(Err(error)) if is_our_finding(&error) => Err(Cut::Failed(NoResponse::Protocol)),
        Some(Err(_)) => Err(Cut::Failed(NoResponse::Reset)),
        None if is_broken => Err(Cut::Failed(NoResponse::Reset)),
        None => {
            slot.doubt.notify_one();
            Err(Cut::Failed(NoResponse::TimedOut))
        }
    }
}

fn accept(
    response: Response<RecvStream>,
    pump: Option<Pump>,
    slot: Box<Slot>,
) -> Result<Response<Answer>, Cut> {
    let (head, stream) = response.into_parts();
    // There is no switching of protocols in HTTP/2 (RFC 9113 §8.6).
    if head.status == StatusCode::SWITCHING_PROTOCOLS || has_too_many_fields(&head.headers) {
        return Err(Cut::Failed(NoResponse::Protocol));
    }
    if let Err(what) = judge(head.version, head.status, &head.headers) {
        tracing::debug!(error = %what, "The upstream's answer is malformed.");
        return Err(Cut::Failed(NoResponse::Protocol));
    }
    let length = announced(&head.headers);
    Ok(Response::from_parts(head, Answer::new(stream, length, pump, slot)))
}

fn unsent(place: &mut Option<Request<RequestBody>>, head: Parts, body: RequestBody) -> Cut {
    *place = Some(Request::from_parts(head, body));
    Cut::Unsent(NoResponse::Reset)
}

/// Whether the upstream says that it did nothing about the request. A remote GOAWAY reaches a stream
/// only where the stream is beyond the last one it names.
fn is_unprocessed(error: &h2::Error) -> bool {
    let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    error.is_remote() && (error.is_go_away() || is_refused)
}

/// The length that a head announces. h2 has refused a malformed one, and sees to it that it is kept.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Besides what is about the connection: interim answers are not waited for on HTTP/2, so the upstream
/// is not asked for one.
fn ends_here(name: &HeaderName) -> bool {
    *name == EXPECT || (*name != TE && hop::is_hop_by_hop(name))
}

/// The head as HTTP/2 wants it. `None` where Host is no authority.
fn translate(head: &Parts, target: &Target) -> Option<Request<()>> {
    let mut headers = head.headers.clone();
    let authority = match headers.remove(HOST) {
        Some(host) if !host.is_empty() => Authority::try_from(host.as_bytes()).ok()?,
        _ => target.authority.clone()?,
    };
    let about_the_connection: Vec<_> =
        headers.keys().filter(|name| ends_here(name)).cloned().collect();
    for name in about_the_connection {
        headers.remove(name);
    }
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(target.scheme.clone());
    parts.authority = Some(authority);
    let path = head.uri.path_and_query().cloned();
    parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));

    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = headers;
    Some(request)
}
