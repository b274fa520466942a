//! Streams that the upstream refuses or does not get to: which requests are sent again.

use std::sync::Arc;

use tokio::sync::Notify;
use vital_sidecar::record::{Failure, Outcome};

use super::{before_raw, raw};
use crate::support::eventually;
use crate::support::http2;

#[tokio::test]
async fn a_refused_stream_is_sent_again_and_nothing_else_is() {
    let upstream = raw(async |mut frames| {
        let mut refused = 0;
        while let Some(stream) = frames.request().await {
            if refused == 0 {
                refused += 1;
                frames.reset(stream, http2::REFUSED_STREAM).await;
            } else {
                frames.answer(stream, b"again").await;
            }
        }
    })
    .await;
    let mut sidecar = before_raw(&upstream).await;
    assert_eq!(sidecar.client().await.get("/").await.body, b"again");
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);

    let (seen, mut streams) = tokio::sync::mpsc::channel(8);
    let upstream = raw(move |mut frames| {
        let seen = seen.clone();
        async move {
            while let Some(stream) = frames.request().await {
                seen.send(stream).await.expect("the test listens");
                frames.reset(stream, http2::INTERNAL_ERROR).await;
            }
        }
    })
    .await;
    let mut sidecar = before_raw(&upstream).await;
    assert_eq!(sidecar.client().await.get("/").await.status, 502);
    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamReset));
    assert_eq!(streams.recv().await, Some(1));
    assert!(streams.try_recv().is_err(), "it was sent once");
}

#[tokio::test]
async fn an_upstream_that_refuses_every_stream_is_502() {
    let (seen, mut streams) = tokio::sync::mpsc::channel(8);
    let upstream = raw(move |mut frames| {
        let seen = seen.clone();
        async move {
            while let Some(stream) = frames.request().await {
                seen.send(stream).await.expect("the test listens");
                frames.reset(stream, http2::REFUSED_STREAM).await;
            }
        }
    })
    .await;
    let mut sidecar = before_raw(&upstream).await;

    assert_eq!(sidecar.client().await.get("/").await.status, 502);

    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamReset));
    assert_eq!(
        [streams.recv().await, streams.recv().await, streams.recv().await],
        [Some(1), Some(3), Some(5)]
    );
    assert!(streams.try_recv().is_err(), "three times and no more");
}

#[tokio::test]
async fn a_refused_request_whose_body_was_read_is_not_sent_again() {
    let upstream = raw(async |mut frames| {
        while let Some(frame) = frames.next().await {
            if frame.kind == http2::DATA {
                frames.reset(frame.stream, http2::REFUSED_STREAM).await;
            }
        }
    })
    .await;
    let mut sidecar = before_raw(&upstream).await;

    assert_eq!(sidecar.client().await.post("/", "{}").await.status, 502);

    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamReset));
}

#[tokio::test]
async fn a_connection_that_goes_away_finishes_what_it_took_and_the_rest_goes_to_another() {
    let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (taken, released) = (Arc::clone(&first), Arc::clone(&second));
    let connections = std::sync::atomic::AtomicUsize::new(0);
    let upstream = raw(move |mut frames| {
        let nth = connections.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let (taken, released) = (Arc::clone(&taken), Arc::clone(&released));
        async move {
            if nth > 0 {
                while let Some(stream) = frames.request().await {
                    frames.answer(stream, b"another").await;
                }
                return;
            }
            let kept = frames.request().await.expect("a request");
            taken.notify_one();
            let _beyond = frames.request().await.expect("another request");
            frames.go_away(kept).await;
            released.notified().await;
            frames.answer(kept, b"first").await;
            while frames.next().await.is_some() {}
        }
    })
    .await;
    let mut sidecar = before_raw(&upstream).await;

    let mut kept = sidecar.client().await;
    kept.say("GET /kept HTTP/1.1\r\nhost: a\r\n\r\n").await;
    first.notified().await;
    assert_eq!(sidecar.client().await.get("/beyond").await.body, b"another");
    assert_eq!(sidecar.client().await.get("/later").await.body, b"another");
    second.notify_one();
    assert_eq!(kept.answer().await.body, b"first");

    assert_eq!(upstream.connections(), 2);
    for _ in 0..3 {
        assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    }
    let in_use = || sidecar.metric("sidecar_upstream_connections{");
    eventually("the first connection is closed", || (in_use() - 1.0).abs() < 0.5).await;
}
