//! A collector and a Sentry in one that keeps all it is sent, heads included, and takes everything.

use std::fmt::Write;
use std::future::ready;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::read::GzDecoder;
use http::request::Parts;
use http::{Response, StatusCode};
use http_body_util::Full;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use parking_lot::Mutex;
use prost::Message;

use super::markers::Haystack;
use crate::support::receiver;

/// A running one; it ends with the test.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    kept: Arc<Mutex<Vec<Received>>>,
    is_refusing: Arc<AtomicBool>,
    _server: receiver::Receiver,
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
        let kept = Arc::<Mutex<Vec<Received>>>::default();
        let is_refusing = Arc::<AtomicBool>::default();
        let (keep, refuse) = (Arc::clone(&kept), Arc::clone(&is_refusing));
        let receiver = receiver::Receiver::start(move |head, body| {
            keep.lock().push(Received::new(&head, body));
            let mut answer = Response::new(Full::default());
            if refuse.load(Ordering::Relaxed) {
                *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            ready(Ok(answer))
        });
        let receiver = receiver.await;
        Self { address: receiver.address, kept, is_refusing, _server: receiver }
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

impl Received {
    fn new(head: &Parts, body: Vec<u8>) -> Self {
        let mut inflated = Vec::new();
        if body.starts_with(&[0x1f, 0x8b]) {
            GzDecoder::new(&body[..]).read_to_end(&mut inflated).expect("gzip");
        } else {
            inflated.clone_from(&body);
        }
        let path = head.uri.path().to_owned();
        let head = format!("{} {} {:?}\n", head.method, head.uri, head.headers);
        Self { path, head, bodies: [body, inflated] }
    }
}
