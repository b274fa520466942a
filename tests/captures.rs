//! Facts out of request bodies: what is read, what leaves, and that the body passes unchanged.

use std::time::Duration;

use serde_json::{Value as Json, json};
use vital_sidecar::record::{Outcome, Phase, Refusal, Value};

use crate::support::house::{self, config};
use crate::support::recorder::{Recorder, recording};
use crate::support::sidecar::{self, Sidecar};

/// The plan's own route and captures.
pub(crate) const ORCHESTRATE: &str = r#"
[captures."orchestration.mode"]
from = "request.body:/mode"
values = ["query_automatic", "rag_query"]
metric = true
[captures."orchestration.query_length"]
from = "request.body:/query"
take = "length"
[[routes]]
name = "orchestrate"
match = "POST /api/orchestrate"
span = "orchestration.execute"
captures = ["orchestration.mode", "orchestration.query_length"]
"#;

const PATH: &str = "/api/orchestrate";

async fn capturing(more: &str) -> (Recorder, Sidecar) {
    let recorder = recording().await;
    let text = format!("{more}{ORCHESTRATE}");
    let sidecar = sidecar::with(&config(recorder.upstream.address, &text)).await;
    (recorder, sidecar)
}

fn is_one(value: f64) -> bool {
    (value - 1.0).abs() < f64::EPSILON
}

#[tokio::test]
async fn a_listed_mode_is_named_and_any_other_is_other() {
    let (_recorder, mut sidecar) = capturing("").await;
    let mut client = sidecar.client().await;
    for (mode, expected) in [
        (json!("rag_query"), "rag_query"),
        (json!("secret-project"), "_other"),
        (json!(["rag_query"]), "_other"),
        (json!("RAG_QUERY"), "_other"),
    ] {
        assert_eq!(client.post(PATH, &json!({ "mode": mode }).to_string()).await.status, 200);
        let record = sidecar.record().await;
        let Some(Value::Member(found)) = record.fact("orchestration.mode") else {
            panic!("no mode for {mode}");
        };
        assert_eq!(&**found, expected);
    }
    for body in ["{}", r#"{"mode":null}"#] {
        client.post(PATH, body).await;
        assert!(sidecar.record().await.facts.is_empty(), "{body}");
    }
}

