//! The rows of the endings table behind an HTTP/2 upstream.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;
use tokio::sync::mpsc;
use vital_sidecar::config::Config;
use vital_sidecar::record::{Abort, Failure, Outcome, Phase, Refusal};

use super::GET;
use crate::support::http2::{self, Call, Frames, Http2};
use crate::support::sidecar::{self, Sidecar, config_for};
use crate::support::{eventually, upstream};

fn config(upstream: &Http2) -> Config {
    config_for(&format!("h2c://{}", upstream.address))
}

async fn before(upstream: &Http2) -> Sidecar {
    sidecar::with(&config(upstream)).await
}

/// An upstream that says a head and perhaps a part of a body, reads nothing, and tells why its stream
/// was reset.
async fn stalling(part: Option<&'static [u8]>) -> (Http2, mpsc::Receiver<Reason>) {
    let (reset, resets) = mpsc::channel(8);
    let upstream = http2::h2c(move |mut call: Call| {
        let reset = reset.clone();
        async move {
            let reason = match part {
                Some(part) => {
                    let mut body = call.begin(&[("content-length", "9")]);
                    body.send_data(Bytes::from_static(part), false).expect("an open stream");
                    poll_fn(|cx| body.poll_reset(cx)).await
                }
                None => poll_fn(|cx| call.answer.poll_reset(cx)).await,
            };
            reset.send(reason.expect("a reset")).await.expect("the test listens");
        }
    })
    .await;
    (upstream, resets)
}

#[tokio::test]
async fn answers_without_a_body_are_served_at_their_head() {
    let upstream = http2::h2c(async |mut call: Call| {
        let path = call.head.uri().path();
        let mut head = http2::head(if path == "/head" { &[("content-length", "42")] } else { &[] });
        if let Ok(status) = path[1..].parse::<u16>() {
            *head.status_mut() = status.try_into().expect("a status");
        }
        call.answer.send_response(head, true).expect("an open stream");
    })
    .await;
    let mut sidecar = before(&upstream).await;

    let mut client = sidecar.client().await;
    for _ in 0..2 {
        client.say("HEAD /head HTTP/1.1\r\nhost: app.example\r\n\r\n").await;
        assert_eq!(client.head_only().await.field("content-length"), Some("42"));
        assert_eq!(client.get("/200").await.field("content-length"), Some("0"));
        assert_eq!((client.get("/204").await.status, client.get("/304").await.status), (204, 304));
        for _ in 0..4 {
            let record = sidecar.record().await;
            assert_eq!((record.outcome, record.bytes_out), (Outcome::Served, 0));
        }
    }
    assert_eq!(upstream.connections(), 1);
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn bodies_are_served_with_their_last_byte() {
    let upstream = http2::h2c(async |mut call: Call| {
        if call.head.uri().path() == "/known" {
            return call.say("hello");
        }
        let mut body = call.begin(&[]);
        body.send_data(Bytes::from_static(b"hel"), false).expect("an open stream");
        body.send_data(Bytes::from_static(b"lo"), true).expect("an open stream");
    })
    .await;
    let mut sidecar = before(&upstream).await;

    let mut client = sidecar.client().await;
    for (path, length) in [("/known", Some("5")), ("/unknown", None), ("/known", Some("5"))] {
        let answer = client.get(path).await;
        assert_eq!(
            (answer.body.as_slice(), answer.field("content-length")),
            (&b"hello"[..], length)
        );
        let record = sidecar.record().await;
        assert_eq!((record.outcome, record.bytes_out), (Outcome::Served, 5), "{path}");
    }
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn trailers_end_the_exchange_and_a_grpc_status_decides_how() {
    let upstream = http2::h2c(async |mut call: Call| {
        let code = call.head.uri().path()[1..].to_owned();
        let mut body = call.begin(&[("content-type", "application/grpc")]);
        body.send_data(Bytes::from_static(b"abc"), false).expect("an open stream");
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.parse().expect("a value"));
        body.send_trailers(trailers).expect("an open stream");
    })
    .await;
    let mut sidecar = before(&upstream).await;

    let mut client = sidecar.client().await;
    for (path, outcome) in [
        ("/0", Outcome::Served),
        ("/5", Outcome::Served),
        ("/14", Outcome::Failed(Failure::GrpcStatus(14))),
    ] {
        assert_eq!(client.get(path).await.body, b"abc");
        assert_eq!(sidecar.record().await.outcome, outcome, "{path}");
    }
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn an_answer_that_is_reset_or_ends_early_is_failed() {
    let upstream = http2::h2c(async |mut call: Call| {
        let is_short = call.head.uri().path() == "/short";
        let mut body = call.begin(&[("content-length", "10")]);
        body.send_data(Bytes::from_static(b"only this"), is_short).expect("an open stream");
        if !is_short {
            // A reset overtakes what is not written yet.
            tokio::time::sleep(Duration::from_millis(20)).await;
            body.send_reset(Reason::INTERNAL_ERROR);
        }
    })
    .await;
    let mut sidecar = before(&upstream).await;

    assert_eq!(sidecar.client().await.get("/reset").await.body, b"only this");
    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Failed(Failure::UpstreamReset));
    assert_eq!((record.status, record.bytes_out), (Some(200), 9));

    assert!(sidecar.client().await.get("/short").await.body.len() < 10);
    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Failed(Failure::UpstreamProtocol));
    sidecar.assert_no_more_records();
    assert_eq!(upstream.connections(), 1, "the connection outlives its streams");
}

