//! Facts out of answers: what is read, what is not, and that the answer passes unchanged.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::{Mutex, mpsc};
use vital_sidecar::record::{Outcome, Phase, Record, Value};

use crate::support::client::Answer;
use crate::support::eventually;
use crate::support::house::{self, config};
use crate::support::sidecar::{self, Sidecar};
use crate::support::upstream::{self, Upstream, Wire};

/// A route that takes a value, a length and two counts from its answers.
const ASK: &str = r#"
[captures."answer.kind"]
from = "response.body:/kind"
values = ["short", "long"]
[captures."answer.length"]
from = "response.body:/text"
take = "length"
[captures."tokens.in"]
from = "response.body:/usage/input"
take = "number"
[captures."tokens.out"]
from = "response.body:/usage/output"
take = "number"
[[routes]]
match = "* /ask"
captures = ["answer.kind", "answer.length", "tokens.in", "tokens.out"]
"#;

const WHOLE: &str =
    r#"{"kind":"short","text":"four","usage":{"input":12,"output":34},"more":[1,{"a":null}]}"#;
const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

async fn reading(upstream: &Upstream, more: &str) -> Sidecar {
    sidecar::with(&config(upstream.address, &format!("{more}{ASK}"))).await
}

/// An answer with this body and these further fields.
fn answer(fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\n{fields}content-length: {length}\r\n\r\n{body}")
}

const JSON: &str = "content-type: application/json\r\n";

/// The facts as `name=value`.
fn facts(record: &Record) -> Vec<String> {
    let show = |value: &Value| match value {
        Value::Member(member) => member.to_string(),
        Value::Length(count) | Value::Number(count) => count.to_string(),
        Value::Pseudonym(name) => name.to_string(),
    };
    record.facts.iter().map(|fact| format!("{}={}", fact.name, show(&fact.value))).collect()
}

const ALL: [&str; 4] = ["answer.kind=short", "answer.length=4", "tokens.in=12", "tokens.out=34"];

fn unreadable(sidecar: &Sidecar) -> f64 {
    sidecar.metric("sidecar_capture_unreadable_total")
}

#[track_caller]
fn assert_is(value: f64, expected: f64) {
    assert!((value - expected).abs() < f64::EPSILON, "{value} is not {expected}");
}

async fn ask(sidecar: &Sidecar) -> Answer {
    sidecar.client().await.get("/ask").await
}

#[tokio::test]
async fn the_facts_of_a_document_leave_and_the_document_passes_unchanged() {
    for fields in [JSON, "content-type: application/vnd.a+json; charset=utf-8\r\n", ""] {
        let upstream = upstream::answering(answer(fields, WHOLE)).await;
        let mut sidecar = reading(&upstream, "").await;
        assert_eq!(ask(&sidecar).await.body, WHOLE.as_bytes());
        assert_eq!(facts(&*sidecar.record().await), ALL, "{fields}");
        assert_is(unreadable(&sidecar), 0.0);
        assert_eq!(sidecar.proxy.inspection().reserved(), 0);
    }
}

