//! Sending one request and waiting for its response head.
//!
//! A request that a dying idle connection gave back unsent goes to another one; so does one of which
//! the upstream says that it did not process it. That is not a retry, because nothing can happen
//! twice. All else is reported as it is.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::UPGRADE;
use http::{Request, Response};
use tokio::time::Instant;

use super::http1::{Broken, Readiness};
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
                    Ok(response) => return Ok(response.map(|()| UpstreamBody::http1(lease))),
                    Err(cut) => cut,
                };
                if !(cut.is_unsent() && lease.origin == Origin::Reused) {
                    return Err(cut.into_reason());
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
                    return Err(cut.into_reason());
                }
                upstream.check_out(Instant::now()).await
            }
        }
        .map_err(NoResponse::NoConnection)?;
    }
}

/// How an attempt ended without a response head.
pub(super) enum Cut {
    /// The upstream has provably not processed the request, and it is where it was. The reason holds where
    /// it is not sent again.
    Unsent(NoResponse),
    /// The upstream may have.
    Failed(NoResponse),
}

impl Cut {
    fn is_unsent(&self) -> bool {
        matches!(self, Self::Unsent(_))
    }

    /// Why there is no response head, where the request is not sent again.
    fn into_reason(self) -> NoResponse {
        match self {
            Self::Unsent(reason) | Self::Failed(reason) => reason,
        }
    }
}

async fn attempt(
    lease: &mut Lease,
    request: &mut Option<Request<RequestBody>>,
    watch: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
) -> Result<Response<()>, Cut> {
    let Some(connection) = lease.connection() else { return Err(Cut::Unsent(NoResponse::Reset)) };
    match connection.readiness() {
        Readiness::Ready => {}
        Readiness::Closed => return Err(Cut::Unsent(NoResponse::Reset)),
        Readiness::Spoke => return Err(Cut::Unsent(NoResponse::Protocol)),
    }
    let Some(sent) = request.take() else { return Err(Cut::Failed(NoResponse::Reset)) };
    connection.ask(sent);
    let answer = poll_fn(|cx| match connection.poll_head(cx) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending => watch(cx).map(|()| None),
    });
    match answer.await {
        Some(Ok(response)) => Ok(response),
        Some(Err(broken)) => {
            tracing::debug!(error = %broken, "No answer came on this connection.");
            Err(Cut::Failed(match broken {
                Broken::Malformed(_) => NoResponse::Protocol,
                Broken::Gone(_) | Broken::Request => NoResponse::Reset,
            }))
        }
        None => Err(Cut::Failed(NoResponse::TimedOut)),
    }
}
