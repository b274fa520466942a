//! Marked texts in every place that a client or an upstream can write to, through every ending, and no
//! sink that shows one.
//!
//! But for what the contract names: the user agent in the log and in the audit, the path and the verified
//! user in the audit, and an id of a client that looks like a machine's. Those fields are taken out before the search,
//! and what is in them is judged on its own. The ids of a `traceparent` become the link of a span.
//!
//! A search that finds nothing proves little, so another test plants a leak in every sink.

mod callers;
mod certificates;
mod markers;
mod panicked;
mod receiver;
mod service;
mod sinks;
mod tokens;
mod traffic;

use std::sync::Arc;

use tokio::task::JoinSet;

use self::markers::{Markers, Shape};
use self::receiver::Receiver;
use self::sinks::Sinks;
use self::traffic::{Ask, End, Writer};
use crate::support::client::{Answer, Client};
use crate::support::eventually;
use crate::support::grpc_collector::GrpcCollector;
use crate::support::process::Process;
use crate::support::upstream::{self, Upstream};

/// A configuration with every sink and short deadlines.
fn everything(upstream: &str, receiver: &Receiver, more: &str) -> String {
    let receiver = receiver.address;
    let sinks = format!(
        r#"{more}
[service]
name = "canary-test"
environment = "test"
[server.limits]
body_idle_timeout = "1s"
max_request_body = "64KiB"
[server.drain]
delay = "0s"
[upstream]
url = "http://{upstream}"
timeouts = {{ idle = "1s", stream_idle = "1s" }}
pool = {{ queue_timeout = "10s" }}
[tracing]
propagators = ["tracecontext", "b3", "b3multi", "baggage"]
[genai]
enabled = true
[otlp]
endpoint = "http://{receiver}"
compression = "none"
[metrics]
push = true
interval = "1s"
[spool]
directory = "spool"
[log]
level = "debug"
console = "json"
directory = "logs"
[sentry]
dsn = "http://public@{receiver}/42"
[audit]
deadline = "10s"
"#
    );
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/canary/openapi.yaml");
    sinks + &format!("[openapi]\nfile = \"{document}\"\n") + ROUTES
}

/// A route for everything that a route can do, and a class for errors by their text.
const ROUTES: &str = r#"
[[errors.classify]]
type = "read_class"
body = "conversationId"
[captures."orchestration.mode"]
from = "request.body:/mode"
values = ["rag_query"]
metric = true
[captures."orchestration.query_length"]
from = "request.body:/query"
take = "length"
[captures."conversationId"]
from = "response.body:/conversationId"
values = ["known"]
[captures."error.length"]
from = "response.body:/error"
take = "length"
[captures."gen_ai.response.model"]
from = "response.body:/model"
values = ["a-model"]
[captures."gen_ai.usage.output_tokens"]
from = "response.body:/usage"
take = "number"
[captures."session.id"]
from = "request.body:/sessionId"
take = "hmac"
[captures."path.id"]
from = "path:id"
take = "hmac"
[captures."path.form"]
from = "path:id"
values = ["known"]
metric = true
[captures."answer.tag"]
from = "response.header:etag"
take = "hmac"
[captures."answer.place"]
from = "response.header:location"
values = ["known"]
metric = true
[rate_limits.once]
key = ["ip"]
rate = "1/day"
burst = 1
[rate_limits.by-key]
key = ["header:x-api-key", "route", "user", "tenant", "claim:/email", "capture:orchestration.mode"]
rate = "1/day"
burst = 1
mode = "shadow"
max_keys = 10
[[routes]]
match = "POST /api/orchestrate/{id}/{what}"
validation = "shadow"
span = "orchestration.execute"
audit = "ORCHESTRATION_REQUEST"
captures = [
    "orchestration.mode",
    "orchestration.query_length",
    "conversationId",
    "error.length",
    "gen_ai.response.model",
    "gen_ai.usage.output_tokens",
    "session.id",
    "path.id",
    "path.form",
    "answer.tag",
    "answer.place",
]
rate_limits = ["by-key"]
[[routes]]
match = "* /closed/{id}"
action = "deny"
audit = "DATA_ACCESS"
[[routes]]
match = "* /limited/{id}"
audit = "DATA_ACCESS"
rate_limits = ["once"]
[[routes]]
match = "* /slow/{id}/{what}"
timeouts.response_header = "100ms"
"#;

