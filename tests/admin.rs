//! The operators' door of a whole sidecar: who may ask, what is said, and what a drain does.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use vital_sidecar::secret::Secret;

use crate::support::house::{self, config};
use crate::support::upstream;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn listen_again(address: SocketAddr) -> TcpListener {
    TcpListener::bind(address).await.expect("the same port again")
}

#[tokio::test]
async fn a_running_sidecar_is_alive_started_and_ready() {
    let upstream = upstream::answering(OK).await;
    let house = house::open(&config(upstream.address, "")).await;
    assert_eq!(house.ask("/livez").await.status, 200);
    assert_eq!(house.ask("/startupz").await.status, 200);
    let ready = house.until("/readyz", 200).await;
    assert_eq!(ready.json(), serde_json::json!({ "ready": true, "reasons": [] }));
    assert_eq!(ready.field("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn readiness_follows_the_upstream_down_and_up() {
    let address = upstream::nobody().await;
    let house = house::open(&config(address, "")).await;
    let not_ready = house.until("/readyz", 503).await;
    assert_eq!(not_ready.json()["reasons"][0]["check"], "upstream");
    let reason = format!("refuses connections ({address}: Connection refused (os error 111))");
    assert_eq!(not_ready.json()["reasons"][0]["reason"], reason);
    assert_eq!(house.ask("/livez").await.status, 200, "alive all the same");

    let listener = listen_again(address).await;
    house.until("/readyz", 200).await;
    drop(listener);
    assert_eq!(house.client().await.get("/").await.status, 502);
    house.until("/readyz", 503).await;
    let _listener = listen_again(address).await;
    house.until("/readyz", 200).await;
}

#[tokio::test]
async fn the_status_tells_the_state_and_the_ledger() {
    let upstream = upstream::answering(OK).await;
    let text = "[[routes]]\nmatch = \"GET /a\"\nrate_limits = [\"x\"]\n\
                [rate_limits.x]\nkey = [\"ip\"]\nrate = \"1/h\"\nburst = 1\n";
    let house = house::open(&config(upstream.address, text)).await;
    let mut client = house.client().await;
    client.get("/a").await;
    client.get("/a").await;
    house.lines(2).await;
    let status = house.ask("/status").await.json();
    assert_eq!(status["service"]["name"], "vital-orchestrator");
    assert_eq!((&status["started"], &status["draining"]), (&true.into(), &false.into()));
    assert_eq!(status["limits"][0]["denied"], 1);
    assert_eq!(status["limits"][0]["allowed"], 1);
    assert_eq!(status["ledger"][0]["accepted"], 2);
    assert_eq!(status["upstream"]["reachable"], true);
    assert_eq!(status["config"]["upstream"], upstream.address.to_string());
}

#[tokio::test]
async fn only_requests_addressed_to_this_machine_are_answered() {
    let house = house::open(&config(upstream::nobody().await, "")).await;
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1"] {
        for path in ["/livez", "/metrics", "/status"] {
            let answer =
                house.ask_as(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
            assert_eq!(answer.status, 403, "{host} {path}");
        }
        let drain = format!("POST /drain HTTP/1.1\r\nhost: {host}\r\n\r\n");
        assert_eq!(house.ask_as(&drain).await.status, 403);
    }
    assert_eq!(house.ask("/status").await.json()["draining"], false);
}

#[tokio::test]
async fn no_get_and_no_page_of_another_origin_drains() {
    let house = house::open(&config(upstream::nobody().await, "")).await;
    assert_eq!(house.ask("/drain").await.status, 405);
    for field in ["origin: http://evil.example", "sec-fetch-site: cross-site"] {
        let drain = format!("POST /drain HTTP/1.1\r\nhost: localhost\r\n{field}\r\n\r\n");
        assert_eq!(house.ask_as(&drain).await.status, 403);
    }
    assert_eq!(house.ask("/status").await.json()["draining"], false);
}

#[tokio::test]
async fn a_token_is_asked_for_where_one_is_set() {
    let mut config = config(upstream::nobody().await, "");
    config.admin.token = Some(Secret::new("t0ken"));
    let house = house::open(&config).await;
    assert_eq!(house.ask("/livez").await.status, 401);
    let with = "GET /livez HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer t0ken\r\n\r\n";
    assert_eq!(house.ask_as(with).await.status, 200);
}

#[tokio::test]
async fn a_drain_by_post_says_not_ready_while_it_still_serves_and_then_ends() {
    let upstream = upstream::answering(OK).await;
    let mut config = config(upstream.address, "");
    // Long enough for the questions below on a busy machine.
    config.server.drain.delay = Duration::from_secs(2);
    let house = house::open(&config).await;
    house.until("/readyz", 200).await;
    let answer = house.ask_as("POST /drain HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!((answer.status, &answer.json()["draining"]), (202, &true.into()));
    let not_ready = house.ask("/readyz").await;
    assert_eq!(
        (not_ready.status, &not_ready.json()["reasons"][0]["check"]),
        (503, &"draining".into())
    );
    assert_eq!(house.client().await.get("/").await.status, 200, "still accepting");
    assert!(house.farewell().await.is_clean());
}
