//! An upstream that keeps every request it was sent, head and body, and always answers the same.

use std::sync::Arc;

use parking_lot::Mutex;

use super::upstream::{self, Upstream, Wire, content_length};

/// A request as the upstream saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The head as it came.
    pub head: String,
    /// The payload, without its framing.
    pub body: Vec<u8>,
}

impl Seen {
    /// The value of a field, where it is there.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
}

/// The upstream and what it saw.
pub struct Recorder {
    pub upstream: Upstream,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    /// Every whole request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// The only request.
    pub fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "one request");
        seen[0].clone()
    }
}

/// Starts one that answers 200 with `{}`.
pub async fn recording() -> Recorder {
    let seen = Arc::<Mutex<Vec<Seen>>>::default();
    let kept = Arc::clone(&seen);
    let upstream = upstream::scripted(move |mut wire| {
        let kept = Arc::clone(&kept);
        async move {
            while let Some(head) = wire.head().await {
                let body = body(&mut wire, &head).await;
                kept.lock().push(Seen { head, body });
                wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
            }
        }
    })
    .await;
    Recorder { upstream, seen }
}

async fn body(wire: &mut Wire, head: &str) -> Vec<u8> {
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return wire.body(content_length(head)).await;
    }
    let mut body = Vec::new();
    loop {
        let line = String::from_utf8(wire.until(b"\r\n").await).expect("a chunk size");
        let size = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
        let chunk = wire.body(size + 2).await;
        body.extend_from_slice(&chunk[..size.min(chunk.len())]);
        if size == 0 {
            return body;
        }
    }
}