/// How the requests of a stranger end.
const ENDINGS: [&str; 18] = [
    "served",
    "read_class",
    "forbidden",
    "rate_limited",
    "_OTHER",
    "unsupported_media_type",
    "bad_request",
    "schema_violation",
    "uri_too_long",
    "header_too_large",
    "body_too_large",
    "request_body_timeout",
    "upstream_reset",
    "upstream_protocol",
    "response_header_timeout",
    "idle_timeout",
    "stream_idle_timeout",
    "client_abort",
];

#[tokio::test]
async fn nothing_that_a_stranger_or_the_upstream_wrote_comes_out_of_a_sink() {
    let (markers, receiver) = (Arc::<Markers>::default(), Receiver::start().await);
    let upstream = service::start(&markers).await;
    let timing = "[server]\nserver_timing = true";
    let text = everything(&upstream.address.to_string(), &receiver, timing);
    let process = Process::start(&text).await;
    // The bucket's one token.
    assert_eq!(process.client().await.get("/limited/first").await.status, 200);
    let writer = |shape| Writer { markers: Arc::clone(&markers), shape, is_believed: false };
    let mut sinks = Sinks::default();
    for shape in Shape::ALL {
        let writer = writer(shape);
        let asks = [writer.served(), writer.refused(), writer.malformed()].concat();
        converse(&process, &upstream, asks, &mut sinks).await;
        second(&process, &writer, &mut sinks).await;
        operators(&process, &writer, &mut sinks).await;
    }
    let late = Shape::ALL.into_iter().flat_map(|shape| writer(shape).late()).collect();
    converse(&process, &upstream, late, &mut sinks).await;
    gather(process, &receiver, &mut sinks).await;

    assert!(markers.count() > 10_000, "{} markers", markers.count());
    for ending in ENDINGS {
        assert!(sinks.endings.contains(ending), "nothing ended as {ending}: {:?}", sinks.endings);
    }
    let is_agent = |agent: &String| agent.contains("zebracanary");
    assert!(sinks.agents.iter().any(is_agent), "the log has agents: {:?}", sinks.agents);
    assert!(sinks.paths.iter().any(|path| markers.is_minted("path", path)), "the audit has paths");
    for fact in [
        "conversationId",
        "gen_ai.response.model",
        "orchestration.mode",
        "path.form",
        "answer.place",
    ] {
        let fact = format!("\"{fact}\":\"_other\"");
        assert!(sinks.has("console", &fact), "nothing was captured as {fact}");
    }
    for fact in ["session.id", "path.id", "answer.tag"] {
        assert!(sinks.has("console", &format!("\"{fact}\":\"")), "no pseudonym of {fact}");
    }
    assert!(!sinks.client_ids.is_empty(), "the log has ids of clients");
    for id in &sinks.client_ids {
        assert!(markers.is_minted("x-request-id", id), "{id} is an id");
        assert!([32, 36].contains(&id.len()) && !id.contains("zebra"), "{id} is a machine's");
    }
    assert_clean(&markers, &sinks);
}

#[tokio::test]
async fn nothing_that_a_trusted_proxy_passes_on_comes_out_of_a_sink() {
    let (markers, receiver) = (Arc::<Markers>::default(), Receiver::start().await);
    let upstream = service::start(&markers).await;
    let trust = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let process =
        Process::start(&everything(&upstream.address.to_string(), &receiver, trust)).await;
    assert_eq!(process.client().await.get("/limited/first").await.status, 200);
    let mut sinks = Sinks::default();
    for shape in [Shape::Word, Shape::Uuid, Shape::Mail] {
        let writer = Writer { markers: Arc::clone(&markers), shape, is_believed: true };
        let asks = [writer.served(), writer.refused(), writer.malformed()].concat();
        converse(&process, &upstream, asks, &mut sinks).await;
    }
    gather(process, &receiver, &mut sinks).await;
    assert_clean(&markers, &sinks);
}

