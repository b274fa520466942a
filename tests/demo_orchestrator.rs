//! The demo's own pieces, over real sockets: what the orchestrator answers, and that the traffic's
//! sums add up.

// So that clippy takes the functions that tests share for test code too.
#![cfg(test)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vital_sidecar::cli::demo::orchestrator::{Behaviour, Failures, Pace, serve};
use vital_sidecar::cli::demo::{self, Options, Stage, traffic};
use vital_sidecar::config::Config;
use vital_sidecar::record::{Record, Value as Captured};

use crate::support::sidecar;

const MODES: [&str; 5] =
    ["query_automatic", "query_manual", "rag_query", "multi_agent", "autonomous"];
const CALM: Behaviour = Behaviour { failures: Failures::Never, pace: Pace::Immediate, seed: 1 };
const ROUGH: Behaviour = Behaviour { failures: Failures::Some, ..CALM };

/// An orchestrator on a free port.
struct Scene {
    address: SocketAddr,
    stop: CancellationToken,
    served: JoinSet<()>,
}

impl Scene {
    async fn set(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let mut served = JoinSet::new();
        served.spawn(serve(listener, behaviour, stop.clone()));
        Self { address, stop, served }
    }

    /// One request on a connection of its own.
    async fn send(&self, head: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{head} HTTP/1.1\r\nhost: demo\r\nconnection: close\r\ncontent-length: {length}\r\n"
        );
        let accept = if head.contains("?events") { "accept: text/event-stream\r\n" } else { "" };
        stream.write_all(format!("{request}{accept}\r\n{body}").as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        let ended = stream.read_to_end(&mut bytes).await;
        Answer::read(&bytes, ended.is_err())
    }

    async fn ask(&self, query: &str, mode: &str) -> Answer {
        let body = json!({ "query": query, "mode": mode }).to_string();
        self.send("POST /api/orchestrate", &body).await
    }

    async fn ask_for_events(&self, query: &str, mode: &str) -> Answer {
        let body = json!({ "query": query, "mode": mode }).to_string();
        self.send("POST /api/orchestrate?events", &body).await
    }

    async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.served.join_next().await {
            ended.unwrap();
        }
    }
}

/// An answer as it came over the wire.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    /// The connection was reset.
    reset: bool,
}

impl Answer {
    fn read(bytes: &[u8], reset: bool) -> Self {
        let text = std::str::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Self { status, headers, body: body.to_owned(), reset };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = unchunk(body);
        }
        answer
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The events by name and data; comments are left out.
    fn events(&self) -> Vec<(String, Value)> {
        assert!(self.body.ends_with("\n\n"), "an event is not ended by a blank line");
        let blocks = self.body.split_terminator("\n\n").filter(|block| !block.starts_with(':'));
        blocks
            .map(|block| {
                let (name, data) = block.split_once('\n').unwrap();
                let data = data.strip_prefix("data: ").unwrap();
                let name = name.strip_prefix("event: ").unwrap().to_owned();
                (name, serde_json::from_str(data).unwrap())
            })
            .collect()
    }
}

/// The data of a chunked body, as far as it came.
fn unchunk(mut rest: &str) -> String {
    let mut whole = String::new();
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole.push_str(&tail[..size]);
        rest = tail[size..].strip_prefix("\r\n").unwrap();
    }
    whole
}

/// What the API's `OrchestrationResult` promises, and what the demo adds to it.
fn assert_is_result(result: &Value, mode: &str) {
    uuid::Uuid::try_parse(result["conversationId"].as_str().unwrap()).unwrap();
    assert!(!result["response"].as_str().unwrap().is_empty());
    let agents = result["selectedAgents"].as_array().unwrap();
    assert!(!agents.is_empty());
    for agent in agents {
        assert!(agent["id"].is_string() && agent["name"].is_string());
        assert!((0.0..=1.0).contains(&agent["score"].as_f64().unwrap()));
    }
    let metadata = &result["metadata"];
    assert_eq!(metadata["mode"], mode);
    assert!(metadata["tokens"]["input"].is_u64() && metadata["tokens"]["output"].is_u64());
    assert!(metadata["durationMs"].is_u64() && metadata["cached"].is_boolean());
    assert_eq!(result.as_object().unwrap().len(), 4);
}

#[tokio::test]
async fn a_question_in_each_mode_is_answered_in_the_shape_of_the_api() {
    let scene = Scene::set(CALM).await;
    for mode in MODES {
        let answer = scene.ask("zebra stripes", mode).await;
        assert_eq!((answer.status, answer.reset), (200, false));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
        assert_is_result(&answer.json(), mode);
        assert!(!answer.body.contains("zebra"), "the query is repeated");
    }
    scene.end().await;
}

