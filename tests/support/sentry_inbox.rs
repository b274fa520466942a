//! A Sentry that keeps every envelope it is sent.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

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
    address: SocketAddr,
    kept: Arc<Mutex<Vec<Envelope>>>,
    _tasks: JoinSet<()>,
}

impl Inbox {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let kept = Arc::<Mutex<Vec<Envelope>>>::default();
        let mut tasks = JoinSet::new();
        let inbox = Arc::clone(&kept);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let inbox = Arc::clone(&inbox);
                connections.spawn(async move {
                    let service = service_fn(|request| take(request, Arc::clone(&inbox)));
                    let served = hyper::server::conn::http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                    drop(served); // The sidecar may leave.
                });
            }
        });
        Self { address, kept, _tasks: tasks }
    }

    /// What to configure.
    pub fn dsn(&self) -> String {
        format!("http://public@{}/42", self.address)
    }

    /// Every envelope so far.
    pub fn envelopes(&self) -> Vec<Envelope> {
        self.kept.lock().clone()
    }
}

async fn take(
    request: Request<Incoming>,
    kept: Arc<Mutex<Vec<Envelope>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, mut incoming) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(frame)) = incoming.frame().await {
        body.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    let envelope = Envelope { path: head.uri.to_string(), headers: head.headers, body };
    kept.lock().push(envelope);
    Ok(Response::new(Full::new(Bytes::from_static(b"{}"))))
}
