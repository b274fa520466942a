//! HTTP/2 from clients, by prior knowledge: what works, what is refused, what is bounded. ALPN is in
//! `tls`.

mod bounds;
mod exchanges;
mod preface;
mod refused;

use std::time::Duration;

use crate::support::upstream::{self, Upstream};

const SHORT: Duration = Duration::from_millis(200);

/// An upstream that reads heads and never answers.
async fn silent() -> Upstream {
    upstream::scripted(|mut wire| async move { while wire.head().await.is_some() {} }).await
}

fn is(count: f64, expected: f64) -> bool {
    (count - expected).abs() < 1e-9
}