#[tokio::test]
async fn what_is_missing_or_of_another_kind_gives_no_fact_and_no_text_ever_leaves() {
    for (body, expected) in [
        ("{}", &[][..]),
        (
            r#"{"kind":"secret","text":7,"usage":{"input":"12","output":1.5}}"#,
            &["answer.kind=_other"],
        ),
        (r#"{"usage":{"input":-1,"output":0}}"#, &["tokens.out=0"]),
        (r#"{"kind":null,"usage":null}"#, &[]),
    ] {
        let upstream = upstream::answering(answer(JSON, body)).await;
        let mut sidecar = reading(&upstream, "").await;
        assert_eq!(ask(&sidecar).await.body, body.as_bytes());
        assert_eq!(facts(&*sidecar.record().await), expected, "{body}");
        assert_is(unreadable(&sidecar), 0.0);
    }
}

#[tokio::test]
async fn a_document_in_pieces_is_read_like_a_whole_one() {
    for size in [1, 7, 50] {
        let upstream = upstream::scripted(move |mut wire: Wire| async move {
            while wire.head().await.is_some() {
                wire.say(format!("HTTP/1.1 200 OK\r\n{JSON}transfer-encoding: chunked\r\n\r\n"))
                    .await;
                for piece in WHOLE.as_bytes().chunks(size) {
                    wire.say(format!("{:x}\r\n", piece.len())).await;
                    wire.say(piece).await;
                    wire.say("\r\n").await;
                }
                wire.say("0\r\n\r\n").await;
            }
        })
        .await;
        let mut sidecar = reading(&upstream, "").await;
        assert_eq!(ask(&sidecar).await.body, WHOLE.as_bytes());
        assert_eq!(facts(&*sidecar.record().await), ALL, "{size}");
        assert_eq!(sidecar.proxy.inspection().reserved(), 0);
    }
}

#[tokio::test]
async fn the_upstream_is_asked_for_a_body_in_the_clear_only_where_it_is_read() {
    let upstream = upstream::answering(answer(JSON, WHOLE)).await;
    let sidecar = reading(&upstream, "").await;
    for path in ["/ask", "/elsewhere"] {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip, br\r\n\r\n");
        let mut client = sidecar.client().await;
        client.say(request).await;
        assert_eq!(client.answer().await.status, 200);
    }
    let heads = upstream.heads().map_lower();
    assert!(heads[0].contains("\r\naccept-encoding: identity\r\n") && !heads[0].contains("gzip"));
    assert!(heads[1].contains("\r\naccept-encoding: gzip, br\r\n"));
}

/// Heads in lower case.
trait Lower {
    fn map_lower(self) -> Vec<String>;
}

impl Lower for Vec<String> {
    fn map_lower(self) -> Vec<String> {
        self.into_iter().map(|head| head.to_ascii_lowercase()).collect()
    }
}

#[tokio::test]
async fn what_cannot_be_read_passes_unchanged_and_is_counted() {
    let long = format!(r#"{{"kind":"short","pad":"{}"}}"#, "x".repeat(2000));
    let chunk = format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    let chunked = format!("HTTP/1.1 200 OK\r\n{JSON}transfer-encoding: chunked\r\n\r\n{chunk}");
    for (answer, body) in [
        (answer(&format!("{JSON}content-encoding: gzip\r\n"), WHOLE), WHOLE),
        (answer(JSON, &long), &long),
        (chunked, &long),
        (answer(JSON, r#"{"kind":"short", oops"#), r#"{"kind":"short", oops"#),
        (answer("content-type: text/html\r\n", "<p>"), "<p>"),
        (answer("content-type: application/x-ndjson\r\n", "{}\n"), "{}\n"),
    ] {
        let upstream = upstream::answering(answer.clone()).await;
        let mut sidecar = reading(&upstream, "[inspect]\nmax_body = \"1KiB\"\n").await;
        assert_eq!(ask(&sidecar).await.body, body.as_bytes());
        let record = sidecar.record().await;
        assert_eq!((record.outcome, record.bytes_out), (Outcome::Served, body.len() as u64));
        assert!(record.facts.is_empty(), "{answer}");
        assert_is(unreadable(&sidecar), 1.0);
        assert_eq!(sidecar.proxy.inspection().reserved(), 0);
    }
}

#[tokio::test]
async fn an_answer_without_a_body_has_nothing_to_read() {
    for (method, answer) in [
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
        ("HEAD", answer(JSON, "")),
        ("GET", answer(JSON, "")),
    ] {
        let upstream = upstream::answering(answer).await;
        let mut sidecar = reading(&upstream, "").await;
        let mut client = sidecar.client().await;
        client.say(format!("{method} /ask HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        client.head_only().await;
        assert!(sidecar.record().await.facts.is_empty());
        assert_is(unreadable(&sidecar), 0.0);
    }
}

#[tokio::test]
async fn a_document_that_breaks_off_holds_no_facts() {
    let upstream = upstream::answering_once(format!(
        "HTTP/1.1 200 OK\r\n{JSON}content-length: 500\r\n\r\n{WHOLE}"
    ))
    .await;
    let mut sidecar = reading(&upstream, "").await;
    ask(&sidecar).await;
    assert!(sidecar.record().await.facts.is_empty());
    assert_eq!(sidecar.proxy.inspection().reserved(), 0);
}

#[tokio::test]
async fn of_a_stream_the_last_event_that_has_a_place_counts() {
    let stream = "\
        event: start\ndata: {\"usage\":{\"input\":1,\"output\":2},\n\
        data: \"kind\":\"long\"}\n\n\
        : note\n\n\
        data: {\"text\":\"four\"}\n\n\
        data: {\"kind\":\"short\",\"usage\":{\"input\":12}}\n\n\
        data: {\"us\\u0061ge\":{\"output\":34}}\n\n\
        data: [DONE]\n\n\
        data: {\"usage\":{\"output\":99}}\n";
    let upstream = upstream::answering_once(format!("{EVENTS}{stream}")).await;
    let mut sidecar = reading(&upstream, "").await;
    assert_eq!(ask(&sidecar).await.body, stream.as_bytes());
    let record = sidecar.record().await;
    assert_eq!(facts(&record), ALL, "the last event is not whole");
    assert_eq!(record.stream.as_ref().map(|stream| stream.events), Some(5));
    assert_is(unreadable(&sidecar), 0.0);
    assert_eq!(sidecar.proxy.inspection().reserved(), 0);
}

#[tokio::test]
async fn events_are_read_while_each_arrives_before_the_next_is_sent_and_though_the_client_leaves() {
    let (go, went) = mpsc::channel::<()>(1);
    let went = Arc::new(Mutex::new(went));
    let upstream = upstream::scripted(move |mut wire: Wire| {
        let went = Arc::clone(&went);
        async move {
            wire.head().await;
            wire.say(EVENTS).await;
            for n in 1..=3 {
                wire.say(format!("data: {{\"usage\":{{\"input\":{n}}}}}\n\n")).await;
                went.lock().await.recv().await;
            }
            wire.closed().await;
        }
    })
    .await;
    let mut sidecar = reading(&upstream, "").await;
    let mut client = sidecar.client().await;
    client.say("GET /ask HTTP/1.1\r\nhost: a\r\n\r\n").await;
    for n in 1..=3 {
        client.until(format!("{n}}}}}\n\n").as_bytes()).await;
        assert!(sidecar.proxy.inspection().reserved() > 0);
        go.send(()).await.expect("an upstream that waits");
    }
    drop(client);
    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Gone { phase: Phase::Response });
    assert_eq!(facts(&record), ["tokens.in=3"]);
    let proxy = Arc::clone(&sidecar.proxy);
    eventually("the memory is back", || proxy.inspection().reserved() == 0).await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_makes_what_came_before_it_unknown() {
    let long = "x".repeat(2000);
    let first = "data: {\"usage\":{\"input\":1,\"output\":2}}\n\n";
    let last = "data: {\"usage\":{\"input\":12}}\n\n";
    for unreadable_event in
        [format!("data: {long}\n\n"), "data: {\"usage\":{\"output\": oops\n\n".to_owned()]
    {
        let stream = format!("{first}{unreadable_event}{unreadable_event}{last}");
        let upstream = upstream::answering_once(format!("{EVENTS}{stream}")).await;
        let mut sidecar = reading(&upstream, "[inspect]\nmax_body = \"1KiB\"\n").await;
        assert_eq!(ask(&sidecar).await.body, stream.as_bytes());
        assert_eq!(facts(&*sidecar.record().await), ["tokens.in=12"]);
        assert_is(unreadable(&sidecar), 1.0);
    }
}

#[tokio::test]
async fn lines_that_hold_no_data_take_no_fact_away_however_long_they_are() {
    let long = "x".repeat(4000);
    let usage = "data: {\"usage\":{\"input\":12}}\n";
    for line in [":", "id:", "event:", "retry:", "datum:"] {
        for stream in [
            format!("{usage}\n{line} {long}\n\n"),
            format!("{line} {long}\n{usage}\n"),
            format!("{usage}{line} {long}\n\ndata: {{\"usage\":{{\"output\":34}}}}\n\n"),
        ] {
            let upstream = upstream::answering_once(format!("{EVENTS}{stream}")).await;
            let mut sidecar = reading(&upstream, "[inspect]\nmax_body = \"1KiB\"\n").await;
            assert_eq!(ask(&sidecar).await.body, stream.as_bytes());
            let facts = facts(&*sidecar.record().await);
            assert_eq!(facts.first().map(String::as_str), Some("tokens.in=12"), "{line}");
            assert_is(unreadable(&sidecar), 0.0);
            assert_eq!(sidecar.proxy.inspection().reserved(), 0);
        }
    }
}

#[tokio::test]
async fn a_number_too_large_to_be_told_to_the_unit_is_no_fact() {
    for number in ["18446744073709551615", "18446744073709551616", "1e30", "9007199254740993.0"] {
        let body = format!("{{\"usage\":{{\"input\":{number},\"output\":9007199254740993}}}}");
        let stream = format!("{EVENTS}data: {body}\n\n");
        let streamed = upstream::answering_once(stream).await;
        let whole = upstream::answering(answer(JSON, &body)).await;
        for upstream in [streamed, whole] {
            let mut sidecar = reading(&upstream, "").await;
            ask(&sidecar).await;
            let record = sidecar.record().await;
            assert_eq!(facts(&record), ["tokens.out=9007199254740993"], "{number}");
        }
    }
}

#[tokio::test]
async fn where_no_memory_is_left_answers_pass_unread() {
    let bounds = "[inspect]\nmax_body = \"2KiB\"\nmax_memory = \"2KiB\"\n";
    for answer in
        [answer(JSON, WHOLE), answer("content-type: text/event-stream\r\n", "data: 1\n\n")]
    {
        let upstream = upstream::answering(answer.clone()).await;
        let mut sidecar = reading(&upstream, bounds).await;
        let all = sidecar.proxy.inspection().reserve(2048).expect("all of it");
        assert!(answer.as_bytes().ends_with(&ask(&sidecar).await.body));
        assert!(sidecar.record().await.facts.is_empty());
        assert_is(unreadable(&sidecar), 1.0);
        drop(all);
        assert_eq!(ask(&sidecar).await.status, 200);
        assert_is(unreadable(&sidecar), 1.0);
    }
}

#[tokio::test]
async fn a_stream_gives_back_the_memory_of_an_event_that_has_passed() {
    let bounds = "[inspect]\nmax_body = \"8KiB\"\nmax_memory = \"8KiB\"\n";
    let upstream = upstream::scripted(|mut wire: Wire| async move {
        wire.head().await;
        wire.say(EVENTS).await;
        wire.say(format!("data: {{\"x\":\"{}\"}}\n\n", "x".repeat(5000))).await;
        wire.head().await; // Until its client leaves.
    })
    .await;
    let sidecar = reading(&upstream, bounds).await;
    let mut client = sidecar.client().await;
    client.say("GET /ask HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.until(b"x\"}\n\n").await;
    assert!(sidecar.proxy.inspection().reserved() <= 1024, "the stream is still there");
}

#[tokio::test]
async fn the_line_has_the_facts_of_request_and_answer() {
    let upstream = upstream::answering(answer(JSON, WHOLE)).await;
    let both = ASK.replace("captures = [", "captures = [\"mode\", ");
    let request = "[captures.mode]\nfrom = \"request.body:/mode\"\nvalues = [\"a\"]\n";
    let house = house::open(&config(upstream.address, &format!("{request}{both}"))).await;
    assert_eq!(house.client().await.post("/ask", r#"{"mode":"a"}"#).await.status, 200);
    let line = &house.lines(1).await[0];
    for (name, expected) in [
        ("mode", json!("a")),
        ("answer.kind", json!("short")),
        ("answer.length", json!(4)),
        ("tokens.in", json!(12)),
        ("tokens.out", json!(34)),
    ] {
        assert_eq!(line[name], expected, "{line}");
    }
    assert!(house.close().await.is_clean());
}