#[tokio::test]
async fn a_conversation_goes_on_under_its_session_id() {
    let scene = Scene::set(CALM).await;
    let id = "0190a1b2-0000-7000-8000-000000000001";
    let body = json!({ "query": "q", "mode": "autonomous", "sessionId": id }).to_string();
    let answer = scene.send("POST /api/orchestrate", &body).await;
    assert_eq!(answer.json()["conversationId"], id);
    scene.end().await;
}

#[tokio::test]
async fn a_stream_is_agents_then_tokens_then_one_result_with_the_same_text() {
    let scene = Scene::set(CALM).await;
    let answer = scene.ask_for_events("zebra stripes", "multi_agent").await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let events = answer.events();
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    let agents = names.iter().take_while(|name| **name == "agent").count();
    assert_eq!(agents, 3);
    let (done, tokens) = names[agents..].split_last().unwrap();
    assert_eq!(*done, "done");
    assert!(!tokens.is_empty() && tokens.iter().all(|name| *name == "token"));
    let (_, result) = events.last().unwrap();
    assert_is_result(result, "multi_agent");
    let spoken: String = events
        .iter()
        .filter(|(name, _)| name == "token")
        .map(|(_, data)| data["text"].as_str().unwrap())
        .collect();
    assert_eq!(result["response"], spoken);
    assert!(!answer.body.contains("zebra"), "the query is repeated");
    scene.end().await;
}

#[tokio::test]
async fn a_body_that_cannot_be_read_gets_a_problem_document() {
    let scene = Scene::set(CALM).await;
    for body in ["", "{\"query\":", "{}", r#"{"query":"zebra","mode":"guess"}"#] {
        let answer = scene.send("POST /api/orchestrate", body).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let problem = answer.json();
        assert_eq!(problem["title"], "Invalid request");
        assert_eq!(problem["status"], 400);
        assert!(!answer.body.contains("zebra"));
    }
    scene.end().await;
}

#[tokio::test]
async fn a_body_of_more_than_128_kib_is_refused() {
    let scene = Scene::set(CALM).await;
    // Not a byte more than the bound allows to be read before the refusal, so nothing is reset.
    let body = "x".repeat(128 * 1024 + 1);
    let answer = scene.send("POST /api/orchestrate", &body).await;
    assert_eq!(answer.status, 413);
    scene.end().await;
}

#[tokio::test]
async fn a_repeated_look_up_hits_the_cache_and_other_modes_know_no_cache() {
    let scene = Scene::set(CALM).await;
    let first = scene.ask("same", "rag_query").await;
    assert_eq!(first.header("cache-status"), Some("orchestrator; fwd=miss"));
    assert_eq!(first.header("x-cache"), Some("MISS"));
    assert_eq!(first.json()["metadata"]["cached"], false);
    let second = scene.ask("same", "rag_query").await;
    assert_eq!(second.header("cache-status"), Some("orchestrator; hit"));
    assert_eq!(second.header("x-cache"), Some("HIT"));
    assert_eq!(second.json()["metadata"]["cached"], true);
    let streamed = scene.ask_for_events("same", "rag_query").await;
    assert_eq!(streamed.header("cache-status"), Some("orchestrator; hit"));
    let other = scene.ask("same", "query_manual").await;
    assert_eq!(other.header("cache-status"), None);
    scene.end().await;
}

#[tokio::test]
async fn failures_come_in_three_kinds_where_they_are_wanted() {
    let scene = Scene::set(ROUGH).await;
    let mut kinds = BTreeSet::new();
    for number in 0..400 {
        let answer = if number % 2 == 0 {
            scene.ask("q", "query_manual").await
        } else {
            scene.ask_for_events("q", "query_manual").await
        };
        if answer.status == 503 {
            assert!(answer.body.contains("too many connections"));
        }
        assert!(!answer.reset || answer.status == 200);
        if answer.reset && number % 2 == 0 {
            let announced: usize = answer.header("content-length").unwrap().parse().unwrap();
            assert!(answer.body.len() < announced);
        }
        kinds.insert((answer.status, answer.reset));
    }
    assert_eq!(kinds, BTreeSet::from([(200, false), (200, true), (500, false), (503, false)]));
    scene.end().await;
}

#[tokio::test]
async fn nothing_fails_where_no_failures_are_wanted() {
    let scene = Scene::set(CALM).await;
    for _ in 0..400 {
        let answer = scene.ask("q", "query_manual").await;
        assert_eq!((answer.status, answer.reset), (200, false));
    }
    scene.end().await;
}