#[tokio::test]
async fn nothing_comes_out_where_the_upstream_is_gone_and_where_the_house_is_full() {
    let markers = Arc::<Markers>::default();
    let writer = |shape| Writer { markers: Arc::clone(&markers), shape, is_believed: false };
    let mut sinks = Sinks::default();

    let receiver = Receiver::start().await;
    let upstream = service::start(&markers).await;
    let nobody = upstream::nobody().await.to_string();
    let process = Process::start(&everything(&nobody, &receiver, "")).await;
    for (index, shape) in Shape::ALL.into_iter().enumerate() {
        // After five refused connections the breaker answers in the upstream's place.
        let end = End::Status(if index < 5 { 502 } else { 503 });
        let ask = Ask { end, ..writer(shape).served().swap_remove(index % 2) };
        ask_once(process.client().await, ask, &upstream, &mut sinks).await;
    }
    gather(process, &receiver, &mut sinks).await;

    let receiver = Receiver::start().await;
    let full = "[overload]\nmax_in_flight = 1\nmax_streams = 0\nqueue_timeout = \"0s\"";
    let text = everything(&upstream.address.to_string(), &receiver, full)
        .replace("idle = \"1s\"", "idle = \"30s\"");
    let process = Process::start(&text).await;
    let mut first = process.client().await;
    first.say("GET /first/stall HTTP/1.1\r\nhost: a\r\n\r\n").await;
    first.until(b"\r\n\r\n").await;
    for shape in Shape::ALL {
        for ask in writer(shape).served() {
            let ask = Ask { end: End::Status(503), ..ask };
            if ask.about.starts_with("fine") {
                ask_once(process.client().await, ask, &upstream, &mut sinks).await;
            }
        }
    }
    drop(first);
    gather(process, &receiver, &mut sinks).await;

    for ending in ["upstream_connect", "circuit_open", "overloaded"] {
        assert!(sinks.endings.contains(ending), "nothing ended as {ending}: {:?}", sinks.endings);
    }
    assert_clean(&markers, &sinks);
}

#[tokio::test]
async fn nothing_comes_out_of_what_waits_on_disk_for_a_collector_that_refuses() {
    let (markers, receiver) = (Arc::<Markers>::default(), Receiver::start().await);
    receiver.refuse();
    let upstream = service::start(&markers).await;
    let process = Process::start(&everything(&upstream.address.to_string(), &receiver, "")).await;
    let mut sinks = Sinks::default();
    for shape in Shape::ALL {
        let writer = Writer { markers: Arc::clone(&markers), shape, is_believed: false };
        converse(&process, &upstream, writer.served(), &mut sinks).await;
    }
    gather(process, &receiver, &mut sinks).await;
    let spooled = sinks.stacks.iter().filter(|stack| stack.name == "spool");
    let spooled: usize = spooled.map(|stack| stack.bytes.len()).sum();
    assert!(spooled > 50_000, "only {spooled} bytes waited on disk");
    assert_clean(&markers, &sinks);
}

#[tokio::test]
async fn nothing_comes_out_towards_a_collector_that_is_spoken_to_by_grpc() {
    let (markers, receiver) = (Arc::<Markers>::default(), Receiver::start().await);
    let collector = GrpcCollector::start().await;
    let upstream = service::start(&markers).await;
    let from = format!("endpoint = \"http://{}\"", receiver.address);
    let to = format!("endpoint = \"http://{}\"\nprotocol = \"grpc\"", collector.address);
    let text = everything(&upstream.address.to_string(), &receiver, "").replace(&from, &to);
    let process = Process::start(&text).await;
    let mut sinks = Sinks::default();
    for shape in Shape::ALL {
        let writer = Writer { markers: Arc::clone(&markers), shape, is_believed: false };
        converse(&process, &upstream, writer.served(), &mut sinks).await;
    }
    gather(process, &receiver, &mut sinks).await;
    for service in ["TraceService", "MetricsService"] {
        let seen = collector.seen().into_iter().filter(|seen| seen.uri.contains(service));
        let bytes: Vec<u8> = seen
            .flat_map(|seen| [format!("{:?}", seen.headers).into_bytes(), seen.message].concat())
            .collect();
        assert!(bytes.len() > 10_000, "only {} bytes for the {service}", bytes.len());
        sinks.take(service, bytes);
    }
    let seen = collector.seen().into_iter().filter(|seen| seen.uri.contains("LogsService"));
    for seen in seen {
        sinks.take_log_records("LogsService", &seen.message);
    }
    assert!(sinks.has("LogsService", "Request completed"), "log records came by gRPC");
    assert_clean(&markers, &sinks);
}