#[tokio::test]
async fn the_length_of_a_query_is_what_javascript_says() {
    let (_recorder, mut sidecar) = capturing("").await;
    let mut client = sidecar.client().await;
    for (body, expected) in [
        (r#"{"query":""}"#, 0),
        (r#"{"query":"plain"}"#, 5),
        ("{\"query\":\"é😀\"}", 3),
        (r#"{"query":"\ud83d\ude00\n"}"#, 3),
    ] {
        assert_eq!(client.post(PATH, body).await.status, 200);
        let record = sidecar.record().await;
        let Some(Value::Length(found)) = record.fact("orchestration.query_length") else {
            panic!("no length for {body}");
        };
        assert_eq!(*found, expected, "{body}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_is_forwarded_as_it_is_and_counted() {
    let (recorder, mut sidecar) = capturing("").await;
    let broken = r#"{"mode":"rag_query", oops"#;
    assert_eq!(sidecar.client().await.post(PATH, broken).await.status, 200);
    assert!(sidecar.record().await.facts.is_empty());
    assert_eq!(recorder.only().body, broken.as_bytes());
    assert!(is_one(sidecar.metric("sidecar_capture_unreadable_total")));
}

#[tokio::test]
async fn a_body_over_the_bound_streams_on_unread_and_unchanged() {
    let body: Vec<u8> =
        (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let by_length =
        format!("POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
    let by_chunks =
        format!("POST {PATH} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    for is_chunked in [false, true] {
        let (recorder, mut sidecar) = capturing("[inspect]\nmax_body = \"16KiB\"\n").await;
        let mut client = sidecar.client().await;
        client.say(if is_chunked { &by_chunks } else { &by_length }).await;
        if is_chunked {
            for chunk in body.chunks(7_777) {
                client.say(format!("{:x}\r\n", chunk.len())).await;
                client.say(chunk).await;
                client.say("\r\n").await;
            }
            client.say("0\r\n\r\n").await;
        } else {
            client.say(&body).await;
        }
        assert_eq!(client.answer().await.status, 200);
        assert!(recorder.only().body == body, "byte-identical, chunked: {is_chunked}");
        let record = sidecar.record().await;
        assert_eq!((record.facts.len(), record.bytes_in), (0, 200_000));
        assert!(is_one(sidecar.metric("sidecar_capture_unreadable_total")));
    }
}

#[tokio::test]
async fn a_chunked_body_in_pieces_is_read_like_a_whole_one() {
    let (recorder, mut sidecar) = capturing("").await;
    let mut client = sidecar.client().await;
    client
        .say(format!("POST {PATH} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"))
        .await;
    let body = r#"{"mode":"rag_query","query":"four"}"#;
    for piece in body.as_bytes().chunks(4) {
        client.say(format!("{:x}\r\n", piece.len())).await;
        client.say(piece).await;
        client.say("\r\n").await;
    }
    assert!(recorder.seen().is_empty(), "the body is read before anything is forwarded");
    client.say("0\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
    let record = sidecar.record().await;
    assert!(matches!(record.fact("orchestration.query_length"), Some(Value::Length(4))));
    assert!(record.fact("orchestration.mode").is_some());
    assert_eq!(recorder.only().body, body.as_bytes());
}

#[tokio::test]
async fn an_encoded_body_is_refused_where_it_would_be_read_and_nowhere_else() {
    let (recorder, mut sidecar) = capturing("").await;
    let encoded = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nxyz"
        )
    };
    let mut client = sidecar.client().await;
    client.say(encoded(PATH)).await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, &answer.json()["error_type"]),
        (415, &json!("unsupported_media_type"))
    );
    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Refused(Refusal::UnsupportedMediaType));

    let mut client = sidecar.client().await;
    client.say(encoded("/elsewhere")).await;
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(recorder.only().body, b"xyz");
}

#[tokio::test]
async fn a_client_that_leaves_inside_its_body_is_seen_and_nothing_is_forwarded() {
    let (recorder, mut sidecar) = capturing("").await;
    let mut client = sidecar.client().await;
    client.say(format!("POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\n{{")).await;
    drop(client);
    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Gone { phase: Phase::Inspect });
    assert_eq!(record.status, None);
    assert!(recorder.seen().is_empty());
}

#[tokio::test]
async fn a_client_that_stops_inside_its_body_is_refused_in_time() {
    let recorder = recording().await;
    let mut config = config(recorder.upstream.address, ORCHESTRATE);
    config.server.limits.body_idle_timeout = Duration::from_millis(50);
    let mut sidecar = sidecar::with(&config).await;
    let mut client = sidecar.client().await;
    client.say(format!("POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\n{{")).await;
    assert_eq!(client.answer().await.status, 408);
    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Refused(Refusal::RequestBodyTimeout));
    assert!(recorder.seen().is_empty());
}

#[tokio::test]
async fn memory_for_inspection_is_bounded_and_comes_back() {
    let bounds = "[inspect]\nmax_body = \"1KiB\"\nmax_memory = \"1KiB\"\n";
    let (_recorder, mut sidecar) = capturing(bounds).await;
    let mut holder = sidecar.client().await;
    holder.say(format!("POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 1024\r\n\r\n")).await;
    let proxy = std::sync::Arc::clone(&sidecar.proxy);
    crate::support::eventually("the memory is taken", || proxy.inspection().reserve(1).is_none())
        .await;

    let refused = sidecar.client().await.post(PATH, "{}").await;
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("1")));
    assert_eq!(sidecar.record().await.outcome, Outcome::Refused(Refusal::Overloaded));

    holder.say(vec![b' '; 1024]).await;
    assert_eq!(holder.answer().await.status, 200);
    assert_eq!(sidecar.client().await.post(PATH, "{}").await.status, 200);
}

#[tokio::test]
async fn the_numbers_the_line_and_the_audit_name_the_mode() {
    let recorder = recording().await;
    let directory = tempfile::tempdir().unwrap();
    let audited = ORCHESTRATE.replace("span =", "audit = \"ORCHESTRATION_REQUEST\"\nspan =");
    let mut config = config(recorder.upstream.address, &audited);
    config.audit.directory = directory.path().join("audit");
    config.audit.deadline = Duration::from_secs(10);
    let house = house::open(&config).await;
    let body = r#"{"mode":"rag_query","query":"12345"}"#;
    assert_eq!(house.client().await.post(PATH, body).await.status, 200);
    assert_eq!(house.client().await.post(PATH, r#"{"mode":"x"}"#).await.status, 200);

    let lines = house.exchanges(2).await;
    assert_eq!(lines[0]["orchestration.mode"], "rag_query");
    assert_eq!(lines[0]["orchestration.query_length"], 5);
    assert_eq!(lines[1]["orchestration.mode"], "_other");
    for (mode, expected) in [("rag_query", 1.0), ("_other", 1.0)] {
        let series = format!("orchestration_requests_total{{status=\"success\",mode=\"{mode}\"}}");
        assert!((house.metric(&series).await - expected).abs() < f64::EPSILON, "{mode}");
        let series = format!("orchestration_duration_milliseconds_count{{mode=\"{mode}\"}}");
        assert!((house.metric(&series).await - expected).abs() < f64::EPSILON, "{mode}");
    }
    let directory_kept = config.audit.directory.clone();
    assert!(house.close().await.is_clean());

    let segment = directory_kept.join(vital_sidecar::audit::segment_name(1));
    let trail: Vec<Json> = house::lines(&std::fs::read(segment).unwrap());
    assert_eq!(trail.len(), 4);
    for line in trail.iter().filter(|line| line["requestId"] == lines[0]["requestId"]) {
        assert_eq!((&line["mode"], &line["queryLength"]), (&json!("rag_query"), &json!(5)));
    }
    assert_eq!(trail.iter().filter(|line| line["mode"] == "_other").count(), 2);
}
