//! A 101 that was asked for: the answer's head goes to the client, and then the two sockets belong
//! to a [`Tunnel`].
//!
//! hyper writes the head; once that is out, the connection's owner takes the tunnel from the peer and
//! runs it on the client's socket. The exchange is in the tunnel from here on, so whatever becomes of
//! either, its record leaves.

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, UPGRADE};
use http::{Response, StatusCode, Version};
use tokio::time::Instant;

use super::exchange::Exchange;
use super::peer::Peer;
use super::reply::ReplyBody;
use super::tunnel::Tunnel;
use super::upstream::lease::{Accepted, UpstreamBody};
use crate::record::Phase;

/// Whether an answer is a switch. One that nobody asked for has been refused by then.
pub fn is_switch(response: &Response<UpstreamBody>) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS
}

/// Makes a tunnel of the exchange and leaves it with the peer. Returns the head for the client, or
/// the exchange where there is no socket behind the answer (HTTP/2 has no such switch).
pub fn splice(
    mut exchange: Box<Exchange>,
    peer: &Peer,
    response: Response<UpstreamBody>,
) -> Result<Response<ReplyBody>, Box<Exchange>> {
    let (mut head, body) = response.into_parts();
    let protocol = head.extensions.remove::<Accepted>();
    let (Some(Accepted(protocol)), Some(upstream)) = (protocol, body.into_switched()) else {
        return Err(exchange);
    };
    head.version = Version::HTTP_11;
    head.headers.remove(CONTENT_LENGTH);
    head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(UPGRADE, protocol);
    exchange.phase = Phase::Response;
    exchange.note_first_byte(Instant::now());
    peer.tunnel.leave(Tunnel::new(exchange, upstream));
    Ok(Response::from_parts(head, ReplyBody::Empty))
}
