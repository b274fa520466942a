//! What the tests have in common: the conversations, what is gathered after them, and the search.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::everything::KEY;
use super::markers::Markers;
use super::receiver::Receiver;
use super::sinks::Sinks;
use super::traffic::{Ask, End, Writer};
use crate::support::client::{Answer, Client};
use crate::support::eventually;
use crate::support::process::Process;
use crate::support::upstream::Upstream;

/// Has all these conversations at once.
pub(super) async fn converse(
    process: &Process,
    upstream: &Arc<Upstream>,
    asks: Vec<Ask>,
    sinks: &mut Sinks,
) {
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

pub(super) async fn ask_once(mut client: Client, ask: Ask, upstream: &Upstream, sinks: &mut Sinks) {
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
pub(super) fn note(answer: &Answer, sinks: &mut Sinks) {
    sinks.ids.extend(answer.field("x-request-id").map(str::to_owned));
    let is_own = answer
        .field("content-type")
        .is_some_and(|kind| kind == "application/problem+json" || kind.starts_with("text/html"));
    if is_own {
        sinks.take("own answers", &*answer.body);
    }
}

/// The same over HTTP/2.
pub(super) async fn second(process: &Process, writer: &Writer, sinks: &mut Sinks) {
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
pub(super) async fn operators(process: &Process, writer: &Writer, sinks: &mut Sinks) {
    for target in [writer.known("fine"), format!("/metrics?{}", writer.query())] {
        let mut client = Client::connect(process.admin).await;
        client.say(format!("GET {target} HTTP/1.1\r\n{}\r\n", writer.fields())).await;
        sinks.take("own answers", client.answer().await.body);
    }
}

/// Asks every page, ends the sidecar, and takes in all it left.
pub(super) async fn gather(process: Process, receiver: &Receiver, sinks: &mut Sinks) {
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
    for (head, body) in receiver.bodies("/api/v2/logs") {
        // The one place where the key belongs.
        assert!(head.contains("dd-api-key"), "{head}");
        sinks.take("entries, heads", head.replace(KEY.trim_end(), ""));
        sinks.take_entries("entries", &body);
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

pub(super) fn assert_clean(markers: &Markers, sinks: &Sinks) {
    for stack in &sinks.stacks {
        let found = memchr::memmem::find(&stack.bytes, KEY.trim_end().as_bytes());
        assert!(found.is_none(), "the key of the intake is in {}", stack.name);
    }
    let bytes: usize = sinks.stacks.iter().map(|stack| stack.bytes.len()).sum();
    assert!(bytes > 100_000, "only {bytes} bytes were searched");
    let leaks = markers.leaks(&sinks.stacks);
    let few: Vec<_> = leaks.iter().take(20).collect();
    assert!(leaks.is_empty(), "{} leaks, such as {few:#?}", leaks.len());
}
