//! The demo orchestrator: a small HTTP/1.1 service that stands in for the application.
//!
//! It answers `POST /api/orchestrate` as the API describes it, whole or as a stream of events, and a
//! few paths around it; some answers are slow and, unless told otherwise, some fail. It owns every
//! connection: when [`serve`] returns, nothing of it runs any more.
//!
//! It knows nothing of the sidecar. It does not authenticate anybody and stores nothing but digests
//! of questions.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{AGENTS, Answer};
use super::behaviour::Fate;
pub use super::behaviour::{Behaviour, Failures, Pace};
use super::body::Script;
use super::question::{self, Mode};
use super::recall::Recall;

/// Connections held at once; more wait in the listen queue.
const MAX_CONNECTIONS: usize = 512;
/// For the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// What an open answer gets after the stop.
const GRACE: Duration = Duration::from_secs(3);
/// The pause after a failed accept, e.g. for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// Serves until `stop`, then lets open answers end for at most three seconds.
///
/// Dropping the future closes the listener; connections then end by `stop` alone.
pub async fn serve(listener: TcpListener, behaviour: Behaviour, stop: CancellationToken) {
    let house = Arc::new(House { behaviour, asked: AtomicU64::new(0), recall: Recall::default() });
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Ok((stream, place)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (house, stop) = (Arc::clone(&house), stop.clone());
        connections.spawn(async move {
            hold(stream, house, stop).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

/// Serves one connection to its end.
async fn hold(stream: TcpStream, house: Arc<House>, stop: CancellationToken) {
    let service = service_fn(move |request| {
        let house = Arc::clone(&house);
        async move { Ok::<_, Infallible>(house.respond(request).await) }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.cancelled() => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            tokio::time::timeout(GRACE, &mut connection).await.unwrap_or(Ok(()))
        }
    };
    if ended.is_err_and(|error| error.is_user()) {
        // The answer was cut short on purpose: a reset, not an orderly close.
        let stream = connection.into_parts().io.into_inner();
        drop(stream.set_zero_linger());
    }
}

/// What all connections share.
struct House {
    behaviour: Behaviour,
    /// Questions so far.
    asked: AtomicU64,
    recall: Recall,
}

impl House {
    async fn respond(&self, request: Request<Incoming>) -> Response<Script> {
        let path = request.uri().path();
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let is_post = *request.method() == Method::POST;
        match path {
            "/api/orchestrate" if is_post => self.orchestrate(request).await,
            "/api/auth/login" if is_post => log_in(),
            "/api/auth/logout" if is_post => answer(StatusCode::NO_CONTENT, Script::whole("")),
            "/api/orchestrate" | "/api/auth/login" | "/api/auth/logout" => not_allowed("POST"),
            "/api/agents" if is_read => {
                let agents: Vec<_> =
                    AGENTS.into_iter().map(super::answer::Agent::to_json).collect();
                json_answer(StatusCode::OK, &json!({ "agents": agents }))
            }
            "/" if is_read => html(PAGE),
            "/health" if is_read => json_answer(StatusCode::OK, &json!({ "status": "ok" })),
            "/api/agents" | "/" | "/health" => not_allowed("GET, HEAD"),
            other => match other.strip_prefix("/api/agents/") {
                Some(_) if !is_read => not_allowed("GET, HEAD"),
                Some(id) => AGENTS
                    .into_iter()
                    .find(|agent| agent.id == id)
                    .map_or_else(not_found, |agent| json_answer(StatusCode::OK, &agent.to_json())),
                None => not_found(),
            },
        }
    }

    /// `POST /api/orchestrate`.
    async fn orchestrate(&self, request: Request<Incoming>) -> Response<Script> {
        let started = Instant::now();
        let wants_events = accepts_events(request.headers());
        let mut dice = self.behaviour.dice(self.asked.fetch_add(1, Ordering::Relaxed));
        let question = match question::read(request.into_body()).await {
            Ok(question) => question,
            Err(invalid) => {
                return problem(invalid.status(), "Invalid request", &invalid.to_string());
            }
        };
        let cached = question.mode == Mode::RagQuery && self.recall.knows(&question.query);
        let fate = self.behaviour.fate(&mut dice);
        let thinking = if cached {
            self.behaviour.recalling(&mut dice)
        } else {
            self.behaviour.thinking(&mut dice)
        };
        if !wants_events || matches!(fate, Fate::Broken | Fate::Exhausted) {
            tokio::time::sleep(thinking).await;
        }
        let cut = match fate {
            Fate::Broken => return broken(),
            Fate::Exhausted => return exhausted(),
            Fate::Answer => false,
            Fate::Cut => true,
        };
        if question.mode == Mode::RagQuery && !cut {
            self.recall.learn(&question.query);
        }
        let result = Answer::compose(&question, cached, &mut dice, started);
        let mut response = if wants_events {
            events(result.stream(thinking, cut, &self.behaviour, &mut dice))
        } else if cut {
            json_response(Script::broken(result.to_json().to_string(), CUT_PAUSE))
        } else {
            json_answer(StatusCode::OK, &result.to_json())
        };
        if question.mode == Mode::RagQuery {
            tell_cache(response.headers_mut(), cached);
        }
        response
    }
}

/// Long enough that hyper has written the first half before the connection breaks.
const CUT_PAUSE: Duration = Duration::from_millis(5);

const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
    <title>Demo orchestrator</title><h1>Demo orchestrator</h1>\
    <p>It stands in for the application. Ask it: <code>POST /api/orchestrate</code>.</p></html>\n";

fn accepts_events(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|range| range.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Says whether the answer came from the cache, as RFC 9211 writes it and as older caches do.
fn tell_cache(headers: &mut HeaderMap, hit: bool) {
    let (status, short) =
        if hit { ("orchestrator; hit", "HIT") } else { ("orchestrator; fwd=miss", "MISS") };
    headers.insert(CACHE_STATUS, HeaderValue::from_static(status));
    headers.insert(X_CACHE, HeaderValue::from_static(short));
}

fn log_in() -> Response<Script> {
    let mut response =
        json_answer(StatusCode::OK, &json!({ "token": "demo-token", "expiresIn": 3600 }));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn broken() -> Response<Script> {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    problem(status, "Internal server error", "the demo failed on purpose")
}

fn exhausted() -> Response<Script> {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut response = problem(status, "Service unavailable", "too many connections");
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn not_found() -> Response<Script> {
    problem(StatusCode::NOT_FOUND, "Not found", "there is nothing here")
}

fn not_allowed(allow: &'static str) -> Response<Script> {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut response = problem(status, "Method not allowed", "see the Allow header");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

fn problem(status: StatusCode, title: &str, detail: &str) -> Response<Script> {
    let body = json!({
        "type": "about:blank",
        "title": title,
        "status": status.as_u16(),
        "detail": detail,
    });
    typed(status, "application/problem+json", Script::whole(body.to_string()))
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Script> {
    typed(status, "application/json", Script::whole(body.to_string()))
}

fn json_response(body: Script) -> Response<Script> {
    typed(StatusCode::OK, "application/json", body)
}

fn html(page: &'static str) -> Response<Script> {
    typed(StatusCode::OK, "text/html; charset=utf-8", Script::whole(page))
}

fn events(body: Script) -> Response<Script> {
    let mut response = typed(StatusCode::OK, "text/event-stream", body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn typed(status: StatusCode, media_type: &'static str, body: Script) -> Response<Script> {
    let mut response = answer(status, body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn answer(status: StatusCode, body: Script) -> Response<Script> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
