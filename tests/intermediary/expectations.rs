//! `Expect` and 1xx (RFC 9110 §10.1.1, §15.2): whose 100 it is, and who never sees one.

use vital_sidecar::record::{Outcome, Refusal};

use super::scene;
use crate::support::sidecar;
use crate::support::upstream::{self, Wire, content_length};

#[tokio::test]
async fn an_expectation_goes_to_the_upstream_and_its_100_comes_back() {
    let upstream = upstream::scripted(async |mut wire| {
        let head = wire.head().await.expect("a head");
        assert!(head.contains("expect: 100-continue"), "{head}");
        wire.say("HTTP/1.1 100 Continue\r\n\r\n").await;
        let body = wire.body(content_length(&head)).await;
        wire.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len())).await;
        wire.say(body).await;
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client
        .say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-Continue\r\n\r\n")
        .await;
    client.until(b"HTTP/1.1 100 Continue\r\n\r\n").await;
    client.say("hello").await;

    assert_eq!(client.answer().await.body, b"hello");
    let record = sidecar.record().await;
    assert_eq!((record.outcome, record.bytes_in), (Outcome::Served, 5));
}

#[tokio::test]
async fn a_final_answer_instead_of_a_100_spares_the_client_its_body() {
    let upstream =
        upstream::stalling("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno").await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client
        .say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
        .await;
    let all = String::from_utf8(client.rest().await).expect("ASCII").to_lowercase();

    assert!(all.starts_with("http/1.1 401 "), "no 100 before it: {all}");
    assert!(all.contains("\r\nconnection: close\r\n") && all.ends_with("\r\n\r\nno"), "{all}");
    let record = sidecar.record().await;
    assert_eq!((record.outcome, record.bytes_in), (Outcome::Served, 0));
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn an_upstream_that_knows_no_expectations_gets_the_body_after_a_while() {
    let (recorder, sidecar) = scene("[upstream.timeouts]\nresponse_header = \"200ms\"\n").await;

    let mut client = sidecar.client().await;
    client
        .say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
        .await;
    client.until(b"HTTP/1.1 100 Continue\r\n\r\n").await;
    client.say("hello").await;

    assert_eq!(client.answer().await.status, 200);
    assert_eq!(recorder.only().body, b"hello");
}

#[tokio::test]
async fn no_gate_asks_for_the_body_before_it_has_decided() {
    let gates = r#"
[[routes]]
match = "POST /denied"
action = "deny"
[[routes]]
match = "POST /limited"
rate_limits = ["none"]
captures = ["kind"]
[captures.kind]
from = "request.body:/kind"
values = ["a"]
[rate_limits.none]
key = ["ip"]
rate = "1/h"
burst = 1
"#;
    let (recorder, sidecar) = scene(gates).await;
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
        )
    };
    let mut first = sidecar.client().await;
    first.say(head("/limited")).await;
    first.until(b"HTTP/1.1 100 Continue\r\n\r\n").await;
    first.say("{}").await;
    assert_eq!(first.answer().await.status, 200);

    for (path, status) in [("/denied", "403"), ("/limited", "429")] {
        let mut client = sidecar.client().await;
        client.say(head(path)).await;
        let all = String::from_utf8(client.rest().await).expect("ASCII");
        assert!(all.starts_with(&format!("HTTP/1.1 {status} ")), "{all}");
    }
    assert_eq!(recorder.seen().len(), 1);
}

#[tokio::test]
async fn other_expectations_are_417() {
    let (recorder, mut sidecar) = scene("").await;
    for expectation in ["200-ok", "100-continue, x", "100-continue=1"] {
        let mut client = sidecar.client().await;
        client
            .say(format!(
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: {expectation}\r\n\r\n"
            ))
            .await;
        assert_eq!(client.answer().await.status, 417, "{expectation}");
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Refused(Refusal::ExpectationFailed));
    }
    assert!(recorder.seen().is_empty());
}

#[tokio::test]
async fn a_client_of_http_1_0_never_sees_an_interim_answer() {
    let upstream = upstream::scripted(async |mut wire: Wire| {
        let head = wire.head().await.expect("a head");
        assert!(!head.contains("expect"), "{head}");
        wire.body(content_length(&head)).await;
        wire.say("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
            .await;
        wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    })
    .await;
    let sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client
        .say("POST / HTTP/1.0\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n{}")
        .await;
    let all = String::from_utf8(client.rest().await).expect("ASCII");

    assert!(all.starts_with("HTTP/1.0 200 "), "{all}");
    assert!(all.ends_with("\r\n\r\nok"), "{all}");
}
