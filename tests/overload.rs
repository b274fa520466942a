//! Permits as a client meets them: who waits, who is refused, and what a stream holds.

use std::time::Duration;

use tokio::sync::watch;
use vital_sidecar::config::Config;
use vital_sidecar::proxy::overload::Load;
use vital_sidecar::record::{Outcome, Phase, Refusal};

use crate::support::client::Client;
use crate::support::house;
use crate::support::sidecar::{self, Sidecar};
use crate::support::upstream::{self, Upstream};
use crate::support::{PATIENCE, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An upstream that keeps `/slow` waiting, and `/events` streaming, until it is told to go on.
async fn waiting() -> (Upstream, watch::Sender<bool>) {
    let (go, wait) = watch::channel(false);
    let upstream = upstream::scripted(move |mut wire| {
        let mut wait = wait.clone();
        async move {
            while let Some(head) = wire.head().await {
                if head.starts_with("GET /events") {
                    wire.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n").await;
                    wire.say("transfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n").await;
                }
                if !head.starts_with("GET /quick") && wait.wait_for(|go| *go).await.is_err() {
                    return;
                }
                wire.say(if head.starts_with("GET /events") { "0\r\n\r\n" } else { OK }).await;
            }
        }
    })
    .await;
    (upstream, go)
}

fn config(upstream: &Upstream, max_in_flight: usize, max_streams: usize) -> Config {
    let mut config = Config::for_upstream(upstream.address);
    config.overload.max_in_flight = max_in_flight;
    config.overload.max_streams = max_streams;
    config.overload.queue_timeout = PATIENCE;
    config
}

async fn ask(sidecar: &Sidecar, path: &str) -> Client {
    let mut client = sidecar.client().await;
    client.say(format!("GET {path} HTTP/1.1\r\nhost: app.example\r\n\r\n")).await;
    client
}

/// Waits until so many requests run, stream and wait.
async fn until(sidecar: &Sidecar, in_flight: u64, streams: usize, waiting: u64) {
    let expected = Load { in_flight, streams, waiting };
    let load = || sidecar.proxy.overload().load();
    eventually(&format!("{expected:?}"), || load() == expected).await;
}

#[tokio::test]
async fn a_request_without_a_permit_waits_its_turn() {
    let (upstream, go) = waiting().await;
    let mut sidecar = sidecar::with(&config(&upstream, 1, 0)).await;
    let mut first = ask(&sidecar, "/slow").await;
    until(&sidecar, 1, 0, 0).await;
    let mut line = Vec::new();
    for waiting in 1..=4 {
        line.push(ask(&sidecar, &format!("/quick/{waiting}")).await);
        until(&sidecar, 1, 0, waiting).await;
    }
    eventually("the first is with the upstream", || upstream.heads().len() == 1).await;
    go.send(true).expect("an upstream");
    assert_eq!(first.answer().await.status, 200);
    for client in &mut line {
        assert_eq!(client.answer().await.status, 200);
    }
    let heads = upstream.heads();
    let paths: Vec<_> = heads.iter().filter_map(|head| head.split(' ').nth(1)).collect();
    assert_eq!(paths, ["/slow", "/quick/1", "/quick/2", "/quick/3", "/quick/4"], "in order");
    for _ in 0..5 {
        assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    }
    until(&sidecar, 0, 0, 0).await;
}

#[tokio::test]
async fn a_request_that_waited_too_long_is_told_when_to_come_back() {
    let (upstream, go) = waiting().await;
    let mut config = config(&upstream, 1, 0);
    config.overload.queue_timeout = Duration::from_millis(20);
    let mut sidecar = sidecar::with(&config).await;
    let mut running = ask(&sidecar, "/slow").await;
    eventually("one runs", || upstream.heads().len() == 1).await;

    let mut refused = sidecar.client().await;
    let answer = refused.get("/quick").await;
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")));
    let problem = answer.json();
    assert_eq!((&problem["error_type"], &problem["status"]), (&"overloaded".into(), &503.into()));
    assert_eq!(answer.field("x-request-id"), problem["request_id"].as_str());
    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Refused(Refusal::Overloaded));
    assert!(record.duration >= Duration::from_millis(20), "it waited");
    assert_eq!(upstream.heads().len(), 1, "the upstream never saw it");

    go.send(true).expect("an upstream");
    assert_eq!(running.answer().await.status, 200);
    assert_eq!(refused.get("/quick").await.status, 200, "on the same connection");
}

