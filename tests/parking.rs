//! Connections whose client is silent between two messages: they are parked after a moment, and nobody
//! can tell.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use vital_sidecar::config::Config;

use crate::support::upstream::content_length;
use crate::support::{eventually, sidecar, upstream};

const GET: &str = "GET / HTTP/1.1\r\nhost: app.example\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// Longer than hyper stays with a silent client. What these tests assert holds for any silence.
const SILENCE: Duration = Duration::from_millis(400);

/// An upstream that answers with the length of the request's body.
async fn measuring() -> upstream::Upstream {
    upstream::scripted(|mut wire| async move {
        while let Some(head) = wire.head().await {
            let body = wire.body(content_length(&head)).await.len().to_string();
            wire.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
                .await;
        }
    })
    .await
}

#[tokio::test]
async fn requests_that_come_while_their_connection_is_being_parked_are_answered() {
    let upstream = measuring().await;
    let sidecar = sidecar::in_front_of(&upstream).await;
    let mut clients = JoinSet::new();
    for number in 0..32_u64 {
        let mut client = sidecar.client().await;
        clients.spawn(async move {
            for round in 0..4_u64 {
                let length = usize::try_from(round).unwrap() * 9000;
                let (body, length) = ("x".repeat(length), length.to_string());
                let nearly =
                    |moment| Duration::from_micros(moment + 400 * ((7 * round + number) % 32));
                // Certainly parked; then about to be, as a client that spoke once, and as a busy one.
                for silence in [SILENCE, nearly(44_000), nearly(244_000)] {
                    sleep(silence).await;
                    assert_eq!(client.post("/", &body).await.body, length.as_bytes());
                    if silence == nearly(44_000) {
                        client.say([GET, GET].concat()).await;
                        assert_eq!(client.answer().await.body, b"0");
                        assert_eq!(client.answer().await.body, b"0");
                    }
                }
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let errors = sidecar.metric("sidecar_connection_errors_total");
    assert!(errors.abs() < 0.5, "nothing was taken for a broken head");
    assert_eq!(upstream.heads().len(), 32 * 4 * 5);
}

#[tokio::test]
async fn a_head_that_comes_in_two_halves_with_silence_between_them_is_whole() {
    let upstream = upstream::answering(OK).await;
    let sidecar = sidecar::in_front_of(&upstream).await;
    let mut client = sidecar.client().await;
    for _ in 0..2 {
        sleep(SILENCE).await;
        let (first, second) = GET.split_at(9);
        client.say(first).await;
        sleep(SILENCE).await;
        client.say(second).await;
        assert_eq!(client.answer().await.status, 200);
    }
}

#[tokio::test]
async fn a_parked_connection_is_closed_at_its_idle_timeout() {
    let upstream = upstream::answering(OK).await;
    let mut config = Config::for_upstream(upstream.address);
    config.server.limits.idle_timeout = 3 * SILENCE;
    let sidecar = sidecar::with(&config).await;
    let mut client = sidecar.client().await;
    client.get("/").await;
    let answered = Instant::now();
    assert!(client.rest().await.is_empty());
    assert!(answered.elapsed() > 2 * SILENCE, "not before its time");
    let errors = sidecar.metric("sidecar_connection_errors_total");
    assert!(errors.abs() < 0.5, "an idle client is no error");
}

#[tokio::test]
async fn the_first_head_is_timed_from_the_accept_however_long_its_connection_was_parked() {
    let upstream = upstream::answering(OK).await;
    let mut config = Config::for_upstream(upstream.address);
    config.server.limits.header_timeout = 3 * SILENCE;
    let sidecar = sidecar::with(&config).await;
    let (mut silent, mut slow) = (sidecar.client().await, sidecar.client().await);
    let accepted = Instant::now();
    sleep(SILENCE).await;
    slow.say("GET / HT").await;
    slow.rest().await;
    assert!(accepted.elapsed() < 5 * SILENCE, "its first byte has set no clock back");
    silent.rest().await;
    assert!(sidecar.metric("sidecar_connection_errors_total{reason=\"head_timeout\"}") > 0.5);
}

#[tokio::test]
async fn a_house_that_closes_closes_its_parked_connections_at_once() {
    let upstream = upstream::answering(OK).await;
    let sidecar = sidecar::in_front_of(&upstream).await;
    let (mut fresh, mut idle) = (sidecar.client().await, sidecar.client().await);
    idle.get("/").await;
    sleep(SILENCE).await;
    sidecar.stop().await;
    assert!(fresh.rest().await.is_empty());
    assert!(idle.rest().await.is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_while_parked_is_gone_from_the_count() {
    let upstream = upstream::answering(OK).await;
    let sidecar = sidecar::in_front_of(&upstream).await;
    let mut client = sidecar.client().await;
    client.get("/").await;
    sleep(SILENCE).await;
    drop(client);
    eventually("the connection ends", || sidecar.metric("sidecar_connections") < 0.5).await;
    let errors = sidecar.metric("sidecar_connection_errors_total");
    assert!(errors.abs() < 0.5, "leaving between two messages is no error");
}
