//! A strict OTLP/HTTP collector of spans and log records: it takes only what the specification allows,
//! and says what was wrong (`judge`).
//!
//! Whatever it finds wrong fails the test when it is dropped. It can be scripted to refuse, to take a
//! part, to be slow, or to hang up. What it refused is not kept.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Response};
use http_body_util::Full;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::sync::Notify;
use tokio::time::timeout;

mod judge;

use super::receiver::{Answered, Receiver};
use judge::{decode, identity, inspect, inspect_log, text};

/// How long a test waits for what should come at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a request brings, by its path.
#[derive(Clone, Copy, Debug)]
enum Signal {
    Spans,
    Logs,
}

const SPANS: &str = "/v1/traces";
const LOGS: &str = "/v1/logs";

/// What the collector does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Takes the batch.
    Accept,
    /// Takes the batch but for so many spans or log records.
    Partial(i64),
    /// Answers this status, with a `Retry-After` in seconds where given.
    Status(u16, Option<u64>),
    /// Takes the batch after a while.
    Delay(Duration),
    /// Closes the connection without an answer.
    Reset,
}

/// A span that arrived, with who sent it.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) span: Span,
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) scope: String,
}

impl Received {
    /// The attribute as text.
    pub(crate) fn attribute(&self, key: &str) -> Option<String> {
        self.span.attributes.iter().find(|kv| kv.key == key).map(|kv| text(kv.value.as_ref()))
    }
}

/// A log record that arrived, with who sent it.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedLog {
    pub(crate) record: LogRecord,
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) scope: String,
}

impl ReceivedLog {
    /// The attribute as text.
    pub(crate) fn attribute(&self, key: &str) -> Option<String> {
        self.record.attributes.iter().find(|kv| kv.key == key).map(|kv| text(kv.value.as_ref()))
    }
}

#[derive(Default)]
struct State {
    script: VecDeque<Reply>,
    requests: Vec<HeaderMap>,
    log_requests: Vec<HeaderMap>,
    spans: Vec<Received>,
    logs: Vec<ReceivedLog>,
    seen: HashSet<(Vec<u8>, Vec<u8>)>,
    complaints: Vec<String>,
}

/// A running collector.
pub(crate) struct Collector {
    address: SocketAddr,
    shared: Arc<Shared>,
    receiver: Receiver,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let shared = Arc::<Shared>::default();
        let told = Arc::clone(&shared);
        let receiver =
            Receiver::start(move |head, body| answer(head, body, Arc::clone(&told))).await;
        Self { address: receiver.address, shared, receiver }
    }

    /// Dies: closes its port and every connection. It remembers what it got.
    pub(crate) async fn go_away(&mut self) {
        self.receiver.go_away().await;
    }

    /// Comes back on the same port.
    pub(crate) async fn come_back(&mut self) {
        self.receiver.come_back().await;
    }

    /// The full URL of the traces endpoint.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}{SPANS}", self.address)
    }

    /// The full URL of the logs endpoint.
    pub(crate) fn logs_endpoint(&self) -> String {
        format!("http://{}{LOGS}", self.address)
    }

    /// The replies to the next requests; after them it accepts.
    pub(crate) fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.lock().script.extend(replies);
    }

    /// Waits for so many spans, and gives all that have arrived.
    pub(crate) async fn spans(&self, at_least: usize) -> Vec<Received> {
        let enough = async {
            loop {
                let changed = self.shared.changed.notified();
                let spans = self.shared.lock().spans.clone();
                if spans.len() >= at_least {
                    return spans;
                }
                changed.await;
            }
        };
        timeout(PATIENCE, enough).await.expect("the spans arrive")
    }

    /// Waits for the log records of so many exchanges, and gives all of them that have arrived.
    pub(crate) async fn exchanges(&self, at_least: usize) -> Vec<ReceivedLog> {
        let enough = async {
            loop {
                let changed = self.shared.changed.notified();
                let mut logs = self.shared.lock().logs.clone();
                logs.retain(|log| log.record.event_name == "sidecar.request.completed");
                if logs.len() >= at_least {
                    return logs;
                }
                changed.await;
            }
        };
        timeout(PATIENCE, enough).await.expect("the log records arrive")
    }

    /// The heads of all requests with spans so far, refused ones included.
    pub(crate) fn requests(&self) -> Vec<HeaderMap> {
        self.shared.lock().requests.clone()
    }

    /// The heads of all requests with log records so far, refused ones included.
    pub(crate) fn log_requests(&self) -> Vec<HeaderMap> {
        self.shared.lock().log_requests.clone()
    }

    /// Takes what was found wrong so far, so that dropping the collector does not fail the test.
    pub(crate) fn complaints(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().complaints)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let complaints = self.complaints();
        if !std::thread::panicking() {
            assert!(complaints.is_empty(), "the collector complains: {complaints:#?}");
        }
    }
}

