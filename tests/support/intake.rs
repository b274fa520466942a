//! Datadog's intake for logs as strict as its documentation: it refuses what is over a limit, and
//! keeps what it takes. It can be scripted to refuse.

use std::collections::VecDeque;
use std::future::ready;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{Response, StatusCode};
use http_body_util::Full;
use parking_lot::Mutex;
use serde_json::Value;

use super::receiver::Receiver;

/// The only key that it knows.
pub const KEY: &str = "d0d0cafe0123456789abcdef01234567";
const MOST_BYTES: usize = 5_000_000;
const MOST_ENTRIES: usize = 1000;
const MOST_OF_AN_ENTRY: usize = 1_000_000;

#[derive(Default)]
struct State {
    /// What it answers to the next requests, with a `Retry-After`; then it takes what it can.
    script: VecDeque<(u16, Option<u64>)>,
    entries: Vec<Value>,
    answers: Vec<u16>,
}

/// A running intake; it ends with the test.
pub struct Intake {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    receiver: Receiver,
}

impl Intake {
    pub async fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let told = Arc::clone(&state);
        let receiver =
            Receiver::start(move |head, body| ready(Ok(told.lock().answer(&head, &body)))).await;
        Self { address: receiver.address, state, receiver }
    }

    /// Dies: closes its port and every connection. It remembers what it got.
    pub async fn go_away(&mut self) {
        self.receiver.go_away().await;
    }

    /// Comes back on the same port.
    pub async fn come_back(&mut self) {
        self.receiver.come_back().await;
    }

    pub fn script(&self, answers: impl IntoIterator<Item = (u16, Option<u64>)>) {
        self.state.lock().script.extend(answers);
    }

    /// The entries that it took.
    pub fn entries(&self) -> Vec<Value> {
        self.state.lock().entries.clone()
    }

    /// What it answered so far.
    pub fn answers(&self) -> Vec<u16> {
        self.state.lock().answers.clone()
    }
}

impl State {
    fn answer(&mut self, head: &Parts, body: &[u8]) -> Response<Full<Bytes>> {
        let scripted = self.script.pop_front();
        let (status, retry_after) = scripted.unwrap_or_else(|| match judge(head, body) {
            Ok(entries) => {
                self.entries.extend(entries);
                (202, None)
            }
            Err(status) => (status, None),
        });
        self.answers.push(status);
        let mut response = Response::new(Full::new(Bytes::from_static(b"{}")));
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// The entries of a request, or the status that says what is wrong with it.
pub fn judge(head: &Parts, body: &[u8]) -> Result<Vec<Value>, u16> {
    if head.method != "POST" || head.uri.path() != "/api/v2/logs" {
        return Err(404);
    }
    let field = |name: &str| head.headers.get(name).map(|value| value.as_bytes().to_vec());
    match field("dd-api-key") {
        None => return Err(401),
        Some(key) if key != KEY.as_bytes() => return Err(403),
        Some(_) => {}
    }
    let is = |name, value: &str| field(name).is_some_and(|found| found == value.as_bytes());
    if !is("content-type", "application/json") || !is("content-encoding", "gzip") {
        return Err(400);
    }
    let mut plain = Vec::new();
    GzDecoder::new(body).read_to_end(&mut plain).map_err(|_| 400_u16)?;
    if plain.len() > MOST_BYTES {
        return Err(413);
    }
    let entries: Vec<Value> = serde_json::from_slice(&plain).map_err(|_| 400_u16)?;
    let is_entry = |entry: &Value| {
        let has = |key: &str| entry[key].as_str().is_some_and(|text| !text.is_empty());
        entry.to_string().len() <= MOST_OF_AN_ENTRY
            && ["ddsource", "ddtags", "service", "status", "message"].into_iter().all(has)
    };
    if entries.is_empty() || entries.len() > MOST_ENTRIES || !entries.iter().all(is_entry) {
        return Err(400);
    }
    Ok(entries)
}
