//! The active health check of a whole sidecar.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::support::house::{self, House};
use crate::support::upstream::{self, Wire};

const QUICKLY: &str = "[upstream.health]\npath = \"/healthz?deep=1\"\ninterval = \"50ms\"\n";

/// Asks `/readyz` until this is its reason for the health check (`None` = none).
async fn until(house: &House, expected: Option<&str>) {
    let mut last = serde_json::Value::Null;
    for _ in 0..200 {
        let ready = house.ask("/readyz").await.json();
        let reasons = ready["reasons"].as_array().expect("a list").clone();
        let found = reasons.iter().find(|reason| reason["check"] == "upstream_health");
        if found.map(|reason| reason["reason"].as_str().expect("a text")) == expected {
            return;
        }
        last = ready;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never {expected:?}, but {last}");
}

#[tokio::test]
async fn readiness_follows_the_health_check_and_traffic_does_not() {
    let status = Arc::new(AtomicU16::new(503));
    let told = Arc::clone(&status);
    let upstream = upstream::scripted(move |mut wire: Wire| {
        let told = Arc::clone(&told);
        async move {
            while let Some(head) = wire.head().await {
                let status = match told.load(Ordering::SeqCst) {
                    0 if head.starts_with("GET /healthz") => return wire.closed().await,
                    status if head.starts_with("GET /healthz") => status,
                    _ => 200,
                };
                wire.say(format!("HTTP/1.1 {status} X\r\ncontent-length: 4\r\n\r\nwell")).await;
            }
        }
    })
    .await;
    let house = house::open(&house::config(upstream.address, QUICKLY)).await;

    until(&house, Some("the health check answers 503")).await;
    assert_eq!(house.client().await.get("/").await.status, 200);
    status.store(204, Ordering::SeqCst);
    status.store(200, Ordering::SeqCst);
    until(&house, None).await;
    status.store(0, Ordering::SeqCst);
    until(&house, Some("the health check does not answer in time")).await;
    status.store(302, Ordering::SeqCst);
    until(&house, None).await;

    let asked = upstream.heads().into_iter().find(|head| head.contains("/healthz"));
    let asked = asked.expect("a question");
    assert!(asked.starts_with("GET /healthz?deep=1 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("host: {}\r\n", upstream.address)), "{asked}");
    assert!(asked.contains("user-agent: vital-sidecar/"), "{asked}");
    let lines = house.paper.lines();
    assert!(lines.iter().all(|line| line["route"] != "/healthz"), "a question leaves no record");
    house.close().await;
}

#[tokio::test]
async fn an_upstream_that_is_not_there_does_not_answer() {
    let upstream = upstream::nobody().await;
    let house = house::open(&house::config(upstream, QUICKLY)).await;
    until(&house, Some("the health check does not answer")).await;
    house.close().await;
}
