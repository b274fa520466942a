//! Upstreams that are not there, break, or are too late.

use std::time::Duration;

use vital_sidecar::config::Config;
use vital_sidecar::record::{Failure, Outcome};

use crate::support::{sidecar, upstream};

#[tokio::test]
async fn an_upstream_that_breaks_mid_body_is_a_failure_the_client_can_see() {
    for reset in [false, true] {
        let upstream = upstream::scripted(move |mut wire| async move {
            wire.head().await;
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this").await;
            if reset {
                // The bytes must be on their way before the reset overtakes them.
                tokio::time::sleep(Duration::from_millis(20)).await;
                wire.reset();
            }
        })
        .await;
        let mut sidecar = sidecar::in_front_of(&upstream).await;

        let answer = sidecar.client().await.get("/").await;

        assert_eq!(answer.body, b"only this", "the client sees a short body, then the end");
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Failed(Failure::UpstreamReset));
        assert_eq!((record.status, record.bytes_out), (Some(200), 9));
        sidecar.assert_no_more_records();
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_502() {
    let mut config = Config::for_upstream(upstream::nobody().await);
    config.errors_type_base = "https://errors.example/".to_owned();
    let mut sidecar = sidecar::with(&config).await;

    let answer = sidecar.client().await.get("/").await;

    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Failed(Failure::UpstreamConnect));
    assert_eq!((answer.status, record.status), (502, Some(502)));
    assert_eq!(answer.field("content-type"), Some("application/problem+json"));
    let problem = answer.json();
    assert_eq!(problem["error_type"], "upstream_connect");
    assert_eq!(problem["type"], "https://errors.example/upstream_connect");
    assert_eq!(problem["request_id"], record.request_id.to_string());
    assert_eq!(answer.field("x-request-id"), problem["request_id"].as_str());
}

#[tokio::test]
async fn an_upstream_that_closes_before_its_head_is_502_and_the_next_request_succeeds() {
    let served = std::sync::atomic::AtomicUsize::new(0);
    let upstream = upstream::scripted(move |mut wire| {
        let nth = served.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            wire.head().await;
            if nth > 0 {
                wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;
    let mut client = sidecar.client().await;

    assert_eq!(client.get("/").await.status, 502);
    assert_eq!(client.get("/").await.status, 200);

    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamReset));
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
}

#[tokio::test]
async fn an_upstream_that_does_not_speak_http_is_502() {
    let upstream = upstream::answering("220 mail.example ESMTP\r\n\r\n").await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    assert_eq!(sidecar.client().await.get("/").await.status, 502);

    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamProtocol));
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_504() {
    let upstream = upstream::scripted(async |mut wire| wire.closed().await).await;
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.timeouts.response_header = Some(Duration::from_millis(50));
    let mut sidecar = sidecar::with(&config).await;

    let answer = sidecar.client().await.get("/").await;

    assert_eq!((answer.status, &answer.json()["title"]), (504, &"Execution timeout".into()));
    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::ResponseHeaderTimeout));
}
