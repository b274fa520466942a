//! How streams and shared connections end: by the client, by idleness, by the drain.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use vital_sidecar::record::{Outcome, Phase};

use super::{before, raw};
use crate::support::http2::{self, Call};
use crate::support::sidecar::{self, config_for};
use crate::support::{PATIENCE, eventually};

#[tokio::test]
async fn a_client_that_leaves_resets_its_stream_and_no_other() {
    let (reset, mut resets) = tokio::sync::mpsc::channel(4);
    let upstream = http2::h2c(move |mut call: Call| {
        let reset = reset.clone();
        async move {
            if call.head.uri().path() == "/quick" {
                return call.say("ok");
            }
            let reason = if call.head.uri().path() == "/streaming" {
                let mut body = call.begin(&[]);
                body.send_data(Bytes::from_static(b"x"), false).expect("open");
                std::future::poll_fn(|cx| body.poll_reset(cx)).await
            } else {
                std::future::poll_fn(|cx| call.answer.poll_reset(cx)).await
            };
            reset.send(reason.expect("a reset")).await.expect("the test listens");
        }
    })
    .await;
    let mut sidecar = before(&upstream).await;

    for (path, phase) in [("/streaming", Phase::Response), ("/waiting", Phase::Upstream)] {
        let before = upstream.heads().len();
        let mut client = sidecar.client().await;
        client.say(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        if phase == Phase::Response {
            client.until(b"1\r\nx\r\n").await;
        }
        eventually("it is upstream", || upstream.heads().len() > before).await;
        drop(client);
        assert_eq!(resets.recv().await, Some(Reason::CANCEL), "{path}");
        assert_eq!(sidecar.record().await.outcome, Outcome::Gone { phase }, "{path}");
    }
    assert_eq!(sidecar.client().await.get("/quick").await.status, 200);
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn an_idle_shared_connection_is_closed_with_a_goodbye() {
    let (goodbye, mut heard) = tokio::sync::mpsc::channel(4);
    let upstream = raw(move |mut frames| {
        let goodbye = goodbye.clone();
        async move {
            while let Some(frame) = frames.next().await {
                match frame.kind {
                    http2::HEADERS => frames.answer(frame.stream, b"ok").await,
                    http2::GOAWAY => goodbye.send(()).await.expect("the test listens"),
                    _ => {}
                }
            }
            goodbye.send(()).await.expect("the test listens");
        }
    })
    .await;
    let mut config = config_for(&format!("h2c://{}", upstream.address));
    config.upstream.pool.idle_timeout = Duration::from_millis(50);
    let sidecar = sidecar::with(&config).await;
    let pool = Arc::clone(sidecar.proxy.upstream());
    let mut tending = JoinSet::new();
    tending.spawn(async move { pool.tend().await });

    assert_eq!(sidecar.client().await.get("/").await.body, b"ok");

    for what in ["a GOAWAY", "the end"] {
        let heard = timeout(PATIENCE, heard.recv()).await;
        assert!(heard.is_ok_and(|heard| heard.is_some()), "{what}");
    }
    let open = || sidecar.metric("sidecar_upstream_connections{");
    eventually("it is not counted any more", || open() < 0.5).await;
}

#[tokio::test]
async fn a_drain_lets_streams_finish_and_then_closes_their_connection() {
    let go = Arc::new(Notify::new());
    let gate = Arc::clone(&go);
    let upstream = http2::h2c(move |mut call: Call| {
        let gate = Arc::clone(&gate);
        async move {
            let mut body = call.begin(&[("content-length", "8")]);
            body.send_data(Bytes::from_static(b"some"), false).expect("open");
            gate.notified().await;
            body.send_data(Bytes::from_static(b"more"), true).expect("open");
        }
    })
    .await;
    let mut sidecar = before(&upstream).await;
    let mut client = sidecar.client().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.until(b"some").await;

    sidecar.signals.stop.cancel();
    go.notify_one();

    assert_eq!(client.rest().await, b"more");
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let began = tokio::time::Instant::now();
    sidecar.proxy.upstream().close(deadline).await;
    assert!(began.elapsed() < PATIENCE / 2, "nothing is left to wait for");
    assert!(sidecar.metric("sidecar_upstream_connections{") < 0.5);
}
