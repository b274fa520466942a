//! Answers that were handed over: empty, sized, chunked, to the end of the connection, with trailers.

use std::time::Duration;

use vital_sidecar::config::Config;
use vital_sidecar::record::{Failure, Outcome};

use super::GET;
use crate::support::sidecar;
use crate::support::upstream::{self, content_length};

#[tokio::test]
async fn an_empty_answer_is_served_at_its_head() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let answer = sidecar.client().await.get("/").await;

    assert_eq!((answer.status, answer.field("content-length")), (200, Some("0")));
    let record = sidecar.record().await;
    assert_eq!((record.outcome, record.status, record.bytes_out), (Outcome::Served, Some(200), 0));
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn an_answer_to_head_is_served_at_its_head_and_keeps_its_length() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 42\r\n\r\n").await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    for _ in 0..2 {
        client.say("HEAD / HTTP/1.1\r\nhost: app.example\r\n\r\n").await;
        assert_eq!(client.head_only().await.field("content-length"), Some("42"));
        let record = sidecar.record().await;
        assert_eq!((record.outcome, record.bytes_out), (Outcome::Served, 0));
    }
    assert_eq!(upstream.connections(), 1, "the upstream connection is reused after HEAD");
}

#[tokio::test]
async fn answers_without_a_body_by_status_are_served_at_their_head() {
    for status in ["204 No Content", "304 Not Modified"] {
        let upstream =
            upstream::answering(format!("HTTP/1.1 {status}\r\netag: \"x\"\r\n\r\n")).await;
        let mut sidecar = sidecar::in_front_of(&upstream).await;

        let mut client = sidecar.client().await;
        assert_eq!(client.get("/").await.field("etag"), Some("\"x\""));
        client.get("/").await;

        assert_eq!(sidecar.record().await.outcome, Outcome::Served, "{status}");
        assert_eq!(upstream.connections(), 1, "{status}: the connection is reused");
    }
}

#[tokio::test]
async fn a_body_of_known_length_is_served_with_its_last_byte() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.body, b"hello");
        let record = sidecar.record().await;
        assert_eq!((record.outcome, record.bytes_out), (Outcome::Served, 5));
    }
    assert_eq!(upstream.connections(), 1, "the upstream connection is reused");
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn a_chunked_body_is_served_at_its_last_chunk() {
    let upstream = upstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    )
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.body, b"abcde");
        let record = sidecar.record().await;
        assert_eq!((record.outcome, record.bytes_out), (Outcome::Served, 5));
    }
    assert_eq!(upstream.connections(), 1, "the upstream connection is reused");
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_is_served() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\n\r\nto the end").await;
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    assert_eq!(sidecar.client().await.get("/").await.body, b"to the end");

    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
}

#[tokio::test]
async fn trailers_reach_a_client_that_asks_for_them_and_end_the_exchange() {
    let upstream = upstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
         3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n",
    )
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\n\r\n").await;
    let wire = String::from_utf8(client.until(b"x-sum: 7\r\n\r\n").await).expect("ASCII");

    assert!(wire.contains("3\r\nabc\r\n0\r\n"), "{wire}");
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    assert!(upstream.heads()[0].contains("te: trailers"), "the upstream is asked for them too");
}

#[tokio::test]
async fn a_grpc_status_in_the_trailers_decides_the_outcome() {
    for (code, expected) in
        [(0, Outcome::Served), (5, Outcome::Served), (14, Outcome::Failed(Failure::GrpcStatus(14)))]
    {
        let upstream = upstream::answering(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\
             trailer: grpc-status\r\n\r\n3\r\nabc\r\n0\r\ngrpc-status: {code}\r\n\r\n"
        ))
        .await;
        let mut sidecar = sidecar::in_front_of(&upstream).await;

        let mut client = sidecar.client().await;
        client.say(GET.replace("host", "te: trailers\r\nhost")).await;
        client.until(format!("grpc-status: {code}\r\n").as_bytes()).await;

        let record = sidecar.record().await;
        assert!(record.stream.is_some(), "gRPC is a stream");
        assert_eq!(record.outcome, expected, "grpc-status {code}");
    }
}

#[tokio::test]
async fn a_client_that_closes_right_after_the_announced_length_was_served() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client.say(GET).await;
    client.until(b"hello").await;
    drop(client);

    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
}

#[tokio::test]
async fn the_response_clock_starts_when_the_request_is_complete() {
    let upstream = upstream::scripted(async |mut wire| {
        let head = wire.head().await.expect("a head");
        wire.body(content_length(&head)).await;
        wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    })
    .await;
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.timeouts.response_header = Some(Duration::from_millis(60));
    let mut sidecar = sidecar::with(&config).await;

    let mut client = sidecar.client().await;
    client.say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n").await;
    for byte in ["s", "l", "o", "w", "l", "y"] {
        tokio::time::sleep(Duration::from_millis(20)).await;
        client.say(byte).await;
    }

    assert_eq!(client.answer().await.status, 200);
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
}

#[tokio::test]
async fn a_draining_connection_finishes_its_exchange_and_closes() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsome").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        wire.say("more").await;
    })
    .await;
    let sidecar = sidecar::in_front_of(&upstream).await;
    let mut client = sidecar.client().await;
    client.say(GET).await;
    client.until(b"some").await;

    let mut records = sidecar.stop().await;

    assert_eq!(client.rest().await, b"more");
    assert_eq!(records.recv().await.expect("a record").outcome, Outcome::Served);
}
