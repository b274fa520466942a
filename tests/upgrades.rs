//! Connections that switch protocols: which may, what passes, and how each of them ends.

mod gates;
mod switching;
mod tunnels;

use tokio::io::AsyncReadExt;
use vital_sidecar::config::Config;

use crate::support::client::Client;
use crate::support::sidecar::{self, Sidecar};
use crate::support::upstream::{self, Upstream};

const ASK: &str = "GET /chat HTTP/1.1\r\nhost: app.example\r\nconnection: keep-alive, Upgrade\r\n\
                   upgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\n\
                      connection: upgrade\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

const PLAIN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An upstream that switches and gives back what it gets, until its client has ended.
async fn echoing() -> Upstream {
    upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say(SWITCH).await;
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = wire.stream.read(&mut bytes).await {
            wire.say(&bytes[..read]).await;
        }
    })
    .await
}

/// A client whose upgrade was granted, and the head that said so.
async fn switched(sidecar: &Sidecar) -> (Client, String) {
    let mut client = sidecar.client().await;
    client.say(ASK).await;
    let head = String::from_utf8(client.until(b"\r\n\r\n").await).expect("an ASCII head");
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    (client, head.to_lowercase())
}

async fn with(upstream: &Upstream, change: impl FnOnce(&mut Config)) -> Sidecar {
    let mut config = Config::for_upstream(upstream.address);
    change(&mut config);
    sidecar::with(&config).await
}
