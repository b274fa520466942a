//! The breaker of a whole sidecar.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpSocket;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use vital_sidecar::config::Config;
use vital_sidecar::config::model::Mode;

use super::matrix::{assert_problem, succeeds};
use crate::support::upstream::{self, Upstream, Wire};
use crate::support::{eventually, house, sidecar};

fn silent() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bind");
    let address = socket.local_addr().expect("address");
    (socket, address)
}

fn config(address: SocketAddr, mode: Mode) -> Config {
    let mut config = Config::for_upstream(address);
    config.upstream.retry.max_retries = 0;
    config.upstream.breaker.mode = mode;
    config.upstream.breaker.failures = 2;
    config.upstream.breaker.open_for = Duration::from_millis(300);
    config
}

fn serving(socket: TcpSocket) -> Upstream {
    upstream::scripted_at(socket.listen(16).expect("listen"), async |mut wire: Wire| {
        while wire.head().await.is_some() {
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine").await;
        }
    })
}

#[tokio::test]
async fn failures_in_a_row_open_it_and_one_success_closes_it() {
    let (socket, address) = silent();
    let mut sidecar = sidecar::with(&config(address, Mode::Enforce)).await;
    let mut client = sidecar.client().await;
    for _ in 0..2 {
        let answer = client.get("/").await;
        let record = sidecar.record().await;
        assert_problem(&answer, &record, 502, "upstream_connect");
    }

    let answer = client.get("/").await;
    let record = sidecar.record().await;
    assert_problem(&answer, &record, 503, "circuit_open");
    assert_eq!(answer.field("retry-after"), Some("1"));
    assert!(record.upstream.is_none(), "the upstream was left alone");

    // It is back, but nobody knows until `open_for` has passed.
    let upstream = serving(socket);
    assert_eq!(client.get("/").await.status, 503);
    assert_eq!(sidecar.record().await.status, Some(503));
    assert_eq!(upstream.connections(), 0);
    let breaker = sidecar.proxy.upstream().breaker();
    eventually("somebody may try", || !breaker.refuses()).await;
    let answer = client.get("/").await;
    succeeds(&mut sidecar, answer).await;
    let answer = client.get("/").await;
    succeeds(&mut sidecar, answer).await;
}

#[tokio::test]
async fn a_probe_that_fails_opens_it_again() {
    let (_socket, address) = silent();
    let mut sidecar = sidecar::with(&config(address, Mode::Enforce)).await;
    let mut client = sidecar.client().await;
    client.get("/").await;
    client.get("/").await;
    assert_eq!(client.get("/").await.status, 503);
    let breaker = sidecar.proxy.upstream().breaker();
    eventually("somebody may try", || !breaker.refuses()).await;

    assert_eq!(client.get("/").await.status, 502);
    assert_eq!(client.get("/").await.status, 503);
    for status in [502, 502, 503, 502, 503] {
        assert_eq!(sidecar.record().await.status, Some(status));
    }
}

#[tokio::test]
async fn a_shadow_and_one_that_is_off_refuse_nobody() {
    for mode in [Mode::Shadow, Mode::Off] {
        let (_socket, address) = silent();
        let sidecar = sidecar::with(&config(address, mode)).await;
        let mut client = sidecar.client().await;
        for _ in 0..5 {
            assert_eq!(client.get("/").await.status, 502, "{mode:?}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_answers_badly_does_not_open_it() {
    let upstream = upstream::scripted(async |mut wire: Wire| {
        wire.head().await;
    })
    .await;
    let sidecar = sidecar::with(&config(upstream.address, Mode::Enforce)).await;
    for _ in 0..5 {
        assert_eq!(sidecar.client().await.get("/").await.status, 502);
    }
    assert!(sidecar.proxy.upstream().breaker().is_closed());
}

#[tokio::test]
async fn operators_see_it_in_readiness_status_and_metrics() {
    let (socket, address) = silent();
    let more = "[upstream.retry]\nmax_retries = 0\n[upstream.breaker]\nfailures = 1\n\
                open_for = \"1h\"\n";
    let house = house::open(&house::config(address, more)).await;
    let state = async |name: &str| {
        house.page().await.contains(&format!("sidecar_breaker_state{{state=\"{name}\"}} 1"))
    };
    assert!(state("closed").await);

    assert_eq!(house.client().await.get("/").await.status, 502);

    assert!(state("open").await);
    let ready = house.ask("/readyz").await;
    let reasons = ready.json()["reasons"].clone();
    let has = |check: &str| reasons.as_array().expect("a list").iter().any(|r| r["check"] == check);
    assert!(ready.status == 503 && has("breaker") && has("upstream"), "{reasons}");
    let status = house.ask("/status").await.json();
    assert_eq!(status["upstream"]["breaker"], Value::from("open"));

    // The house looks after the upstream by itself, and lets the next request find out.
    let _upstream = serving(socket);
    let mut is_served = false;
    for _ in 0..100 {
        is_served = house.client().await.get("/").await.status == 200;
        if is_served {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(is_served && state("closed").await);
    house.close().await;
}

#[tokio::test]
async fn a_probe_that_is_served_on_a_connection_that_stayed_closes_it() {
    let (socket, address) = silent();
    let listener = socket.listen(16).expect("listen");
    let release = Arc::new(Notify::new());
    let held = Arc::clone(&release);
    let mut upstream = JoinSet::new();
    // One connection, and no other will be accepted.
    upstream.spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        drop(listener);
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
            if line.ends_with("\r\n\r\n") {
                if line.starts_with("GET /held ") {
                    held.notified().await;
                }
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";
                stream.write_all(answer).await.expect("a sidecar");
                line.clear();
            }
        }
    });
    let sidecar = sidecar::with(&config(address, Mode::Enforce)).await;
    let (mut one, mut other) = (sidecar.client().await, sidecar.client().await);
    one.say("GET /held HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually("it is under way", || sidecar.proxy.upstream().is_reachable()).await;
    assert_eq!(other.get("/").await.status, 502);
    assert_eq!(other.get("/").await.status, 502);
    let breaker = sidecar.proxy.upstream().breaker();
    assert!(!breaker.is_closed());

    release.notify_one();
    assert_eq!(one.answer().await.status, 200);
    eventually("somebody may try", || !breaker.refuses()).await;
    assert_eq!(other.get("/").await.status, 200);
    assert!(breaker.is_closed());
}
