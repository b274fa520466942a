//! Sending one request and waiting for its response head.
//!
//! A request that a dying idle connection gave back unsent goes to another one; that is not a retry,
//! because the upstream has seen nothing. All else is reported as it is.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::Instant;

use super::lease::{Lease, UpstreamBody};
use super::{NoConnection, Origin, Upstream};
use crate::proxy::request_body::RequestBody;

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
    /// The watch ended the wait.
    TimedOut,
}

/// Sends `request`, which is taken out of its place only to be sent, and returns the response with its body still to come. `watch` is polled while
/// waiting, and told when the connection was had; once it is ready, the request is cut.
///
/// Cancel safe in the sense that matters: dropping the future closes the connection, so a half-sent
/// request is never mistaken for a whole one.
pub async fn send(
    upstream: &Arc<Upstream>,
    now: Instant,
    request: &mut Option<Request<RequestBody>>,
    mut watch: impl FnMut(Instant, &mut Context<'_>) -> Poll<()>,
) -> Result<Response<UpstreamBody>, NoResponse> {
    let mut lease = upstream.check_out(now).await.map_err(NoResponse::NoConnection)?;
    loop {
        match attempt(&mut lease, request, &mut watch).await {
            Ok(response) => return Ok(response.map(|body| UpstreamBody::new(body, lease))),
            Err(Cut::Unsent) if lease.origin == Origin::Reused => {
                lease = upstream.renew(lease).await.map_err(NoResponse::NoConnection)?;
            }
            Err(Cut::Unsent) => return Err(NoResponse::Reset),
            Err(Cut::Failed(reason)) => return Err(reason),
        }
    }
}

enum Cut {
    /// The request is where it was.
    Unsent,
    Failed(NoResponse),
}

async fn attempt(
    lease: &mut Lease,
    request: &mut Option<Request<RequestBody>>,
    watch: &mut impl FnMut(Instant, &mut Context<'_>) -> Poll<()>,
) -> Result<Response<Incoming>, Cut> {
    let since = lease.since;
    let Some(connection) = lease.connection() else { return Err(Cut::Unsent) };
    let Some(sent) = request.take() else { return Err(Cut::Failed(NoResponse::Reset)) };
    let mut head = pin!(connection.sender.try_send_request(sent));
    let answer = poll_fn(|cx| {
        // The driver owns this task's waker; the head resolves only through driving.
        let is_open = connection.drive(cx);
        let quiet = &mut Context::from_waker(Waker::noop());
        if let Poll::Ready(answer) = head.as_mut().poll(if is_open { quiet } else { cx }) {
            return Poll::Ready(Some(answer));
        }
        watch(since, cx).map(|()| None)
    });
    match answer.await {
        // Nobody asked it to switch: `Upgrade` is never passed on.
        Some(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            Err(Cut::Failed(NoResponse::Protocol))
        }
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
