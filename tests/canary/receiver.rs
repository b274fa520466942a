//! A collector and a Sentry in one that keeps all it is sent, heads included, and takes everything.

use std::convert::Infallible;
use std::fmt::Write;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use parking_lot::Mutex;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::markers::Haystack;

/// A running one; it ends with the test.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    kept: Arc<Mutex<Vec<Received>>>,
    is_refusing: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

/// One request.
#[derive(Clone, Debug)]
struct Received {
    path: String,
    head: String,
    /// As it came, and inflated where it was gzip.
    bodies: [Vec<u8>; 2],
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let kept = Arc::<Mutex<Vec<Received>>>::default();
        let is_refusing = Arc::<AtomicBool>::default();
        let (keep, refuse) = (Arc::clone(&kept), Arc::clone(&is_refusing));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (keep, refuse) = (Arc::clone(&keep), Arc::clone(&refuse));
                connections.spawn(async move {
                    let service = service_fn(|request| {
                        take(request, Arc::clone(&keep), refuse.load(Ordering::Relaxed))
                    });
                    let served = hyper::server::conn::http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                    drop(served); // The sidecar may leave.
                });
            }
        });
        Self { address, kept, is_refusing, _tasks: tasks }
    }

    /// Answers 503 from now on: what it is sent has to wait.
    pub(super) fn refuse(&self) {
        self.is_refusing.store(true, Ordering::Relaxed);
    }

    /// The heads and inflated bodies of what came for this path.
    pub(super) fn bodies(&self, path: &str) -> Vec<(String, Vec<u8>)> {
        let kept = self.kept.lock();
        let found = kept.iter().filter(|received| received.path.starts_with(path));
        found.map(|received| (received.head.clone(), received.bodies[1].clone())).collect()
    }

    /// What came for this path: the heads and bodies, and what spans and data points say.
    pub(super) fn haystacks(&self, name: &str, path: &str) -> Vec<Haystack> {
        let (mut raw, mut said) = (Vec::new(), String::new());
        for received in self.kept.lock().iter().filter(|received| received.path.starts_with(path)) {
            raw.extend_from_slice(received.head.as_bytes());
            let [sent, inflated] = &received.bodies;
            raw.extend_from_slice(inflated);
            if sent != inflated {
                raw.extend_from_slice(sent);
            }
            raw.push(b'\n');
            if received.path == "/v1/traces" {
                let request = ExportTraceServiceRequest::decode(&received.bodies[1][..]);
                writeln!(said, "{:?}", request.expect("spans")).ok();
            }
            if received.path == "/v1/metrics" {
                let request = ExportMetricsServiceRequest::decode(&received.bodies[1][..]);
                writeln!(said, "{:?}", request.expect("data points")).ok();
            }
        }
        vec![Haystack::new(name, raw), Haystack::new(format!("{name}, decoded"), said)]
    }
}

async fn take(
    request: Request<Incoming>,
    kept: Arc<Mutex<Vec<Received>>>,
    is_refusing: bool,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, mut incoming) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(frame)) = incoming.frame().await {
        body.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    let mut inflated = Vec::new();
    if body.starts_with(&[0x1f, 0x8b]) {
        GzDecoder::new(&body[..]).read_to_end(&mut inflated).expect("gzip");
    } else {
        inflated.clone_from(&body);
    }
    let path = head.uri.path().to_owned();
    let head = format!("{} {} {:?}\n", head.method, head.uri, head.headers);
    kept.lock().push(Received { path, head, bodies: [body, inflated] });
    let mut answer = Response::new(Full::default());
    if is_refusing {
        *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(answer)
}