#[tokio::test]
async fn a_connection_that_is_lost_mid_body_fails_the_exchange() {
    let upstream = upstream::scripted(async |wire| {
        let mut frames = Frames { stream: wire.stream };
        if !frames.greet().await {
            return;
        }
        let Some(stream) = frames.request().await else { return };
        frames.write(http2::HEADERS, http2::END_HEADERS, stream, http2::STATUS_200).await;
        frames.write(http2::DATA, 0, stream, b"only this").await;
    })
    .await;
    let mut sidecar = sidecar::with(&config_for(&format!("h2c://{}", upstream.address))).await;

    assert_eq!(sidecar.client().await.get("/").await.body, b"only this");

    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamReset));
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn a_client_that_leaves_resets_the_upstreams_stream() {
    let (upstream, mut resets) = stalling(Some(b"some")).await;
    let mut sidecar = before(&upstream).await;
    let mut client = sidecar.client().await;
    client.say(GET).await;
    client.until(b"some").await;
    drop(client);
    assert_eq!(resets.recv().await, Some(Reason::CANCEL));
    assert_eq!(sidecar.record().await.outcome, Outcome::Gone { phase: Phase::Response });

    let (upstream, mut resets) = stalling(None).await;
    let mut sidecar = before(&upstream).await;
    for request in [GET, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf"] {
        let seen = upstream.heads().len();
        let mut client = sidecar.client().await;
        client.say(request).await;
        eventually("the upstream has the head", || upstream.heads().len() > seen).await;
        drop(client);
        assert_eq!(resets.recv().await, Some(Reason::CANCEL), "{request}");
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Gone { phase: Phase::Upstream }, "{request}");
    }
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn a_client_that_closes_right_after_the_announced_length_was_served() {
    let upstream = http2::h2c(async |call: Call| call.say("hello")).await;
    let mut sidecar = before(&upstream).await;

    let mut client = sidecar.client().await;
    client.say(GET).await;
    client.until(b"hello").await;
    drop(client);

    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
}

#[tokio::test]
async fn what_is_too_late_is_aborted_and_its_stream_reset() {
    let (upstream, mut resets) = stalling(Some(b"some")).await;
    let mut patient = config(&upstream);
    patient.upstream.timeouts.idle = Some(Duration::from_millis(50));
    let mut sidecar = sidecar::with(&patient).await;
    assert_eq!(sidecar.client().await.get("/").await.body, b"some");
    assert_eq!(sidecar.record().await.outcome, Outcome::Aborted(Abort::IdleTimeout));
    assert_eq!(resets.recv().await, Some(Reason::CANCEL));

    let (upstream, mut resets) = stalling(None).await;
    let mut patient = config(&upstream);
    patient.upstream.timeouts.response_header = Some(Duration::from_millis(50));
    patient.server.limits.body_idle_timeout = Duration::from_millis(50);
    let mut sidecar = sidecar::with(&patient).await;
    assert_eq!(sidecar.client().await.get("/").await.status, 504);
    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Failed(Failure::ResponseHeaderTimeout));
    assert_eq!(resets.recv().await, Some(Reason::CANCEL));

    let mut client = sidecar.client().await;
    client.say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nslo").await;
    assert_eq!(client.answer().await.status, 408);
    assert_eq!(sidecar.record().await.outcome, Outcome::Refused(Refusal::RequestBodyTimeout));
    assert_eq!(resets.recv().await, Some(Reason::CANCEL));
}

#[tokio::test]
async fn a_body_over_the_bound_is_413_and_its_stream_reset() {
    let (upstream, mut resets) = stalling(None).await;
    let mut narrow = config(&upstream);
    narrow.server.limits.max_request_body = 4;
    let mut sidecar = sidecar::with(&narrow).await;

    let mut client = sidecar.client().await;
    client
        .say("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        .await;

    assert_eq!(client.answer().await.status, 413);
    assert_eq!(sidecar.record().await.outcome, Outcome::Refused(Refusal::BodyTooLarge));
    assert_eq!(resets.recv().await, Some(Reason::CANCEL));
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_reaches_the_client() {
    let upstream = http2::h2c(async |mut call: Call| {
        let mut head = http2::head(&[("content-length", "2")]);
        *head.status_mut() = http::StatusCode::FORBIDDEN;
        let mut body = call.answer.send_response(head, false).expect("an open stream");
        body.send_data(Bytes::from_static(b"no"), true).expect("an open stream");
        // The rest of the request is not wanted (RFC 9113 §8.1).
        call.answer.send_reset(Reason::NO_ERROR);
    })
    .await;
    let mut sidecar = before(&upstream).await;

    let mut client = sidecar.client().await;
    client.say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf").await;
    let answer = client.answer().await;

    assert_eq!((answer.status, answer.body.as_slice()), (403, &b"no"[..]));
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn the_drain_deadline_aborts_what_still_runs() {
    let (upstream, mut resets) = stalling(Some(b"some")).await;
    let mut sidecar = before(&upstream).await;
    let mut client = sidecar.client().await;
    client.say(GET).await;
    client.until(b"some").await;

    sidecar.signals.stop.cancel();
    sidecar.proxy.cut();
    sidecar.signals.cut.cancel();

    assert_eq!(sidecar.record().await.outcome, Outcome::Aborted(Abort::Drain));
    assert_eq!(client.rest().await, b"", "the client's connection is closed");
    assert_eq!(resets.recv().await, Some(Reason::CANCEL));
}
