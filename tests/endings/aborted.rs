//! Answers that had begun and that a deadline of ours cut.

use std::time::Duration;

use vital_sidecar::config::Config;
use vital_sidecar::record::{Abort, Outcome};

use super::GET;
use crate::support::{sidecar, upstream};

#[tokio::test]
async fn an_ordinary_answer_that_stalls_is_aborted() {
    let upstream = upstream::stalling("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome").await;
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.timeouts.idle = Some(Duration::from_millis(50));
    let mut sidecar = sidecar::with(&config).await;

    assert_eq!(sidecar.client().await.get("/").await.body, b"some");

    assert_eq!(sidecar.record().await.outcome, Outcome::Aborted(Abort::IdleTimeout));
}

#[tokio::test]
async fn a_stream_has_clocks_of_its_own() {
    let stalling =
        upstream::stalling("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n")
            .await;
    let mut config = Config::for_upstream(stalling.address);
    config.upstream.timeouts.idle = Some(Duration::from_millis(1));
    config.upstream.timeouts.stream_idle = Some(Duration::from_millis(50));
    let mut sidecar = sidecar::with(&config).await;
    sidecar.client().await.get("/").await;

    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Aborted(Abort::StreamIdleTimeout));
    assert_eq!(record.stream.as_ref().map(|stream| stream.events), Some(1));

    let dripping = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await;
        for _ in 0..500 {
            wire.say("data: 1\n\n").await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let mut config = Config::for_upstream(dripping.address);
    config.upstream.timeouts.stream_max = Some(Duration::from_millis(100));
    let mut sidecar = sidecar::with(&config).await;
    sidecar.client().await.get("/").await;

    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Aborted(Abort::StreamMaxDuration));
}

#[tokio::test]
async fn the_drain_deadline_aborts_what_still_runs() {
    let upstream = upstream::stalling("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome").await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;
    let mut client = sidecar.client().await;
    client.say(GET).await;
    client.until(b"some").await;

    sidecar.signals.stop.cancel();
    sidecar.proxy.cut();
    sidecar.signals.cut.cancel();

    assert_eq!(sidecar.record().await.outcome, Outcome::Aborted(Abort::Drain));
    assert_eq!(client.rest().await, b"", "the client's connection is closed");
}
