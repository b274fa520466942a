//! Request bodies that are too slow or too large.

use std::time::Duration;

use vital_sidecar::config::Config;
use vital_sidecar::record::{Outcome, Refusal};

use crate::support::{sidecar, upstream};

#[tokio::test]
async fn a_client_that_stops_sending_its_body_is_408() {
    let upstream = upstream::scripted(async |mut wire| wire.closed().await).await;
    let mut config = Config::for_upstream(upstream.address);
    config.server.limits.body_idle_timeout = Duration::from_millis(50);
    let mut sidecar = sidecar::with(&config).await;

    let mut client = sidecar.client().await;
    client.say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nslo").await;

    assert_eq!(client.answer().await.status, 408);
    assert_eq!(sidecar.record().await.outcome, Outcome::Refused(Refusal::RequestBodyTimeout));
}

#[tokio::test]
async fn a_body_over_the_bound_is_413_whether_declared_or_not() {
    let upstream = upstream::scripted(async |mut wire| wire.closed().await).await;
    let mut config = Config::for_upstream(upstream.address);
    config.server.limits.max_request_body = 4;
    let mut sidecar = sidecar::with(&config).await;

    for body in [
        "content-length: 5\r\n\r\nhello",
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "content-length: 5\r\nexpect: 100-continue\r\n\r\n",
    ] {
        let mut client = sidecar.client().await;
        client.say(format!("POST / HTTP/1.1\r\nhost: a\r\n{body}")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 413, "{body:?}");
        assert_eq!(answer.field("connection"), Some("close"), "{body:?}");
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Refused(Refusal::BodyTooLarge), "{body:?}");
    }
    sidecar.assert_no_more_records();
}
