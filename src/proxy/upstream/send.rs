//! Sending one request and waiting for its response head.
//!
//! A request that a dying idle connection gave back unsent goes to another one; that is not a retry,
//! because the upstream has seen nothing. All else is reported as it is.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

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

/// Sends `request` and returns the response with its body still to come. `watch` is polled while
/// waiting; once it is ready, the request is cut.
///
/// Cancel safe in the sense that matters: dropping the future closes the connection, so a half-sent
/// request is never mistaken for a whole one.
pub async fn send(
    upstream: &Arc<Upstream>,
    mut request: Request<RequestBody>,
    mut watch: impl FnMut(&mut Context<'_>) -> Poll<()>,
) -> Result<Response<UpstreamBody>, NoResponse> {
    let mut lease = upstream.check_out().await.map_err(NoResponse::NoConnection)?;
    loop {
        match attempt(&mut lease, request, &mut watch).await {
            Ok(response) => return Ok(response.map(|body| UpstreamBody::new(body, lease))),
            Err(Cut::Unsent(unsent)) if lease.origin == Origin::Reused => {
                request = *unsent;
                lease = upstream.renew(lease).await.map_err(NoResponse::NoConnection)?;
            }
            Err(Cut::Unsent(_)) => return Err(NoResponse::Reset),
            Err(Cut::Failed(reason)) => return Err(reason),
        }
    }
}

enum Cut {
    Unsent(Box<Request<RequestBody>>),
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
