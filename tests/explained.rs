//! `explain REQUEST-ID`: what a running sidecar says its gates decided, and what it does not say.

use serde_json::Value as Json;

use crate::support::client::Answer;
use crate::support::process::{Process, command, output};
use crate::support::{until, upstream};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

const POLICY: &str = r#"
[otlp]
endpoint = ""
[server.drain]
delay = "0s"
[rate_limits.tight]
key = ["ip"]
rate = "1/h"
burst = 1
mode = "shadow"
[rate_limits.per-ip]
key = ["ip"]
rate = "1/h"
burst = 2
[[routes]]
name = "people"
match = "* /people/{id}"
rate_limits = ["tight", "per-ip"]
[[routes]]
match = "* /strict"
csrf = "enforce"
[[routes]]
match = "* /shadow"
csrf = "shadow"
"#;

async fn started() -> (upstream::Upstream, Process) {
    let upstream = upstream::answering(OK).await;
    let process =
        Process::start(&format!("upstream.url = \"http://{}\"\n{POLICY}", upstream.address)).await;
    (upstream, process)
}

fn id(answer: &Answer) -> String {
    answer.field("x-request-id").expect("an id").to_owned()
}

async fn document(process: &Process, id: &str) -> Json {
    process.until(&format!("/explain/{id}"), 200).await;
    process.ask(&format!("/explain/{id}")).await.json()
}

/// A gate's mode and decision.
fn gate<'a>(document: &'a Json, name: &str) -> (&'a str, &'a str) {
    let gates = document["gates"].as_array().expect("gates");
    let gate = gates.iter().find(|gate| gate["gate"] == name).expect("the gate");
    (gate["mode"].as_str().expect("a mode"), gate["decision"].as_str().expect("a decision"))
}

#[tokio::test]
async fn each_gate_says_what_it_decided_and_who_was_not_asked() {
    let (_upstream, process) = started().await;
    let mut client = process.client().await;
    let mut documents = Vec::new();
    for expected in [200, 200, 429] {
        let answer = client.get("/people/jane.doe?secret=word").await;
        assert_eq!(answer.status, expected);
        documents.push(document(&process, &id(&answer)).await);
    }
    let limits = documents.iter().map(|document| {
        let shadow = gate(document, "limit tight");
        (shadow, gate(document, "limit per-ip").1, gate(document, "csrf").1)
    });
    assert_eq!(
        limits.collect::<Vec<_>>(),
        [
            (("shadow", "pass"), "pass", "pass"),
            (("shadow", "would deny"), "pass", "pass"),
            (("shadow", "would deny"), "refuse", "-"),
        ]
    );
    let [first, _, last] = &documents[..] else { panic!("three") };
    assert_eq!(
        (&first["upstream"]["status"], &first["route"]),
        (&200.into(), &"/people/{id}".into())
    );
    assert!(first["upstream"]["headMs"].as_f64().is_some());
    assert_eq!((&last["upstream"], &last["errorType"]), (&Json::Null, &"rate_limited".into()));
    for document in &documents {
        let text = document.to_string();
        assert!(!text.contains("jane") && !text.contains("word"), "{text}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_or_would_have_been() {
    let (_upstream, process) = started().await;
    let mut client = process.client().await;
    for (path, status, decision) in [("/strict", 403, "refuse"), ("/shadow", 200, "would deny")] {
        let fields = "host: a.example\r\norigin: https://evil.example\r\ncontent-length: 0";
        client.say(format!("POST {path} HTTP/1.1\r\n{fields}\r\n\r\n")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status);
        let document = document(&process, &id(&answer)).await;
        assert_eq!(gate(&document, "csrf").1, decision);
    }
}

#[tokio::test]
async fn the_command_tells_people_and_programs() {
    let (_upstream, process) = started().await;
    let id = id(&process.client().await.get("/people/7").await);
    document(&process, &id).await;
    let admin = process.admin.to_string();
    let place = process.path("");
    let said = |arguments: &[&str]| {
        output(command(&place, &[&["explain", "--admin", &admin], arguments].concat()))
    };
    let (code, out, err) = said(&[&id]).await;
    assert_eq!((code, &*err), (0, ""));
    assert!(out.starts_with("GET /people/{id}\n"), "{out}");
    assert!(out.contains("answer     200, served"), "{out}");
    assert!(out.contains("limit tight        shadow    pass"), "{out}");
    assert_eq!(said(&[&id.to_uppercase()]).await.1, out, "a UUID has no letter case");
    let (code, out, _) = said(&[&id, "--json"]).await;
    let document: Json = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &document["requestId"]), (0, &id.into()));

    let unknown = "00000000-0000-7000-8000-000000000000";
    let (code, out, err) = said(&[unknown]).await;
    assert_eq!((code, &*out), (1, ""));
    assert!(err.contains("No exchange of that id is remembered"), "{err}");
    for no_id in ["GET", "a/b", "a b"] {
        let (code, _, err) = said(&[no_id]).await;
        assert_eq!(code, 2, "{err}");
    }
    assert_eq!(said(&["GET", "/people/7"]).await.0, 2, "a URL needs no running sidecar");
}

#[tokio::test]
async fn a_head_that_broke_a_rule_of_http_says_which() {
    let (_upstream, process) = started().await;
    let smuggled = "content-length: 3\r\ntransfer-encoding: chunked";
    for (path, field, rule) in [
        ("/a%2fb", "x-a: b", "the path holds an escaped slash, backslash or NUL"),
        ("/a%zz", "x-a: b", "the path holds a broken escape"),
        ("/people/jane", smuggled, "more than one field frames the body"),
    ] {
        let mut client = process.client().await;
        client.say(format!("POST {path} HTTP/1.1\r\nhost: a\r\n{field}\r\n\r\n")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 400, "{path}");
        let document = document(&process, &id(&answer)).await;
        let target = &document["gates"][0];
        assert_eq!((&target["decision"], &target["facts"]), (&"refuse".into(), &rule.into()));
        let others = document["gates"].as_array().expect("gates").iter().skip(1);
        assert!(others.clone().all(|gate| gate["facts"].is_null() && gate["decision"] == "-"));
        assert!(!document.to_string().contains("jane"), "{document}");
    }
}

#[tokio::test]
async fn a_pool_that_is_full_is_not_called_a_permit_that_was_not_there() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.closed().await;
    })
    .await;
    let pool = "upstream.pool = { max_connections = 1, queue_timeout = \"50ms\" }";
    let url = format!("upstream.url = \"http://{}\"", upstream.address);
    let process = Process::start(&format!("{url}\n{pool}\n{POLICY}")).await;
    let mut first = process.client().await;
    first.say("GET /people/1 HTTP/1.1\r\nhost: a\r\n\r\n".to_owned()).await;
    until("the first one is on its way", async || {
        let status = process.ask("/status").await.json();
        (status["upstream"]["pool"]["in_use"] == 1).then_some(())
    })
    .await;
    let answer = process.client().await.get("/elsewhere").await;
    assert_eq!(answer.status, 503);
    let document = document(&process, &id(&answer)).await;
    assert_eq!(document["errorType"], "overloaded");
    assert_eq!(gate(&document, "overload").1, "pass");
    assert_eq!(gate(&document, "pool").1, "refuse");
    let gates = document["gates"].as_array().expect("gates");
    let pool = gates.iter().find(|gate| gate["gate"] == "pool").expect("the pool");
    assert_eq!(pool["facts"], "upstream.pool.max_connections");
    let status = process.ask("/status").await.json();
    assert_eq!(status["upstream"]["pool"]["max"], 1);
}
