//! Sending one request and waiting for its response head.
//!
//! A request that a dying idle connection gave back unsent goes to another one; so does one of which
//! the upstream says that it did not process it. That is not a retry, because nothing can happen
//! twice. All else is reported as it is.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

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

/// Sends `request` and returns the response with its body still to come. `watch` is polled while
/// waiting; once it is ready, the request is cut.
///
/// Cancel safe in the sense that matters: dropping the future closes the connection (HTTP/1.1) or
/// resets the stream (HTTP/2), so a half-sent request is never mistaken for a whole one.
pub async fn send(
    upstream: &Arc<Upstream>,
    mut request: Request<RequestBody>,
    mut watch: impl FnMut(&mut Context<'_>) -> Poll<()>,
) -> Result<Response<UpstreamBody>, NoResponse> {
    let mut line = upstream.check_out().await.map_err(NoResponse::NoConnection)?;
    let mut resends = 0;
    loop {
        let cut = match line {
            Line::Http1(mut lease) => match attempt(&mut lease, request, &mut watch).await {
                Ok(response) => return Ok(response.map(|body| UpstreamBody::http1(body, lease))),
                Err(Cut::Unsent(unsent)) if lease.origin == Origin::Reused => {
                    request = *unsent;
                    line = upstream.renew(lease).await.map_err(NoResponse::NoConnection)?;
                    continue;
                }
                Err(cut) => cut,
            },
            // Boxed, so that an exchange on HTTP/1.1 keeps no room for it.
            Line::Http2(slot) => {
                let sent = exchange(slot, upstream.target(), request, &mut watch);
                match Box::pin(sent).await {
                    Ok(response) => return Ok(response.map(UpstreamBody::http2)),
                    Err(Cut::Unsent(unsent)) if resends < MAX_RESENDS => {
                        resends += 1;
                        request = *unsent;
                        line = upstream.check_out().await.map_err(NoResponse::NoConnection)?;
                        continue;
                    }
                    Err(cut) => cut,
                }
            }
        };
        return Err(match cut {
            Cut::Unsent(_) => NoResponse::Reset,
            Cut::Failed(reason) => reason,
        });
    }
}

/// How an attempt ended without a response head.
pub(super) enum Cut {
    /// The upstream has provably not processed the request: here it is again.
    Unsent(Box<Request<RequestBody>>),
    /// The upstream may have.
    Failed(NoResponse),
}

async fn attempt(
    lease: &mut Lease,
    request: Request<RequestBody>,
    watch: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
) -> Result<Response<Incoming>, Cut> {
    let Some(connection) = lease.connection() else {
        return Err(Cut::Unsent(Box::new(request)));
    };
    let mut head = pin!(connection.sender.try_send_request(request));
    let answer = poll_fn(|cx| {
        // The driver owns this task's waker; the head resolves only through driving.
        let is_open = connection.drive(cx);
        let quiet = &mut Context::from_waker(Waker::noop());
        if let Poll::Ready(answer) = head.as_mut().poll(if is_open { quiet } else { cx }) {
            return Poll::Ready(Some(answer));
        }
        watch(cx).map(|()| None)
    });
    match answer.await {
        // Nobody asked it to switch: `Upgrade` is never passed on.
        Some(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            Err(Cut::Failed(NoResponse::Protocol))
        }
        Some(Ok(response)) => Ok(response),
        Some(Err(error)) => Err(classify(error)),
        None => Err(Cut::Failed(NoResponse::TimedOut)),
    }
}

fn classify(mut failed: TrySendError<Request<RequestBody>>) -> Cut {
    if let Some(unsent) = failed.take_message() {
        return Cut::Unsent(Box::new(unsent));
    }
    let error = failed.into_error();
    let is_malformed = error.is_parse() || error.is_parse_too_large();
    Cut::Failed(if is_malformed { NoResponse::Protocol } else { NoResponse::Reset })
}
