//! Sending one request and waiting for its response head.
//!
//! A request that a dying idle connection gave back unsent goes to another one; so does one of which
//! the upstream says that it did not process it. That is not a retry, because nothing can happen
//! twice. All else is reported as it is.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::UPGRADE;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::Instant;

use super::http2::exchange::exchange;
use super::lease::{Lease, UpstreamBody};
use super::{Line, NoConnection, Origin, Upstream};
use crate::proxy::request_body::RequestBody;

/// How often a request that the upstream provably did not process is sent again.
const MAX_RESENDS: u32 = 2;

/// Why there is no response head.
#[derive(Debug)]
pub enum NoResponse {
    /// There was no connection to send on.
    NoConnection(NoConnection),
    /// The connection ended or broke after the request may have been seen. Where it was the request
    /// body that broke, its meter says so.
    Reset,
    /// What came back is not HTTP.
    Protocol,
    /// The request cannot be said in HTTP/2: its Host is no authority.
    Unsendable,
    /// The watch ended the wait.
    TimedOut,
}

/// Sends `request`, which is taken out of its place only to be sent, and returns the response with
/// its body still to come. `watch` is polled while
/// waiting; once it is ready, the request is cut.
///
/// Cancel safe in the sense that matters: dropping the future closes the connection (HTTP/1.1) or
/// resets the stream (HTTP/2), so a half-sent request is never mistaken for a whole one.
pub async fn send(
    upstream: &Arc<Upstream>,
    now: Instant,
    request: &mut Option<Request<RequestBody>>,
    mut watch: impl FnMut(&mut Context<'_>) -> Poll<()>,
) -> Result<Response<UpstreamBody>, NoResponse> {
    let asks_alone = |request: &Request<RequestBody>| request.headers().contains_key(UPGRADE);
    let line = if upstream.can_choose() && request.as_ref().is_some_and(asks_alone) {
        Box::pin(upstream.check_out_alone()).await
    } else {
        upstream.check_out(now).await
    };
    let mut line = line.map_err(NoResponse::NoConnection)?;
    let mut resends = 0;
    // No answer lives on beside a wait for another connection: the future would keep room for both.
    loop {
        line = match line {
            Line::Http1(mut lease) => {
                let cut = match attempt(&mut lease, request, &mut watch).await {
                    Ok(response) => {
                        return Ok(response.map(|body| UpstreamBody::http1(body, lease)));
                    }
                    Err(cut) => cut,
                };
                if !(cut.is_unsent() && lease.origin == Origin::Reused) {
                    return Err(cut.into_reason(lease.is_malformed()));
                }
                upstream.renew(lease).await
            }
            Line::Http2(slot) => {
                // Boxed, so that an exchange on HTTP/1.1 keeps no room for it.
                let sent = Box::pin(exchange(slot, upstream.target(), request, &mut watch));
                let cut = match sent.await {
                    Ok(response) => return Ok(response.map(UpstreamBody::http2)),
                    Err(cut) => cut,
                };
                resends += 1;
                if !cut.is_unsent() || resends > MAX_RESENDS {
                    return Err(cut.into_reason(false));
                }
                upstream.check_out(Instant::now()).await
            }
        }
        .map_err(NoResponse::NoConnection)?;
    }
}

/// How an attempt ended without a response head.
pub(super) enum Cut {
    /// The upstream has provably not processed the request, and it is where it was.
    Unsent,
    /// The upstream may have.
    Failed(NoResponse),
}

impl Cut {
    fn is_unsent(&self) -> bool {
        matches!(self, Self::Unsent)
    }

    /// Why there is no response head, where the request is not sent again.
    fn into_reason(self, is_malformed: bool) -> NoResponse {
        match self {
            Self::Unsent | Self::Failed(NoResponse::Reset) if is_malformed => NoResponse::Protocol,
            Self::Unsent => NoResponse::Reset,
            Self::Failed(reason) => reason,
        }
    }
}

async fn attempt(
    lease: &mut Lease,
    request: &mut Option<Request<RequestBody>>,
    watch: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
) -> Result<Response<Incoming>, Cut> {
    let Some(connection) = lease.connection() else { return Err(Cut::Unsent) };
    let Some(sent) = request.take() else { return Err(Cut::Failed(NoResponse::Reset)) };
    connection.ask();
    let mut head = pin!(connection.sender.try_send_request(sent));
    let answer = poll_fn(|cx| match connection.poll_for(cx, |cx| head.as_mut().poll(cx)) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending => watch(cx).map(|()| None),
    });
    match answer.await {
        Some(Ok(response)) => Ok(response),
        Some(Err(error)) => Err(classify(error, request)),
        None => Err(Cut::Failed(NoResponse::TimedOut)),
    }
}

fn classify(
    mut failed: TrySendError<Request<RequestBody>>,
    request: &mut Option<Request<RequestBody>>,
) -> Cut {
    *request = failed.take_message();
    if request.is_some() {
        return Cut::Unsent;
    }
    let error = failed.into_error();
    let is_malformed = error.is_parse() || error.is_parse_too_large();
    Cut::Failed(if is_malformed { NoResponse::Protocol } else { NoResponse::Reset })
}
