//! Clients that leave.

use vital_sidecar::record::{Outcome, Phase};

use super::GET;
use crate::support::{eventually, sidecar, upstream};

#[tokio::test]
async fn a_client_leaving_mid_body_is_gone_and_takes_its_upstream_request_with_it() {
    let (closed, mut was_closed) = tokio::sync::mpsc::channel(1);
    let upstream = upstream::scripted(move |mut wire| {
        let closed = closed.clone();
        async move {
            wire.head().await;
            wire.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n").await;
            wire.closed().await;
            closed.send(()).await.expect("the test waits");
        }
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client.say(GET).await;
    client.until(b"1\r\nx\r\n").await;
    drop(client);

    assert_eq!(sidecar.record().await.outcome, Outcome::Gone { phase: Phase::Response });
    was_closed.recv().await.expect("the upstream sees the cancellation");
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn a_client_leaving_before_the_head_is_gone_in_its_phase() {
    let upstream = upstream::stalling("").await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client.say(GET).await;
    eventually("the upstream has the request", || upstream.heads().len() == 1).await;
    drop(client);

    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Gone { phase: Phase::Upstream });
    assert_eq!(record.status, None, "nobody got a status");
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn a_client_leaving_in_the_middle_of_its_body_is_gone() {
    let upstream = upstream::stalling("").await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client.say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf").await;
    eventually("the upstream has the head", || upstream.heads().len() == 1).await;
    drop(client);

    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Gone { phase: Phase::Upstream });
    sidecar.assert_no_more_records();
}
