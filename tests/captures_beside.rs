//! Facts that stand beside bodies, and pseudonyms: what leaves, where it can be used, and what stays.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value as Json;
use vital_sidecar::record::{Fact, PseudonymKey, Value};

use crate::support::house::{self, config};
use crate::support::recorder::recording;
use crate::support::sidecar;
use crate::support::upstream::{self, Upstream};

const REPORTS: &str = r#"
[captures."report.id"]
from = "path:id"
take = "hmac"
[captures."report.form"]
from = "path:form"
values = ["pdf", "plain text"]
metric = true
[captures."session.id"]
from = "request.body:/sessionId"
take = "hmac"
[captures."answer.model"]
from = "response.header:X-Model"
values = ["small", "large"]
metric = true
[captures."answer.note"]
from = "response.header:x-note"
take = "length"
[captures."answer.count"]
from = "response.header:x-count"
take = "number"
[[routes]]
match = "* /reports/{id}/{form}"
audit = "DATA_ACCESS"
captures = ["report.id", "report.form", "session.id", "answer.model", "answer.note", "answer.count"]
"#;

fn unaudited() -> String {
    REPORTS.replace("audit = \"DATA_ACCESS\"\n", "")
}

/// Answers every request with these fields, each once.
async fn answering(fields: &'static [&'static str]) -> Upstream {
    let left = Arc::new(Mutex::new(fields.iter()));
    upstream::scripted(move |mut wire| {
        let left = Arc::clone(&left);
        async move {
            while let Some(head) = wire.head().await {
                wire.body(upstream::content_length(&head)).await;
                let fields = left.lock().next().copied().unwrap_or_default();
                wire.say(format!("HTTP/1.1 200 OK\r\n{fields}content-length: 2\r\n\r\n{{}}")).await;
            }
        }
    })
    .await
}

fn fact<'a>(facts: &'a [Fact], name: &str) -> Option<&'a Value> {
    facts.iter().find(|fact| &*fact.name == name).map(|fact| &fact.value)
}

fn member(text: &'static str) -> Value {
    Value::Member(text.into())
}

#[tokio::test]
async fn the_path_and_the_answers_head_are_captured_beside_the_body() {
    let upstream = answering(&[
        "x-model: large\r\nx-note: e\u{301}\u{1f600}\r\nx-count: 12\r\n",
        "x-model: large\r\nx-model: secret\r\nx-count: 12 or so\r\n",
        "",
    ])
    .await;
    let mut config = config(upstream.address, &unaudited());
    config.pseudonym_key = Some(PseudonymKey::from_bytes(b"of a file"));
    let mut sidecar = sidecar::with(&config).await;
    let mut client = sidecar.client().await;
    let key = PseudonymKey::from_bytes(b"of a file");

    client.post("/reports/a%C3%A9/plain%20text", r#"{"sessionId":"s-1"}"#).await;
    let facts = sidecar.record().await.facts.clone();
    let names: Vec<_> = facts.iter().map(|fact| fact.name.to_string()).collect();
    let order = ["report.id", "report.form", "session.id"];
    assert_eq!(names[..3], order, "the path's before the body's");
    let id = Value::Pseudonym(key.pseudonym("aé".as_bytes()));
    assert_eq!(fact(&facts, "report.id"), Some(&id));
    assert_eq!(fact(&facts, "report.form"), Some(&member("plain text")));
    let session = Value::Pseudonym(key.pseudonym(b"s-1"));
    assert_eq!(fact(&facts, "session.id"), Some(&session));
    assert_eq!(fact(&facts, "answer.model"), Some(&member("large")));
    assert_eq!(fact(&facts, "answer.note"), Some(&Value::Length(4)));
    assert_eq!(fact(&facts, "answer.count"), Some(&Value::Number(12)));

    client.get("/reports/7/secret").await;
    let facts = sidecar.record().await.facts.clone();
    assert_eq!(fact(&facts, "report.form"), Some(&member("_other")));
    assert_eq!(fact(&facts, "answer.model"), Some(&member("_other")), "the last line counts");
    assert_eq!(fact(&facts, "answer.count"), None);

    client.get("/reports/7/pdf").await;
    let facts = sidecar.record().await.facts.clone();
    assert_eq!(facts.len(), 2, "what is not there gives no fact: {facts:?}");
}

#[tokio::test]
async fn facts_are_fields_of_the_line_and_the_audit_and_labels_of_the_metrics() {
    let upstream = answering(&["x-model: large\r\n", "x-model: else\r\n"]).await;
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(upstream.address, REPORTS);
    config.audit.directory = directory.path().join("audit");
    config.audit.deadline = std::time::Duration::from_secs(10);
    let key = PseudonymKey::from_bytes(b"of a file");
    config.pseudonym_key = Some(key.clone());
    let house = house::open(&config).await;
    let mut client = house.client().await;
    for path in ["/reports/ann/pdf", "/reports/ann/tiff"] {
        assert_eq!(client.post(path, r#"{"sessionId":42}"#).await.status, 200);
    }
    let lines = house.exchanges(2).await;
    let (ann, session) = (key.pseudonym(b"ann").to_string(), key.pseudonym(b"42").to_string());
    assert_eq!(
        (&lines[0]["report.id"], &lines[1]["report.id"]),
        (&ann.clone().into(), &ann.clone().into())
    );
    assert_eq!(lines[0]["session.id"], session, "a number has the pseudonym of its digits");
    assert_eq!(
        (&lines[0]["answer.model"], &lines[1]["answer.model"]),
        (&"large".into(), &"_other".into())
    );
    let duration = "http_server_request_duration_seconds_count{http_request_method=\"POST\",\
                    http_route=\"/reports/{id}/{form}\",http_response_status_code=\"200\",\
                    sidecar_stream=\"false\"";
    for (form, model) in [("pdf", "large"), ("_other", "_other")] {
        let series = format!("{duration},report_form=\"{form}\",answer_model=\"{model}\"}}");
        assert!((house.metric(&series).await - 1.0).abs() < f64::EPSILON, "{series}");
    }
    let kept = config.audit.directory.clone();
    assert!(house.close().await.is_clean());
    let segment = kept.join(vital_sidecar::audit::segment_name(1));
    let trail: Vec<Json> = house::lines(&std::fs::read(segment).unwrap());
    let is_end = |line: &&Json| line["stage"] == "completed";
    assert_eq!(trail.iter().filter(is_end).filter(|line| line["report.id"] == *ann).count(), 2);
    assert!(trail.iter().filter(is_end).all(|line| line["session.id"] == *session));
}

#[tokio::test]
async fn a_reload_keeps_the_key_that_the_process_has_made() {
    let recorder = recording().await;
    let config = config(recorder.upstream.address, &unaudited());
    let mut sidecar = sidecar::with(&config).await;
    let mut client = sidecar.client().await;
    client.get("/reports/ann/pdf").await;
    let before = sidecar.record().await.fact("report.id").cloned();
    sidecar.proxy.adopt(&config);
    client.get("/reports/ann/pdf").await;
    assert!(before.is_some());
    assert_eq!(sidecar.record().await.fact("report.id"), before.as_ref());
}