#[tokio::test]
async fn the_paths_around_it_answer_too() {
    let scene = Scene::set(CALM).await;
    for (head, status) in [
        ("GET /", 200),
        ("GET /health", 200),
        ("HEAD /health", 200),
        ("GET /api/agents", 200),
        ("GET /api/agents/sleep", 200),
        ("GET /api/agents/nobody", 404),
        ("DELETE /api/agents/sleep", 405),
        ("POST /api/auth/login", 200),
        ("POST /api/auth/logout", 204),
        ("GET /api/orchestrate", 405),
        ("GET /nowhere", 404),
    ] {
        assert_eq!(scene.send(head, "").await.status, status, "{head}");
    }
    scene.end().await;
}

#[tokio::test]
async fn the_sums_of_the_traffic_add_up() {
    let scene = Scene::set(ROUGH).await;
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    running.spawn(traffic::run(scene.address, 1000, 1, stop.clone()));
    tokio::time::timeout(Duration::from_secs(1), running.join_next()).await.unwrap_err();
    stop.cancel();
    let totals = running.join_next().await.unwrap().unwrap();
    let answered: u64 = totals.statuses.values().sum();
    assert_eq!(totals.sent, answered + totals.left + totals.broken, "{totals:?}");
    for status in [200, 204, 400, 404, 500] {
        assert!(totals.statuses.contains_key(&status), "{status}: {totals:?}");
    }
    assert!(totals.left > 0 && totals.broken > 0, "{totals:?}");
    scene.end().await;
}

#[tokio::test]
async fn traffic_towards_nobody_ends_and_is_counted_as_broken() {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    running.spawn(traffic::run(target, 100, 1, stop.clone()));
    tokio::time::timeout(Duration::from_millis(300), running.join_next()).await.unwrap_err();
    stop.cancel();
    let totals = running.join_next().await.unwrap().unwrap();
    assert!(totals.sent > 0);
    assert_eq!(totals.broken, totals.sent);
}

#[tokio::test]
async fn a_stage_makes_its_pieces_and_ends_them() {
    let mut stage = Stage::set(&Options::default()).await.unwrap();
    let config: toml::Table = stage.config().parse().unwrap();
    let url = config["upstream"]["url"].as_str().unwrap();
    let upstream: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
    let directory = config["audit"]["directory"].as_str().unwrap().to_owned();
    assert!(Path::new(&directory).is_dir());
    // Without a sidecar in between, the traffic can go straight to the orchestrator.
    stage.open(upstream);
    let totals = stage.close().await;
    let answered: u64 = totals.statuses.values().sum();
    assert_eq!(totals.sent, answered + totals.left + totals.broken);
    stage.strike().await;
    assert!(TcpStream::connect(upstream).await.is_err());
    std::fs::remove_dir(&directory).unwrap();
    std::fs::remove_dir_all(Path::new(&directory).parent().unwrap()).unwrap();
}

#[tokio::test]
async fn behind_the_demos_sidecar_an_answer_gives_its_tokens_whole_or_streamed() {
    let scene = Scene::set(CALM).await;
    let port = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api/openapi.yaml");
    let text = demo::config(scene.address, port(8080), port(9901), Path::new("unused"), &document);
    let mut config = Config::from_toml(&text).unwrap();
    // Its audit needs a directory, and this is not about it.
    config.routes.iter_mut().for_each(|route| route.audit = None);
    let mut sidecar = sidecar::with(&config).await;

    let body = r#"{"query":"How much?","mode":"query_manual"}"#;
    let whole = sidecar.client().await.post("/api/orchestrate", body).await;
    let tokens = &whole.json()["metadata"]["tokens"];
    let found = |record: &Record, name: &str| match record.fact(name) {
        Some(Captured::Number(count)) => *count,
        other => panic!("{name} is {other:?}"),
    };
    let record = sidecar.record().await;
    assert_eq!(tokens["input"], found(&record, "gen_ai.usage.input_tokens"));
    assert_eq!(tokens["output"], found(&record, "gen_ai.usage.output_tokens"));

    let length = body.len();
    let mut client = sidecar.client().await;
    client
        .say(format!(
            "POST /api/orchestrate HTTP/1.1\r\nhost: a\r\naccept: text/event-stream\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await;
    client.answer().await;
    let streamed = sidecar.record().await;
    assert!(streamed.stream.as_ref().is_some_and(|stream| stream.events > 2));
    for name in ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"] {
        assert_eq!(found(&streamed, name), found(&record, name), "{name}");
    }
    scene.end().await;
}
