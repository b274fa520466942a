//! A checked-out connection and the response body that travels on it.
//!
//! Whoever holds the [`Lease`] polls the connection; nothing is spawned. Dropping a lease before its
//! exchange is complete closes the connection, which is how a leaving client cancels its upstream
//! request.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderValue;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::http1::{Broken, Connection, Readiness};
use super::stream::Stream;
use super::{Origin, Upstream, http2};
use crate::telemetry::metrics::ActiveGuard;

/// A connection in use. Holds its place in the pool until it is dropped or given back.
#[derive(Debug)]
pub struct Lease {
    connection: Option<Box<Connection>>,
    pool: Arc<Upstream>,
    place: OwnedSemaphorePermit,
    _counted: ActiveGuard,
    /// Where the connection came from.
    pub origin: Origin,
}

impl Lease {
    pub(super) fn new(
        connection: Box<Connection>,
        pool: &Arc<Upstream>,
        place: OwnedSemaphorePermit,
        origin: Origin,
    ) -> Self {
        let counted = pool.metrics.upstream_in_use();
        Self {
            connection: Some(connection),
            pool: Arc::clone(pool),
            place,
            _counted: counted,
            origin,
        }
    }

    pub(super) fn connection(&mut self) -> Option<&mut Connection> {
        self.connection.as_deref_mut()
    }

    /// Closes the connection and hands its place on.
    pub(super) fn into_place(self) -> OwnedSemaphorePermit {
        self.place
    }

    /// Gives the connection back, if it can take another request. One with an unread answer or an
    /// unsent request is closed instead: it must never carry anything else.
    pub fn give_back(mut self, now: Instant) {
        if let Some(mut connection) = self.connection.take()
            && connection.readiness() == Readiness::Ready
        {
            self.pool.push_idle(connection, now);
        }
    }
}

/// What a 101 switches to: an extension of its response.
#[derive(Clone, Debug)]
pub struct Accepted(pub HeaderValue);

/// The upstream's end of a tunnel. Holds its place in the pool until it is dropped.
#[derive(Debug)]
pub struct Switched {
    /// The socket.
    pub io: Stream,
    /// What the upstream has sent behind its 101.
    pub early: Bytes,
    _place: OwnedSemaphorePermit,
    _counted: ActiveGuard,
}

/// A response body together with what it arrives on.
#[derive(Debug)]
pub struct UpstreamBody(Carrier);

#[derive(Debug)]
enum Carrier {
    Http1(Option<Lease>),
    Http2(Box<http2::Answer>),
}

/// A response body that broke.
#[derive(Debug, thiserror::Error)]
pub enum BrokenAnswer {
    /// On HTTP/1.1.
    #[error(transparent)]
    Http1(#[from] Broken),
    /// On HTTP/2.
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

impl BrokenAnswer {
    /// Whether the upstream said something wrong, rather than nothing more.
    pub fn is_malformed(&self) -> bool {
        match self {
            Self::Http1(broken) => matches!(broken, Broken::Malformed(_)),
            Self::Http2(error) => error.is_library(),
        }
    }
}

impl UpstreamBody {
    pub(super) fn http1(lease: Lease) -> Self {
        Self(Carrier::Http1(Some(lease)))
    }

    pub(super) fn http2(answer: http2::Answer) -> Self {
        Self(Carrier::Http2(Box::new(answer)))
    }

    /// Ends the body: a connection that is done with its exchange goes back to the pool.
    pub fn finish(&mut self, now: Instant) {
        match &mut self.0 {
            Carrier::Http1(lease) => {
                if let Some(lease) = lease.take() {
                    lease.give_back(now);
                }
            }
            Carrier::Http2(answer) => answer.finish(),
        }
    }

    /// The bare socket behind a 101; `None` behind any other answer.
    pub fn into_switched(self) -> Option<Switched> {
        let Carrier::Http1(Some(lease)) = self.0 else { return None };
        let Lease { connection, place, _counted: counted, .. } = lease;
        let (io, early) = connection?.into_switched()?;
        Some(Switched { io, early, _place: place, _counted: counted })
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BrokenAnswer;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        match &mut self.get_mut().0 {
            Carrier::Http1(lease) => match lease.as_mut().and_then(Lease::connection) {
                Some(connection) => connection.poll_frame(cx).map_err(BrokenAnswer::Http1),
                None => Poll::Ready(None),
            },
            Carrier::Http2(answer) => {
                Pin::new(&mut **answer).poll_frame(cx).map_err(BrokenAnswer::Http2)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Carrier::Http1(lease) => carried(lease.as_ref()).is_none_or(Connection::is_end_stream),
            Carrier::Http2(answer) => answer.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Carrier::Http1(lease) => carried(lease.as_ref())
                .map_or_else(|| SizeHint::with_exact(0), Connection::size_hint),
            Carrier::Http2(answer) => answer.size_hint(),
        }
    }
}

fn carried(lease: Option<&Lease>) -> Option<&Connection> {
    lease?.connection.as_deref()
}
