//! Streams: known at their head, passed on event by event, and ended with a word where one of our
//! clocks ends them.

use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use vital_sidecar::config::Config;
use vital_sidecar::record::{Abort, Failure, Outcome};

use crate::support::client::Answer;
use crate::support::sidecar::{self, Sidecar};
use crate::support::upstream::{self, Upstream, Wire};

const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n";

/// A sidecar whose stream clock is short and whose other clocks are not.
async fn impatient(upstream: &Upstream) -> Sidecar {
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.timeouts.stream_idle = Some(Duration::from_millis(80));
    sidecar::with(&config).await
}

#[tokio::test]
async fn each_event_arrives_before_the_next_is_sent() {
    let (go, went) = mpsc::channel::<()>(1);
    let went = std::sync::Arc::new(Mutex::new(went));
    let upstream = upstream::scripted(move |mut wire: Wire| {
        let went = std::sync::Arc::clone(&went);
        async move {
            wire.head().await;
            wire.say(format!("{EVENTS}\r\n")).await;
            let mut went = went.lock().await;
            for n in 0..5 {
                wire.say(format!("data: {n}\n\n")).await;
                went.recv().await;
            }
        }
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    for n in 0..5 {
        client.until(format!("data: {n}\n\n").as_bytes()).await;
        go.send(()).await.expect("an upstream that waits");
    }

    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Served);
    assert_eq!(record.stream.as_ref().map(|stream| stream.events), Some(5));
}

#[tokio::test]
async fn a_stalled_event_stream_ends_with_an_error_event() {
    for (said, events) in [("data: 1\n\n", 1), ("data: 1\n\ndata: ha", 1), ("", 0)] {
        let upstream = upstream::stalling(format!("{EVENTS}\r\n{said}")).await;
        let mut sidecar = impatient(&upstream).await;

        let answer = sidecar.client().await.get("/").await;

        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Aborted(Abort::StreamIdleTimeout));
        assert_eq!(record.stream.as_ref().map(|stream| stream.events), Some(events));
        assert_eq!(record.bytes_out, answer.body.len() as u64);
        let problem = last_event(&answer, said);
        assert_eq!(
            (&problem["status"], &problem["error_type"]),
            (&504.into(), &"stream_idle_timeout".into())
        );
        assert_eq!(problem["request_id"], record.request_id.to_string());
        assert_eq!(problem["title"], "Execution timeout");
        sidecar.assert_no_more_records();
    }
}

/// The problem in the `error` event that follows what the upstream said.
fn last_event(answer: &Answer, said: &str) -> serde_json::Value {
    let body = std::str::from_utf8(&answer.body).expect("UTF-8");
    let last = body.strip_prefix(said).expect("all that the upstream said");
    let data =
        last.strip_prefix("\n\nevent: error\ndata: ").and_then(|rest| rest.strip_suffix("\n\n"));
    serde_json::from_str(data.expect("an error event")).expect("JSON on one line")
}

#[tokio::test]
async fn a_stream_that_lasts_too_long_is_told_so() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say(format!("{EVENTS}\r\n")).await;
        loop {
            wire.say("data: 1\n\n").await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.timeouts.stream_max = Some(Duration::from_millis(100));
    let mut sidecar = sidecar::with(&config).await;

    let answer = sidecar.client().await.get("/").await;

    assert_eq!(sidecar.record().await.outcome, Outcome::Aborted(Abort::StreamMaxDuration));
    let body = String::from_utf8(answer.body).expect("UTF-8");
    assert!(body.contains("\n\nevent: error\ndata: {"), "{body}");
    assert!(body.contains("\"error_type\":\"stream_max_duration\""), "{body}");
}

#[tokio::test]
async fn a_stream_of_another_kind_gets_no_event() {
    for head in [
        // What we would add could not be read, or would not fit.
        format!("{EVENTS}content-encoding: gzip\r\n\r\n"),
        format!("{EVENTS}content-length: 100\r\n\r\n"),
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-type: application/jsonl\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-type: application/json-seq\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-type: application/grpc+proto\r\n\r\n".to_owned(),
    ] {
        let upstream = upstream::stalling(format!("{head}some")).await;
        let mut sidecar = impatient(&upstream).await;

        let answer = sidecar.client().await.get("/").await;

        assert_eq!(answer.body, b"some", "{head}");
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Aborted(Abort::StreamIdleTimeout), "{head}");
        assert!(record.stream.is_some(), "{head}");
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_off_between_events_is_told_of_and_half_an_event_stays_half() {
    for (said, is_told) in
        [("data: 1\n\n", true), ("data: 1\n\ndata: {\"half", false), ("data: 1\n", false)]
    {
        let chunk = format!("{:x}\r\n{said}\r\n", said.len());
        let upstream =
            upstream::answering_once(format!("{EVENTS}transfer-encoding: chunked\r\n\r\n{chunk}"))
                .await;
        let mut sidecar = sidecar::in_front_of(&upstream).await;

        let answer = sidecar.client().await.get("/").await;

        assert_eq!(
            sidecar.record().await.outcome,
            Outcome::Failed(Failure::UpstreamReset),
            "{said:?}"
        );
        if is_told {
            assert_eq!(last_event(&answer, said)["error_type"], "upstream_reset");
        } else {
            assert_eq!(answer.body, said.as_bytes());
        }
    }
}

#[tokio::test]
async fn an_ordinary_answer_that_never_begins_is_504() {
    let upstream = upstream::scripted(async |mut wire| wire.closed().await).await;
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.timeouts.request = Some(Duration::from_millis(60));
    let mut sidecar = sidecar::with(&config).await;

    let answer = sidecar.client().await.get("/").await;

    assert_eq!((answer.status, &answer.json()["error_type"]), (504, &"request_timeout".into()));
    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::RequestTimeout));
}
