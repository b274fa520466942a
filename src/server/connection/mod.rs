//! One client connection, from its first byte to its close, in the protocol that the client speaks.
//!
//! Plain TCP is served on its own type: its data path matches on no [`Stream`], and its future holds
//! nothing that only the others need.

use std::net::IpAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::socket::Stream;
use crate::proxy::Proxy;
use crate::proxy::peer::Peer;

mod http1;

/// Serves a connection until it ends. Once `stop` is cancelled, the running exchanges are finished
/// and the connection closed. Dropping the future cuts the connection.
pub async fn serve(proxy: Arc<Proxy>, stream: Stream, address: IpAddr, stop: CancellationToken) {
    match stream {
        Stream::Tcp(stream) => {
            if stream.set_nodelay(true).is_ok() {
                let peer = Peer::new(address, "http", Arc::default());
                http1::serve(proxy, stream, peer, stop).await;
            } // Otherwise the client is gone already.
        }
        Stream::Unix(_) | Stream::Tls(_) => {
            let peer = Peer::new(address, "http", Arc::default());
            Box::pin(http1::serve(proxy, stream, peer, stop)).await;
        }
    }
}