#[tokio::test]
async fn a_client_that_leaves_also_leaves_the_line() {
    let (upstream, _go) = waiting().await;
    let mut sidecar = sidecar::with(&config(&upstream, 1, 0)).await;
    let _running = ask(&sidecar, "/slow").await;
    until(&sidecar, 1, 0, 0).await;
    let leaving = ask(&sidecar, "/quick").await;
    until(&sidecar, 1, 0, 1).await;
    drop(leaving);
    assert_eq!(sidecar.record().await.outcome, Outcome::Gone { phase: Phase::Limits });
    until(&sidecar, 1, 0, 0).await;
    assert_eq!(upstream.heads().len(), 1);
}

#[tokio::test]
async fn a_stream_makes_room_for_requests_at_its_head() {
    let (upstream, go) = waiting().await;
    let sidecar = sidecar::with(&config(&upstream, 1, 1)).await;
    let mut stream = ask(&sidecar, "/events").await;
    stream.until(b"data: 1\n\n").await;
    until(&sidecar, 0, 1, 0).await;
    assert_eq!(sidecar.client().await.get("/quick").await.status, 200);

    // No stream permit is left: the second stream is served, and keeps the permit it has.
    let mut second = ask(&sidecar, "/events").await;
    second.until(b"data: 1\n\n").await;
    until(&sidecar, 1, 1, 0).await;
    let mut queued = ask(&sidecar, "/quick").await;
    until(&sidecar, 1, 1, 1).await;
    go.send(true).expect("an upstream");
    assert_eq!(queued.answer().await.status, 200);
    stream.until(b"0\r\n\r\n").await;
    second.until(b"0\r\n\r\n").await;
    until(&sidecar, 0, 0, 0).await;
}

#[tokio::test]
async fn every_permit_comes_back_whatever_ends_the_exchange() {
    let upstream = upstream::scripted(async |mut wire| {
        while let Some(head) = wire.head().await {
            match head.split(' ').nth(1) {
                Some("/broken") => return wire.reset(),
                Some("/garbage") => wire.say("nonsense\r\n\r\n").await,
                Some("/half") => {
                    wire.say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
                    return;
                }
                _ => wire.say(OK).await,
            }
        }
    })
    .await;
    let mut config = config(&upstream, 2, 1);
    config.server.limits.max_request_body = 4;
    let mut sidecar = sidecar::with(&config).await;
    let too_large = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nlarge";
    for round in 0..20 {
        for path in ["/", "/broken", "/garbage", "/half"] {
            let mut client = ask(&sidecar, path).await;
            client.until(b"\r\n\r\n").await;
        }
        sidecar.client().await.say(too_large).await;
        for _ in 0..5 {
            let outcome = sidecar.record().await.outcome;
            assert_ne!(outcome, Outcome::Refused(Refusal::Overloaded), "round {round}");
        }
    }
    until(&sidecar, 0, 0, 0).await;
}

#[tokio::test]
async fn status_tells_what_runs_and_what_waits() {
    let (upstream, go) = waiting().await;
    let more = "[overload]\nmax_in_flight = 1\nmax_streams = 1\nqueue_timeout = \"10s\"\n";
    let house = house::open(&house::config(upstream.address, more)).await;
    let mut clients = Vec::new();
    for path in ["/events", "/slow", "/quick"] {
        let mut client = house.client().await;
        client.say(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        let seen = clients.len() + 1;
        match path {
            "/events" => drop(client.until(b"data: 1\n\n").await),
            "/slow" => eventually("it runs", || upstream.heads().len() == seen).await,
            _ => {}
        }
        clients.push(client);
    }
    let expected = serde_json::json!({ "in_flight": 1, "streams": 1, "waiting": 1 });
    let asking = async { while house.ask("/status").await.json()["overload"] != expected {} };
    tokio::time::timeout(PATIENCE, asking).await.expect("the numbers in time");
    go.send(true).expect("an upstream");
    assert_eq!(clients[2].answer().await.status, 200);
    assert!(house.close().await.is_clean());
}