#[tokio::test]
async fn the_ids_of_a_traceparent_come_out_as_the_link_of_a_span_and_nowhere_else() {
    let (markers, receiver) = (Arc::<Markers>::default(), Receiver::start().await);
    let upstream = service::start(&Arc::default()).await;
    let process = Process::start(&everything(&upstream.address.to_string(), &receiver, "")).await;
    let trace = markers.mint("traceparent", Shape::Hex);
    let mut client = process.client().await;
    client
        .say(format!(
            "GET /a/fine HTTP/1.1\r\nhost: a\r\ntraceparent: 00-{trace}-b7ad6b7169203331-01\r\n\r\n"
        ))
        .await;
    assert_eq!(client.answer().await.status, 200);
    let mut sinks = Sinks::default();
    gather(process, &receiver, &mut sinks).await;
    let leaks = markers.leaks(&sinks.stacks);
    assert_eq!(leaks.len(), 1, "{leaks:#?}");
    assert!(leaks[0].starts_with("spans:"), "{leaks:#?}");
}

/// The search must be able to fail: what the configuration names does come out, everywhere.
#[tokio::test]
async fn a_planted_leak_is_found_in_every_sink() {
    let (markers, receiver) = (Arc::<Markers>::default(), Receiver::start().await);
    let upstream = service::start(&Arc::default()).await;
    let [name, rule, api, closed, slow] =
        [(); 5].map(|()| markers.mint("the configuration", Shape::Word));
    // What is not taken stays in the spool, and has been seen all the same.
    receiver.refuse();
    let text = everything(&upstream.address.to_string(), &receiver, "")
        .replace("canary-test", &name)
        .replace("once", &rule)
        .replace("/api/", &format!("/{api}/"))
        .replace("/closed/", &format!("/{closed}/"))
        .replace("/slow/", &format!("/{slow}/"));
    let process = Process::start(&text).await;
    let mut sinks = Sinks::default();
    let mut client = process.client().await;
    assert_eq!(client.post(&format!("/{api}/orchestrate/1/fine"), "{}").await.status, 200);
    assert_eq!(client.get(&format!("/{closed}/1")).await.status, 403);
    assert_eq!(client.get(&format!("/{slow}/1/slow")).await.status, 504);
    let mut client = process.client().await;
    assert_eq!(client.get("/limited/1").await.status, 200);
    let limited = client.get("/limited/2").await;
    assert_eq!(limited.status, 429);
    note(&limited, &mut sinks);
    gather(process, &receiver, &mut sinks).await;

    let leaks = markers.leaks(&sinks.stacks);
    let segment = sinks.stacks.iter().find(|stack| stack.name.starts_with("audit-"));
    for name in [
        "console",
        "diagnostics",
        "combined.log",
        "error.log",
        "spans",
        "spans, decoded",
        "log records",
        "log records, decoded",
        "points",
        "points, decoded",
        "spool",
        "events",
        "metrics, text",
        "metrics, OpenMetrics",
        "metrics, protobuf",
        "status",
        "own answers",
        &segment.expect("a segment of the audit").name,
    ] {
        let is_found = leaks.iter().any(|leak| leak.starts_with(&format!("{name}: ")));
        assert!(is_found, "no leak was found in {name}: {leaks:#?}");
    }
}

/// Has all these conversations at once.
async fn converse(process: &Process, upstream: &Arc<Upstream>, asks: Vec<Ask>, sinks: &mut Sinks) {
    let mut talking = JoinSet::new();
    for ask in asks {
        let (client, upstream) = (process.client().await, Arc::clone(upstream));
        talking.spawn(async move {
            let mut sinks = Sinks::default();
            ask_once(client, ask, &upstream, &mut sinks).await;
            sinks
        });
    }
    while let Some(told) = talking.join_next().await {
        let told = told.expect("a conversation");
        sinks.stacks.extend(told.stacks);
        sinks.ids.extend(told.ids);
    }
}

async fn ask_once(mut client: Client, ask: Ask, upstream: &Upstream, sinks: &mut Sinks) {
    client.say(&ask.bytes).await;
    match ask.end {
        End::Status(status) => {
            let answer = client.answer().await;
            assert_eq!(answer.status, status, "{}: {}", ask.about, answer.head);
            note(&answer, sinks);
        }
        End::LeaveUnanswered(mark) => {
            eventually("the upstream is asked", || upstream.has_seen(&mark)).await;
        }
        End::LeaveAfter(bytes) => drop(client.until(bytes.as_bytes()).await),
    }
}

