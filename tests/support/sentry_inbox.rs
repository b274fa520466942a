//! A Sentry that keeps every envelope it is sent.

use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Response};
use http_body_util::Full;
use parking_lot::Mutex;
use serde_json::Value;

use super::receiver::Receiver;

/// One envelope as it came.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Envelope {
    /// Its one event.
    pub fn event(&self) -> Value {
        let text = std::str::from_utf8(&self.body).expect("UTF-8");
        let lines: Vec<Value> = text
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let [_head, item, event] = &lines[..] else { panic!("one item: {text}") };
        assert_eq!(item["type"], "event");
        event.clone()
    }
}

/// A running inbox.
pub struct Inbox {
    kept: Arc<Mutex<Vec<Envelope>>>,
    receiver: Receiver,
}

impl Inbox {
    pub async fn start() -> Self {
        let kept = Arc::<Mutex<Vec<Envelope>>>::default();
        let inbox = Arc::clone(&kept);
        let take = move |head: Parts, body| {
            let envelope = Envelope { path: head.uri.to_string(), headers: head.headers, body };
            inbox.lock().push(envelope);
            ready(Ok(Response::new(Full::new(Bytes::from_static(b"{}")))))
        };
        Self { kept, receiver: Receiver::start(take).await }
    }

    /// What to configure.
    pub fn dsn(&self) -> String {
        format!("http://public@{}/42", self.receiver.address)
    }

    /// Every envelope so far.
    pub fn envelopes(&self) -> Vec<Envelope> {
        self.kept.lock().clone()
    }
}
