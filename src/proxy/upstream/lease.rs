//! A checked-out connection and the response body that travels on it.
//!
//! Whoever holds the [`Lease`] polls the connection; nothing is spawned. Dropping a lease before its
//! exchange is complete closes the connection, which is how a leaving client cancels its upstream
//! request.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderValue;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::http1::Connection;
use super::{Origin, Upstream};
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
    pub fn give_back(mut self) {
        if let Some(mut connection) = self.connection.take()
            && connection.is_alive()
        {
            self.pool.push_idle(connection);
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
    pub io: TcpStream,
    /// What the upstream has sent behind its 101.
    pub early: Bytes,
    _place: OwnedSemaphorePermit,
    _counted: ActiveGuard,
}

/// A response body together with the connection it arrives on.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    lease: Option<Lease>,
}

impl UpstreamBody {
    pub(super) fn new(incoming: Incoming, lease: Lease) -> Self {
        Self { incoming, lease: Some(lease) }
    }

    /// Ends the body: a connection that is done with its exchange goes back to the pool.
    pub fn finish(&mut self) {
        // A keep-alive connection becomes idle only once hyper has seen the body's consumer is done.
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }

    /// The bare socket behind a 101; `None` behind any other answer.
    pub fn into_switched(self) -> Option<Switched> {
        let Lease { connection, place, _counted: counted, .. } = self.lease?;
        let (io, early) = connection?.into_stream()?;
        Some(Switched { io, early, _place: place, _counted: counted })
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let Some(connection) = this.lease.as_mut().and_then(Lease::connection) else {
            return Pin::new(&mut this.incoming).poll_frame(cx);
        };
        // The driver holds this task's waker, so the body itself needs none: whatever makes it ready
        // comes out of driving.
        let quiet = &mut Context::from_waker(Waker::noop());
        if let ready @ Poll::Ready(_) = Pin::new(&mut this.incoming).poll_frame(quiet) {
            return ready;
        }
        let is_open = connection.drive(cx);
        Pin::new(&mut this.incoming).poll_frame(if is_open { quiet } else { cx })
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
