//! Trying again: only to connect, only within the budget.

use std::time::Duration;

use tokio::net::TcpSocket;
use vital_sidecar::config::Config;

use super::matrix::assert_problem;
use crate::support::upstream::{self, Wire, content_length};
use crate::support::{eventually, sidecar};

/// An address that is taken, and at which nobody listens yet.
fn silent() -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bind");
    socket
}

#[tokio::test]
async fn a_request_waits_for_an_upstream_that_is_just_coming_up() {
    let socket = silent();
    let mut config = Config::for_upstream(socket.local_addr().expect("address"));
    config.upstream.retry.max_retries = 8;
    let mut sidecar = sidecar::with(&config).await;
    let mut client = sidecar.client().await;

    // A POST, too: of a request that found no connection nothing was sent.
    client.say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello").await;
    let answer = async { client.answer().await };
    let coming = async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        upstream::scripted_at(socket.listen(16).expect("listen"), async |mut wire: Wire| {
            let head = wire.head().await.expect("a head");
            let body = wire.body(content_length(&head)).await;
            wire.say([b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", &*body].concat()).await;
            wire.closed().await;
        })
    };
    let (answer, upstream) = tokio::join!(answer, coming);

    assert_eq!((answer.status, &*answer.body), (200, &b"hello"[..]));
    assert_eq!(upstream.heads().len(), 1);
    assert_eq!(sidecar.record().await.error_type(), None);
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn without_a_budget_or_retries_the_first_refusal_is_the_answer() {
    for (max_retries, budget) in [(0, 1.0), (10, 0.0)] {
        let socket = silent();
        let mut config = Config::for_upstream(socket.local_addr().expect("address"));
        config.upstream.retry.max_retries = max_retries;
        config.upstream.retry.budget = budget;
        let mut sidecar = sidecar::with(&config).await;

        let answer = sidecar.client().await.get("/").await;

        let record = sidecar.record().await;
        assert_problem(&answer, &record, 502, "upstream_connect");
        // Ten retries take ten seconds.
        assert!(record.duration < Duration::from_secs(1), "{:?}", record.duration);
    }
}

#[tokio::test]
async fn all_attempts_share_the_connect_deadline() {
    let socket = silent();
    let mut config = Config::for_upstream(socket.local_addr().expect("address"));
    config.upstream.retry.max_retries = 10;
    config.upstream.timeouts.connect = Duration::from_millis(120);
    let mut sidecar = sidecar::with(&config).await;

    let answer = sidecar.client().await.get("/").await;

    let record = sidecar.record().await;
    assert_problem(&answer, &record, 502, "upstream_connect");
    assert!(record.duration >= Duration::from_millis(75), "it was tried again");
    assert!(record.duration < Duration::from_secs(2), "{:?}", record.duration);
}

#[tokio::test]
async fn a_request_that_was_sent_is_not_tried_again() {
    let upstream = upstream::scripted(async |mut wire: Wire| {
        wire.head().await;
    })
    .await;
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.retry.max_retries = 10;
    config.upstream.retry.budget = 1.0;
    let mut sidecar = sidecar::with(&config).await;

    let answer = sidecar.client().await.get("/").await;

    let record = sidecar.record().await;
    assert_problem(&answer, &record, 502, "upstream_reset");
    eventually("the head was seen", || upstream.heads().len() == 1).await;
    assert_eq!(upstream.connections(), 1);
}
