//! Bugs that were found once, each with the smallest scene that showed it.

use tokio::io::AsyncWriteExt;
use vital_sidecar::config::Config;
use vital_sidecar::record::{Failure, Outcome, Phase, Refusal};

use crate::support::{eventually, sidecar, upstream};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_comes_together_with_the_end_of_file_leaves_a_record() {
    const TIMES: usize = 200;
    let upstream = upstream::scripted(async |mut wire| wire.closed().await).await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    // Whether both arrive in one read is up to the kernel, so it is tried often.
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..TIMES {
        let mut client = sidecar.client().await;
        asking.spawn(async move {
            client.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            client.stream.shutdown().await.expect("a half-close");
            client.rest().await;
        });
    }
    asking.join_all().await;

    for _ in 0..TIMES {
        assert!(matches!(sidecar.record().await.outcome, Outcome::Gone { .. }));
    }
    eventually("the connections end", || sidecar.metric("sidecar_connections") == 0.0).await;
    assert!(sidecar.metric("sidecar_connection_errors_total").abs() < 0.5, "all heads were whole");
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn a_connection_is_closed_when_it_has_been_idle_though_no_other_clock_is_running() {
    let upstream = upstream::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.timeouts.response_header = None;
    config.upstream.timeouts.idle = None;
    config.server.limits.idle_timeout = std::time::Duration::from_millis(50);
    let sidecar = sidecar::with(&config).await;

    let mut client = sidecar.client().await;
    assert_eq!(client.get("/").await.status, 204);
    assert_eq!(client.get("/").await.status, 204, "it is kept open between requests");
    assert_eq!(client.rest().await, b"", "then it is closed");

    assert!(
        sidecar.metric("sidecar_connection_errors_total").abs() < 0.5,
        "nothing is wrong with it"
    );
}

#[tokio::test]
async fn a_client_that_resets_after_a_refusal_is_not_a_broken_head() {
    let upstream = upstream::scripted(async |mut wire| wire.closed().await).await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    for _ in 0..20 {
        let mut client = sidecar.client().await;
        let body = "transfer-encoding: chunked\r\n\r\nwhat\r\nis this";
        client.say(format!("POST / HTTP/1.1\r\nhost: a\r\nhost: b\r\n{body}")).await;
        let socket = socket2::SockRef::from(&client.stream);
        socket.set_linger(Some(std::time::Duration::ZERO)).expect("linger");
        drop(client);
        sidecar.record().await;
    }

    eventually("the connections end", || sidecar.metric("sidecar_connections") == 0.0).await;
    assert!(sidecar.metric("sidecar_connection_errors_total").abs() < 0.5, "all heads were whole");
}

#[tokio::test]
async fn a_request_that_breaks_during_an_early_answer_is_not_the_upstreams_fault() {
    let upstream = upstream::stalling("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nearly").await;
    let mut config = Config::for_upstream(upstream.address);
    config.server.limits.max_request_body = 4;
    let mut sidecar = sidecar::with(&config).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

    for (rest, expected) in [
        ("5\r\nhello\r\n", Outcome::Refused(Refusal::BodyTooLarge)),
        ("what\r\n", Outcome::Refused(Refusal::BadRequest)),
        ("", Outcome::Gone { phase: Phase::Response }),
    ] {
        let mut client = sidecar.client().await;
        client.say(head).await;
        client.until(b"early").await;
        client.say(rest).await;
        if rest.is_empty() {
            client.stream.shutdown().await.expect("a half-close");
        }
        let record = sidecar.record().await;
        assert_eq!((record.outcome, record.status), (expected, Some(200)), "{rest:?}");
        assert_eq!(client.rest().await, b"", "the answer is cut");
    }
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn the_client_is_answered_in_our_version_whatever_the_upstream_speaks() {
    let upstream = upstream::answering("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let sidecar = sidecar::in_front_of(&upstream).await;

    let answer = sidecar.client().await.get("/").await;

    assert!(answer.head.starts_with("http/1.1 200"), "{}", answer.head);
    assert_eq!(answer.body, b"ok");
}

#[tokio::test]
async fn an_upstream_that_switches_protocols_unasked_is_502() {
    let upstream = upstream::answering(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    )
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n").await;

    assert_eq!(client.answer().await.status, 502);
    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamProtocol));
}

#[tokio::test]
async fn what_a_service_says_to_the_sidecar_does_not_reach_the_client_in_trailers() {
    let upstream = upstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\
         trailer: x-sum, x-audit-resource-id, x-error-type\r\n\r\n\
         3\r\nabc\r\n0\r\nx-sum: 7\r\nx-audit-resource-id: secret\r\nx-error-type: secret\r\n\r\n",
    )
    .await;
    let sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\n\r\n").await;
    let wire = String::from_utf8(client.until(b"x-sum: 7\r\n\r\n").await).expect("ASCII");

    assert!(!wire.contains("secret"), "{wire}");
}

#[tokio::test]
async fn a_request_id_of_the_service_does_not_reach_the_client_in_trailers() {
    let upstream = upstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\
         trailer: x-request-id, x-trace-token, x-sum\r\n\r\n\
         3\r\nabc\r\n0\r\nx-request-id: other\r\nx-trace-token: other\r\nx-sum: 7\r\n\r\n",
    )
    .await;
    let mut config = Config::for_upstream(upstream.address);
    config.request_id_header = "x-trace-token".into();
    let sidecar = sidecar::with(&config).await;

    let mut client = sidecar.client().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\n\r\n").await;
    let wire = String::from_utf8(client.until(b"x-sum: 7\r\n\r\n").await).expect("ASCII");

    assert!(!wire.contains("other"), "{wire}");
    assert!(wire.contains("\r\ntrailer: x-sum\r\n"), "{wire}");
}

#[tokio::test]
async fn a_request_put_on_a_connection_that_has_just_closed_goes_to_another() {
    let (closed, mut was_closed) = tokio::sync::mpsc::channel(1);
    let upstream = upstream::scripted(move |mut wire: upstream::Wire| {
        let closed = closed.clone();
        async move {
            wire.head().await;
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            drop(wire);
            closed.send(()).await.expect("the test waits");
        }
    })
    .await;
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.timeouts.response_header = Some(std::time::Duration::from_secs(2));
    let sidecar = sidecar::with(&config).await;

    let mut client = sidecar.client().await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.status, 200);
        was_closed.recv().await.expect("a close");
    }
    assert_eq!(upstream.connections(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_passed_on_though_the_upstream_closes_before_it_has_read_the_request() {
    const TIMES: usize = 20;
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say("HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno").await;
        // Unread bytes make the kernel reset the connection.
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;
    let body = "a".repeat(900_000);

    // Whether the reset overtakes the answer is up to the kernel, so it is tried often.
    for _ in 0..TIMES {
        let answer = sidecar.client().await.post("/", &body).await;
        assert_eq!((answer.status, answer.body.as_slice()), (413, b"no".as_slice()));
        assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    }
    sidecar.assert_no_more_records();
}
