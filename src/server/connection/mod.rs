//! One client connection, from its first byte to its close, in the protocol that the client speaks.
//!
//! Behind TLS the handshake says which that is (ALPN); in the clear the first bytes do: a client that
//! begins with the preface of HTTP/2 has prior knowledge (RFC 9113 §3.3), any other speaks HTTP/1.
//! The clock of the first head runs from the accept on, whatever comes before it.
//!
//! Plain TCP is served on its own type: its data path matches on no [`Stream`], and its future holds
//! nothing that only the others need.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::entrance::{Entrance, Kind};
use super::socket::Stream;
use super::tls::{self, Tls};
use crate::proxy::peer::Peer;
use crate::telemetry::metrics::ConnectionError;

mod http1;
mod http2;
mod pace;
mod preface;
mod streams;

pub(super) use http1::close;
use preface::{Nothing, Protocol};

/// Serves a connection until it ends. Once `stop` is cancelled, the running exchanges are finished
/// and the connection closed. Dropping the future cuts the connection.
pub async fn serve(
    entrance: Arc<Entrance>,
    stream: Stream,
    address: IpAddr,
    stop: CancellationToken,
) {
    let until = Instant::now() + entrance.proxy.plan().limits.header_timeout;
    match stream {
        Stream::Tcp(stream) if matches!(entrance.kind, Kind::Plain) => {
            if stream.set_nodelay(true).is_err() {
                return; // The client is gone already.
            }
            let peer = Peer::new(address, "http", Arc::default());
            match preface::of_tcp(&stream, until, &stop).await {
                Ok(Protocol::Http1) => {
                    http1::serve(&entrance.proxy, stream, peer, until, stop).await;
                }
                Ok(Protocol::Http2) => {
                    Box::pin(http2::serve(&entrance, stream, peer, until, stop)).await;
                }
                Err(nothing) => note(&entrance, nothing),
            }
        }
        stream => Box::pin(serve_other(&entrance, stream, address, until, stop)).await,
    }
}

/// Serves whatever is not plain TCP with HTTP/1.
async fn serve_other(
    entrance: &Entrance,
    mut stream: Stream,
    address: IpAddr,
    until: Instant,
    stop: CancellationToken,
) {
    if let Stream::Tcp(tcp) = &stream
        && tcp.set_nodelay(true).is_err()
    {
        return; // The client is gone already.
    }
    let (stream, protocol, scheme) = match &entrance.kind {
        Kind::Redirect(redirect) => {
            let peer = Peer::new(address, "http", Arc::default());
            return redirect.serve(&entrance.proxy, stream, peer, stop).await;
        }
        Kind::Plain => match preface::of(&mut stream, until, &stop).await {
            Ok(protocol) => (stream, protocol, "http"),
            Err(nothing) => return note(entrance, nothing),
        },
        Kind::Tls(tls) => match shake_hands(entrance, tls, stream, until, &stop).await {
            Some((stream, protocol)) => (stream, protocol, "https"),
            None => return,
        },
    };
    let mut peer = Peer::new(address, scheme, Arc::default());
    if let Stream::Tls(stream) = &stream
        && let Some(certificate) = tls::client_certificate(stream)
    {
        peer.certified = entrance.proxy.identities().certify(certificate);
    }
    match protocol {
        Protocol::Http1 => http1::serve(&entrance.proxy, stream, peer, until, stop).await,
        Protocol::Http2 => http2::serve(entrance, stream, peer, until, stop).await,
    }
}

async fn shake_hands(
    entrance: &Entrance,
    tls: &Tls,
    mut stream: Stream,
    until: Instant,
    stop: &CancellationToken,
) -> Option<(Stream, Protocol)> {
    // Who connects and says nothing is a health check of some kind, not a handshake that failed.
    if let Err(nothing) = preface::first_byte(&mut stream, until, stop).await {
        note(entrance, nothing);
        return None;
    }
    let Some(stream) = tls.accept(stream, until).await else {
        entrance.proxy.telemetry().metrics().connection_error(ConnectionError::Tls);
        return None;
    };
    let protocol = if tls::is_http2(&stream) { Protocol::Http2 } else { Protocol::Http1 };
    Some((Stream::Tls(stream), protocol))
}

/// Counts a client that was too slow before anything could be served. One that says nothing at all
/// is not counted.
fn note(entrance: &Entrance, nothing: Nothing) {
    if nothing == Nothing::Late {
        entrance.proxy.telemetry().metrics().connection_error(ConnectionError::HeadTimeout);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::config::Config;
    use crate::proxy::Proxy;
    use crate::telemetry::Telemetry;
    use crate::telemetry::metrics::Metrics;

    #[tokio::test]
    async fn a_plain_connection_pays_for_no_other_kind() {
        let config = Config::for_upstream(([127, 0, 0, 1], 3000).into());
        let telemetry = Telemetry::silent(Metrics::new(&config.service));
        let proxy = Arc::new(Proxy::new(&config, Arc::new(telemetry), None));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) =
            tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.unwrap();
        let entrance = Entrance::plain(proxy, 1);
        let (ip, stop) = (IpAddr::V4(Ipv4Addr::LOCALHOST), CancellationToken::new());

        let serving = serve(entrance, Stream::Tcp(stream), ip, stop);

        // What every connection holds, idle or not: it was 1,688 bytes when this was written.
        let size = size_of_val(&serving);
        assert!(size <= 2 * 1024, "{size} bytes");
        drop((serving, client));
    }
}
