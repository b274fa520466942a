//! Asking the upstream whether it is well.
//!
//! Where `[upstream.health]` names a path, it is asked for every `interval`, over the pool like any
//! request, and the last answer is the verdict: 200 to 399 is well. The verdict shows in `/readyz` and
//! holds no request back.
//!
//! The question leaves no record, has no trace, and counts neither for nor against the breaker.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::Poll;

use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body::Body;
use tokio::time::{Instant, sleep, timeout};

use super::lease::UpstreamBody;
use super::send::send;
use super::{NoConnection, Upstream};
use crate::config::model;
use crate::proxy::request_body::RequestBody;
use crate::proxy::upstream::send::NoResponse;

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("vital-sidecar/", env!("CARGO_PKG_VERSION")));
/// Of an answer's body; a longer one costs its connection.
const MAX_BODY: usize = 64 * 1024;

/// What is asked, and what was answered last.
#[derive(Debug)]
pub(super) struct Health {
    asks: Option<Asks>,
    /// A status, or one of the numbers below 100.
    last: AtomicU16,
}

#[derive(Debug)]
struct Asks {
    target: Uri,
    host: HeaderValue,
    interval: std::time::Duration,
}

/// What the last question found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is no answer yet.
    Unknown,
    /// It answered with this status.
    Answered(u16),
    /// It did not answer within `interval`.
    Silent,
    /// It could not be connected to, or broke off.
    Broken,
}

impl Verdict {
    /// Whether traffic may come.
    pub fn is_well(self) -> bool {
        matches!(self, Self::Answered(200..=399))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("has not been asked yet"),
            Self::Answered(status) => write!(f, "answers {status}"),
            Self::Silent => f.write_str("does not answer in time"),
            Self::Broken => f.write_str("does not answer"),
        }
    }
}

impl Health {
    pub(super) fn new(config: &model::Upstream) -> Self {
        let asks = config.health.path.as_ref().and_then(|path| {
            Some(Asks {
                target: path.parse().ok()?,
                host: HeaderValue::from_str(&config.authority).ok()?,
                interval: config.health.interval,
            })
        });
        Self { asks, last: AtomicU16::new(0) }
    }

    /// The last verdict; `None` where nothing is asked.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        self.asks.as_ref()?;
        Some(match self.last.load(Ordering::Relaxed) {
            0 => Verdict::Unknown,
            1 => Verdict::Silent,
            2 => Verdict::Broken,
            status => Verdict::Answered(status),
        })
    }

    fn note(&self, verdict: Verdict) {
        let number = match verdict {
            Verdict::Unknown => 0,
            Verdict::Silent => 1,
            Verdict::Broken => 2,
            Verdict::Answered(status) => status,
        };
        self.last.store(number, Ordering::Relaxed);
    }
}

/// Asks until it is dropped; returns at once where nothing is to be asked.
pub(super) async fn watch(upstream: &Arc<Upstream>) {
    let Some(asks) = &upstream.health.asks else { return };
    loop {
        let before = upstream.health.verdict();
        // A full pool says nothing about the upstream's health.
        if let Some(found) =
            timeout(asks.interval, ask(upstream, asks)).await.unwrap_or(Some(Verdict::Silent))
        {
            upstream.health.note(found);
            if before.is_some_and(|before| before.is_well() != found.is_well()) {
                tracing::info!(is_well = found.is_well(), "The upstream's health check {found}.");
            }
        }
        sleep(asks.interval).await;
    }
}

async fn ask(upstream: &Arc<Upstream>, asks: &Asks) -> Option<Verdict> {
    let mut request = Request::new(RequestBody::nothing());
    *request.uri_mut() = asks.target.clone();
    request.headers_mut().insert(HOST, asks.host.clone());
    request.headers_mut().insert(USER_AGENT, AGENT);
    match send(upstream, Instant::now(), &mut Some(request), |_| Poll::Pending).await {
        Ok(response) => Some(Verdict::Answered(read(response).await.as_u16())),
        Err(NoResponse::NoConnection(NoConnection::Busy)) => None,
        Err(_) => Some(Verdict::Broken),
    }
}

/// Reads a small body to its end, so that the connection can be used again.
async fn read(response: Response<UpstreamBody>) -> StatusCode {
    let (head, mut body) = response.into_parts();
    let mut size = 0;
    while !body.is_end_stream() && size <= MAX_BODY {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            Some(Ok(frame)) => size += frame.data_ref().map_or(0, bytes::Bytes::len),
            Some(Err(_)) => return head.status,
            None => break,
        }
    }
    if size <= MAX_BODY {
        body.finish(Instant::now());
    }
    head.status
}
