//! Clients that leave.

use vital_sidecar::record::{Outcome, Phase};
use vital_sidecar::telemetry::metrics::Format;

use super::GET;
use crate::support::house::config;
use crate::support::sidecar::Sidecar;
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

    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Gone { phase: Phase::Response });
    assert_eq!(record.status, Some(200), "what was sent");
    assert_is_counted_without_a_status(&sidecar, "GET");
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
    assert_is_counted_without_a_status(&sidecar, "GET");
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn a_client_leaving_in_the_middle_of_its_body_is_gone_and_got_no_status() {
    let upstream = upstream::stalling("").await;
    // The answer that hyper wants all the same is a 400.
    let asked_for = "[tracing.sampling]
ratio = 0.0
keep_status = [400]
";
    let mut sidecar = sidecar::with(&config(upstream.address, asked_for)).await;

    let mut client = sidecar.client().await;
    client.say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf").await;
    eventually("the upstream has the head", || upstream.heads().len() == 1).await;
    drop(client);

    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Gone { phase: Phase::Upstream });
    assert_eq!((record.status, record.bytes_out), (None, 0), "nobody was there to get any");
    assert_eq!(record.kept, None, "no status was asked for");
    assert_is_counted_without_a_status(&sidecar, "POST");
    sidecar.assert_no_more_records();
}

/// What a client sends ahead is kept for later, and does not hide that it leaves: the line feed that some
/// leave behind a body (RFC 9112 §2.2), or its next request.
#[tokio::test]
async fn a_client_that_has_sent_something_ahead_is_still_seen_leaving() {
    const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc";
    for ahead in ["\r\n", "GET /next HTTP/1.1\r\nhost: a\r\n\r\n"] {
        for comes_at_once in [true, false] {
            let upstream = upstream::stalling("").await;
            let mut sidecar = sidecar::in_front_of(&upstream).await;

            let mut client = sidecar.client().await;
            let first = if comes_at_once { format!("{POST}{ahead}") } else { POST.to_owned() };
            client.say(&first).await;
            eventually("the upstream has the request", || upstream.heads().len() == 1).await;
            if !comes_at_once {
                client.say(ahead).await;
            }
            drop(client);

            let record = sidecar.record().await;
            let gone = Outcome::Gone { phase: Phase::Upstream };
            assert_eq!(record.outcome, gone, "{ahead:?} {comes_at_once}");
            sidecar.assert_no_more_records();
        }
    }
}

fn assert_is_counted_without_a_status(sidecar: &Sidecar, method: &str) {
    let metrics = sidecar.proxy.telemetry().metrics();
    let page = metrics.expose(Format::Text).expect("a page").body;
    let page = String::from_utf8(page).expect("UTF-8");
    let of_server = "http_server_request_duration_seconds_count";
    let counts: Vec<_> = page.lines().filter(|line| line.starts_with(of_server)).collect();
    assert_eq!(counts.len(), 1, "{counts:?}");
    let labels = format!(
        "http_request_method=\"{method}\",http_route=\"_unmatched\",error_type=\"client_abort\""
    );
    assert!(counts[0].contains(&labels), "{counts:?}");
}
