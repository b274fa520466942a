//! Clocks, floods, goodbyes: what a stream or a connection may cost, and how it is ended.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vital_sidecar::config::Config;
use vital_sidecar::record::{Abort, Failure, Outcome, Phase};

use super::{SHORT, is, silent};
use crate::support::h2::{
    self, Client, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Raw, get,
};
use crate::support::recorder::recording;
use crate::support::sidecar::{self, in_front_of};
use crate::support::upstream;
use crate::support::{PATIENCE, eventually};

#[tokio::test]
async fn a_stream_that_is_reset_is_recorded_as_gone_and_the_others_go_on() {
    let upstream = upstream::scripted(|mut wire| async move {
        while let Some(head) = wire.head().await {
            if head.starts_with("GET /ok") {
                wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let mut sidecar = in_front_of(&upstream).await;
    let client = Client::connect(sidecar.address).await;

    let mut send = client.send.clone().ready().await.unwrap();
    let (answer, mut stream) = send.send_request(get("/hang"), true).unwrap();
    eventually("the upstream has it", || upstream.heads().len() == 1).await;
    stream.send_reset(::h2::Reason::CANCEL);
    drop(answer);

    assert_eq!(sidecar.record().await.outcome, Outcome::Gone { phase: Phase::Upstream });
    assert_eq!(client.get("/ok").await.status(), 200);
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
}

/// hyper ends such a body as if it were whole, so its last chunk would follow.
#[tokio::test]
async fn a_body_whose_stream_is_reset_without_an_error_is_not_passed_on_as_a_whole_one() {
    let (told, mut seen) = tokio::sync::mpsc::channel(1);
    let upstream = upstream::scripted(move |mut wire| {
        let told = told.clone();
        async move {
            wire.head().await;
            let mut rest = wire.until(b"half").await;
            told.send(Vec::new()).await.unwrap();
            let _reset_or_ended = wire.stream.read_to_end(&mut rest).await;
            told.send(rest).await.unwrap();
        }
    })
    .await;
    let mut sidecar = in_front_of(&upstream).await;
    let mut raw = Raw::connect(sidecar.address).await;

    let mut head = h2::head(&[]);
    head[0].1 = "POST";
    raw.say(HEADERS, END_HEADERS, 1, &h2::block(&head)).await;
    raw.say(DATA, 0, 1, b"half").await;
    seen.recv().await.unwrap();
    raw.say(RST_STREAM, 0, 1, &[0; 4]).await;

    let seen = String::from_utf8(seen.recv().await.unwrap()).unwrap();
    assert!(!seen.contains("0\r\n\r\n"), "{seen:?}");
    assert_eq!(sidecar.record().await.outcome, Outcome::Gone { phase: Phase::Upstream });
}

#[tokio::test]
async fn every_stream_has_its_own_clocks() {
    let upstream = silent().await;
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.timeouts.response_header = Some(SHORT);
    let mut sidecar = sidecar::with(&config).await;
    let client = Client::connect(sidecar.address).await;

    let (one, two, three) =
        tokio::join!(client.get("/one"), client.get("/two"), client.get("/three"));

    for answer in [one, two, three] {
        assert_eq!(answer.status(), 504);
        let failed = Outcome::Failed(Failure::ResponseHeaderTimeout);
        assert_eq!(sidecar.record().await.outcome, failed);
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_a_stream_loses_the_stream() {
    let body = "x".repeat(1024 * 1024);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let upstream = upstream::answering(answer).await;
    let mut config = Config::for_upstream(upstream.address);
    config.server.limits.write_timeout = SHORT;
    let mut sidecar = sidecar::with(&config).await;
    let mut raw = Raw::connect(sidecar.address).await;

    // The client's default window takes 64 KiB; it never opens it again.
    raw.ask(1, &h2::head(&[])).await;

    let reset = raw.next(RST_STREAM).await.expect("a reset");
    assert_eq!(reset.stream, 1);
    assert_eq!(sidecar.record().await.outcome, Outcome::Gone { phase: Phase::Response });
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn streams_that_are_begun_only_to_be_reset_end_the_connection() {
    let upstream = silent().await;
    let sidecar = in_front_of(&upstream).await;
    let mut raw = Raw::connect(sidecar.address).await;

    let head = h2::block(&h2::head(&[]));
    for index in 0..2000 {
        let stream = 2 * index + 1;
        raw.say(HEADERS, END_STREAM | END_HEADERS, stream, &head).await;
        raw.say(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await;
        if index % 10 == 0 {
            tokio::task::yield_now().await;
        }
    }

    while raw.next(GOAWAY).await.is_some() {}
    eventually("it is counted", || {
        is(sidecar.metric("sidecar_connection_errors_total{reason=\"flood\"}"), 1.0)
    })
    .await;
    eventually("nothing is left", || {
        sidecar.metric("http_server_active_requests") == 0.0
            && sidecar.metric("sidecar_connections") == 0.0
    })
    .await;
    let mut client = sidecar.client().await;
    client.say("GET /%2f HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 400, "others are served");
}

#[tokio::test]
async fn a_flood_of_frames_that_say_nothing_ends_the_connection() {
    let upstream = silent().await;
    for kind in [h2::CONTINUATION, DATA] {
        let sidecar = in_front_of(&upstream).await;
        let mut raw = Raw::connect(sidecar.address).await;
        let mut fields = h2::head(&[]);
        fields[0] = (":method", "POST");
        let flags = if kind == DATA { END_HEADERS } else { 0 };
        raw.say(HEADERS, flags, 1, &h2::block(&fields)).await;

        for _ in 0..200_000 {
            let frame = h2::frame(kind, 0, 1, &[]);
            if raw.stream.write_all(&frame).await.is_err() {
                break;
            }
        }

        while raw.next(GOAWAY).await.is_some() {}
        eventually("the connection is over", || sidecar.metric("sidecar_connections") == 0.0).await;
        let counted = sidecar.metric("sidecar_connection_errors_total");
        assert!(counted >= 1.0, "frames of type {kind}");
    }
}

#[tokio::test]
async fn a_connection_without_streams_is_told_to_leave() {
    let recorder = recording().await;
    let mut config = Config::for_upstream(recorder.upstream.address);
    config.server.limits.idle_timeout = SHORT;
    config.server.limits.header_timeout = SHORT;
    let sidecar = sidecar::with(&config).await;

    let unused = Client::connect(sidecar.address).await;
    let used = Client::connect(sidecar.address).await;
    assert_eq!(used.get("/").await.status(), 200);

    unused.parted().await.expect("a goodbye");
    used.parted().await.expect("a goodbye");
    assert!(is(sidecar.metric("sidecar_connection_errors_total"), 0.0));
}

#[tokio::test]
async fn a_client_that_ignores_the_goodbye_is_cut() {
    let upstream = silent().await;
    let mut config = Config::for_upstream(upstream.address);
    config.server.limits.header_timeout = SHORT;
    let sidecar = sidecar::with(&config).await;

    let mut raw = Raw::connect(sidecar.address).await;

    // It answers no ping, so the goodbye is never over by itself.
    while raw.next(GOAWAY).await.is_some() {}
}

#[tokio::test]
async fn draining_says_goodbye_and_lets_a_running_stream_finish() {
    let (go, gate) = tokio::sync::watch::channel(false);
    let upstream = upstream::scripted(move |mut wire| {
        let mut gate = gate.clone();
        async move {
            wire.head().await;
            drop(gate.wait_for(|open| *open).await);
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let mut sidecar = in_front_of(&upstream).await;
    let client = Client::connect(sidecar.address).await;
    let mut send = client.send.clone().ready().await.unwrap();
    let (answer, _) = send.send_request(get("/"), true).unwrap();
    eventually("the upstream has it", || upstream.heads().len() == 1).await;

    sidecar.signals.stop.cancel();
    let refused = tokio::time::timeout(PATIENCE, async {
        // Until the GOAWAY is here, a further request may still pass; it waits at the gate.
        while let Ok(mut send) = client.send.clone().ready().await {
            if send.send_request(get("/late"), true).is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
    });
    go.send(true).unwrap();
    let answer = h2::read(answer.await.unwrap()).await.unwrap();

    assert_eq!((answer.status(), &*answer.body), (200, &b"ok"[..]));
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    refused.await.expect("no new streams");
    drop(send);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_stream_that_the_shutdown_cuts_is_recorded_so() {
    let upstream = silent().await;
    let mut sidecar = in_front_of(&upstream).await;
    let client = Client::connect(sidecar.address).await;
    let mut send = client.send.clone().ready().await.unwrap();
    let (_answer, _) = send.send_request(get("/"), true).unwrap();
    eventually("the upstream has it", || upstream.heads().len() == 1).await;

    sidecar.proxy.cut();
    sidecar.signals.stop.cancel();
    sidecar.signals.cut.cancel();

    assert_eq!(sidecar.record().await.outcome, Outcome::Aborted(Abort::Drain));
    sidecar.stop().await;
}