async fn answer(head: Parts, bytes: Vec<u8>, shared: Arc<Shared>) -> Answered {
    let signal = match (head.method.as_str(), head.uri.path()) {
        ("POST", SPANS) => Signal::Spans,
        ("POST", LOGS) => Signal::Logs,
        (method, path) => {
            shared.lock().complaints.push(format!("{method} {path} is not ours"));
            return Ok(status(404, None));
        }
    };
    let reply = {
        let mut state = shared.lock();
        let requests = match signal {
            Signal::Spans => &mut state.requests,
            Signal::Logs => &mut state.log_requests,
        };
        requests.push(head.headers.clone());
        state.script.pop_front().unwrap_or(Reply::Accept)
    };
    let mut rejected = 0;
    match reply {
        Reply::Status(code, retry_after) => return Ok(status(code, retry_after)),
        Reply::Reset => return Err(std::io::ErrorKind::ConnectionReset.into()),
        Reply::Delay(delay) => tokio::time::sleep(delay).await,
        Reply::Partial(count) => rejected = count,
        Reply::Accept => {}
    }
    let is_fine = shared.lock().take(&head.headers, &bytes, signal);
    shared.changed.notify_waiters();
    if !is_fine {
        return Ok(status(400, None));
    }
    let body = match signal {
        Signal::Spans => taken_spans(rejected),
        Signal::Logs => taken_logs(rejected),
    };
    Ok(Response::new(Full::new(body.into())))
}

fn taken_spans(rejected_spans: i64) -> Vec<u8> {
    let partial = ExportTracePartialSuccess { rejected_spans, error_message: "full".into() };
    let partial_success = (rejected_spans > 0).then_some(partial);
    ExportTraceServiceResponse { partial_success }.encode_to_vec()
}

fn taken_logs(rejected_log_records: i64) -> Vec<u8> {
    let partial = ExportLogsPartialSuccess { rejected_log_records, error_message: "full".into() };
    let partial_success = (rejected_log_records > 0).then_some(partial);
    ExportLogsServiceResponse { partial_success }.encode_to_vec()
}

fn status(code: u16, retry_after: Option<u64>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = code.try_into().unwrap();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert("retry-after", seconds.into());
    }
    response
}

impl State {
    /// Keeps a batch, or notes what is wrong with it and says no.
    fn take(&mut self, head: &HeaderMap, body: &[u8], signal: Signal) -> bool {
        let found = match signal {
            Signal::Spans => decode(head, body).map(|request| self.judge(request)),
            Signal::Logs => decode(head, body).map(|request| self.judge_logs(request)),
        };
        match found {
            Ok(found) => {
                let is_fine = found.is_empty();
                self.complaints.extend(found);
                is_fine
            }
            Err(complaint) => {
                self.complaints.push(complaint);
                false
            }
        }
    }

    fn judge(&mut self, request: ExportTraceServiceRequest) -> Vec<String> {
        let mut found = Vec::new();
        for group in request.resource_spans {
            let resource = identity(group.resource, &mut found);
            for scoped in group.scope_spans {
                let scope = scoped.scope.map(|scope| scope.name).unwrap_or_default();
                for span in scoped.spans {
                    inspect(&span, &mut found);
                    if !self.seen.insert((span.trace_id.clone(), span.span_id.clone())) {
                        found.push(format!("`{}` came twice", span.name));
                    }
                    let (resource, scope) = (resource.clone(), scope.clone());
                    self.spans.push(Received { span, resource, scope });
                }
            }
        }
        found
    }

    fn judge_logs(&mut self, request: ExportLogsServiceRequest) -> Vec<String> {
        let mut found = Vec::new();
        for group in request.resource_logs {
            let resource = identity(group.resource, &mut found);
            for scoped in group.scope_logs {
                let scope = scoped.scope.map(|scope| scope.name).unwrap_or_default();
                for record in scoped.log_records {
                    inspect_log(&record, &mut found);
                    let (resource, scope) = (resource.clone(), scope.clone());
                    self.logs.push(ReceivedLog { record, resource, scope });
                }
            }
        }
        found
    }
}