/// Keeps what the sidecar itself answered.
fn note(answer: &Answer, sinks: &mut Sinks) {
    sinks.ids.extend(answer.field("x-request-id").map(str::to_owned));
    let is_own = answer
        .field("content-type")
        .is_some_and(|kind| kind == "application/problem+json" || kind.starts_with("text/html"));
    if is_own {
        sinks.take("own answers", &*answer.body);
    }
}

/// The same over HTTP/2.
async fn second(process: &Process, writer: &Writer, sinks: &mut Sinks) {
    let client = crate::support::h2::Client::connect(process.data).await;
    for (what, status) in [("fine", 200), ("broken", 500), ("reset", 502)] {
        let target = writer.known(what);
        let mut request = http::Request::post(format!("http://a.example{target}"));
        for (name, value) in writer.fields().lines().filter_map(|line| line.split_once(": ")) {
            if !["host", "connection"].contains(&name) {
                request = request.header(name, value);
            }
        }
        let answer = client.send(request.body(()).expect("a request")).await.expect("an answer");
        assert_eq!(answer.status(), status, "{what} over HTTP/2");
        if answer.field("content-type") == Some("application/problem+json") {
            sinks.take("own answers", answer.body);
        }
    }
    drop(client);
}

/// What a stranger says at the operators' door.
async fn operators(process: &Process, writer: &Writer, sinks: &mut Sinks) {
    for target in [writer.known("fine"), format!("/metrics?{}", writer.query())] {
        let mut client = Client::connect(process.admin).await;
        client.say(format!("GET {target} HTTP/1.1\r\n{}\r\n", writer.fields())).await;
        sinks.take("own answers", client.answer().await.body);
    }
}

/// Asks every page, ends the sidecar, and takes in all it left.
async fn gather(process: Process, receiver: &Receiver, sinks: &mut Sinks) {
    let protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily";
    for (name, path, accept) in [
        ("metrics, text", "/metrics", "text/plain"),
        ("metrics, OpenMetrics", "/metrics", "application/openmetrics-text; version=1.0.0"),
        ("metrics, protobuf", "/metrics", protobuf),
        ("status", "/status", "*/*"),
        ("readiness", "/readyz", "*/*"),
    ] {
        let mut client = Client::connect(process.admin).await;
        client
            .say(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\n\r\n"))
            .await;
        let answer = client.answer().await;
        sinks.take(name, [answer.head.as_bytes(), &answer.body].concat());
    }
    explain(&process, sinks).await;
    process.signal("TERM").await;
    let remains = process.remains().await;
    assert_eq!(remains.code, Some(0), "{}", remains.stderr);
    if !remains.stderr.contains(" in the spool)") {
        remains.assert_balanced();
    }
    sinks.take_log("console", &remains.stdout);
    sinks.take("diagnostics", &*remains.stderr);
    sinks.take_files(remains.directory.path());
    sinks.stacks.extend(receiver.haystacks("spans", "/v1/traces"));
    for (head, body) in receiver.bodies("/v1/logs") {
        sinks.take("log records, heads", head);
        sinks.take_log_records("log records", &body);
    }
    sinks.stacks.extend(receiver.haystacks("points", "/v1/metrics"));
    sinks.stacks.extend(receiver.haystacks("events", "/api/42/envelope/").into_iter().take(1));
}

/// Takes in what the sidecar says of the last exchanges. An id is the sidecar's own, or that of a proxy
/// that is believed.
async fn explain(process: &Process, sinks: &mut Sinks) {
    for id in std::mem::take(&mut sinks.ids) {
        let answer = process.ask(&format!("/explain/{id}")).await;
        if answer.status == 200 {
            sinks.take("explained", String::from_utf8_lossy(&answer.body).replace(&id, ""));
        }
    }
}

fn assert_clean(markers: &Markers, sinks: &Sinks) {
    let bytes: usize = sinks.stacks.iter().map(|stack| stack.bytes.len()).sum();
    assert!(bytes > 100_000, "only {bytes} bytes were searched");
    let leaks = markers.leaks(&sinks.stacks);
    let few: Vec<_> = leaks.iter().take(20).collect();
    assert!(leaks.is_empty(), "{} leaks, such as {few:#?}", leaks.len());
}
