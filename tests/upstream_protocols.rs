//! What is spoken towards the upstream: TLS, HTTP/2 by ALPN and by prior knowledge, Unix sockets.

mod connecting;
mod ending;
mod refused_streams;
mod sharing;
mod translation;

use std::sync::Arc;

use vital_sidecar::config::Config;

use crate::support::http2::{Frames, Http2};
use crate::support::sidecar::{self, Sidecar, config_for};
use crate::support::upstream::{self, Upstream};

/// A sidecar before an upstream that speaks HTTP/2 in the open.
async fn before(upstream: &Http2) -> Sidecar {
    sidecar::with(&h2c(upstream)).await
}

fn h2c(upstream: &Http2) -> Config {
    config_for(&format!("h2c://{}", upstream.address))
}

/// Raw HTTP/2: each connection is handed to `script` after the greeting.
async fn raw<F, Fut>(script: F) -> Upstream
where
    F: Fn(Frames) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let script = Arc::new(script);
    upstream::scripted(move |wire| {
        let script = Arc::clone(&script);
        async move {
            let mut frames = Frames { stream: wire.stream };
            if frames.greet().await {
                script(frames).await;
            }
        }
    })
    .await
}

async fn before_raw(upstream: &Upstream) -> Sidecar {
    sidecar::with(&config_for(&format!("h2c://{}", upstream.address))).await
}
