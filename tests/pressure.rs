//! What holds under pressure: slow readers, leaving uploaders, full pools, dying connections, and the
//! older dialects of HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use vital_sidecar::config::Config;
use vital_sidecar::record::{Failure, Outcome, Phase, Refusal};

use crate::support::upstream::{self, Upstream, content_length};
use crate::support::{eventually, sidecar};

const GET: &str = "GET / HTTP/1.1\r\nhost: app.example\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_client_that_leaves_while_uploading_cancels_the_upstream_request() {
    let is_cancelled = Arc::<AtomicBool>::default();
    let noted = Arc::clone(&is_cancelled);
    let upstream = upstream::scripted(move |mut wire| {
        let noted = Arc::clone(&noted);
        async move {
            wire.head().await;
            wire.closed().await;
            noted.store(true, Ordering::SeqCst);
        }
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client
        .say("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        .await;
    eventually("the upstream has the head", || upstream.heads().len() == 1).await;
    drop(client);

    eventually("the upstream's connection ends", || is_cancelled.load(Ordering::SeqCst)).await;
    assert_eq!(sidecar.record().await.outcome, Outcome::Gone { phase: Phase::Upstream });
    let in_use = sidecar.metric("sidecar_upstream_connections{state=\"in_use\"}");
    assert!(in_use.abs() < 0.5, "nothing is in use");
}

/// An upstream that answers with `total` bytes as fast as it is let, and how many it has written.
async fn pouring(total: usize) -> (Upstream, Arc<AtomicUsize>) {
    let written = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&written);
    let upstream = upstream::scripted(move |mut wire| {
        let counted = Arc::clone(&counted);
        async move {
            wire.head().await;
            wire.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {total}\r\n\r\n")).await;
            let piece = vec![b'a'; 64 * 1024];
            for _ in 0..total / piece.len() {
                wire.say(&piece).await;
                counted.fetch_add(piece.len(), Ordering::SeqCst);
            }
        }
    })
    .await;
    (upstream, written)
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_upstream_back() {
    const TOTAL: usize = 48 * MIB;
    let (upstream, written) = pouring(TOTAL).await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client.say(GET).await;
    client.until(b"\r\n\r\n").await;
    let (mut last, mut unchanged) = (0, 0);
    eventually("the upstream stops", || {
        let now = written.load(Ordering::SeqCst);
        unchanged = if now == last && now > 0 { unchanged + 1 } else { 0 };
        last = now;
        unchanged > 100
    })
    .await;

    // What is under way sits in the kernel's buffers, four times at most 6 MiB, and in ours.
    assert!(written.load(Ordering::SeqCst) < 32 * MIB, "{last} bytes were taken from the upstream");
    assert_eq!(client.skip(TOTAL).await, TOTAL);
    let record = sidecar.record().await;
    assert_eq!((record.outcome, record.bytes_out), (Outcome::Served, TOTAL as u64));
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_after_the_write_timeout() {
    let (upstream, _) = pouring(256 * MIB).await;
    let mut config = Config::for_upstream(upstream.address);
    config.server.limits.write_timeout = Duration::from_millis(100);
    let mut sidecar = sidecar::with(&config).await;

    let mut client = sidecar.client().await;
    client.say(GET).await;
    client.until(b"\r\n\r\n").await;

    assert_eq!(sidecar.record().await.outcome, Outcome::Gone { phase: Phase::Response });
    eventually("the connection ends", || sidecar.metric("sidecar_connections") == 0.0).await;
    let in_use = sidecar.metric("sidecar_upstream_connections{state=\"in_use\"}");
    assert!(in_use.abs() < 0.5, "nothing is in use");
}

#[tokio::test]
async fn continue_comes_only_after_every_gate() {
    let upstream = upstream::scripted(async |mut wire| {
        let head = wire.head().await.expect("a head");
        wire.say("HTTP/1.1 100 Continue\r\n\r\n").await;
        wire.body(content_length(&head)).await;
        wire.say(OK).await;
    })
    .await;
    let mut config = Config::for_upstream(upstream.address);
    config.server.limits.max_request_body = 5;
    let sidecar = sidecar::with(&config).await;
    let ask = |length| {
        format!(
            "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        )
    };

    let mut client = sidecar.client().await;
    client.say(ask(5)).await;
    client.until(b"HTTP/1.1 100 Continue\r\n\r\n").await;
    client.say("hello").await;
    assert_eq!(client.answer().await.status, 200);
    assert!(upstream.heads()[0].contains("expect: 100-continue"), "the upstream decides");

    let mut client = sidecar.client().await;
    client.say(ask(6)).await;
    let said = String::from_utf8(client.rest().await).expect("ASCII");
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
    assert_eq!(upstream.heads().len(), 1, "the refused request was not forwarded");
}

#[tokio::test]
async fn a_full_pool_is_503_after_the_queue_timeout() {
    let upstream = upstream::stalling("").await;
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.pool.max_connections = 1;
    config.upstream.pool.queue_timeout = Duration::from_millis(50);
    let mut sidecar = sidecar::with(&config).await;
    let mut first = sidecar.client().await;
    first.say(GET).await;
    eventually("the first is under way", || upstream.heads().len() == 1).await;

    let answer = sidecar.client().await.get("/").await;

    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")));
    let record = sidecar.record().await;
    assert_eq!((record.outcome, record.status), (Outcome::Refused(Refusal::Overloaded), Some(503)));
    assert_eq!(upstream.connections(), 1, "the bound holds");
}

#[tokio::test]
async fn a_place_that_becomes_free_in_time_is_taken() {
    let upstream = upstream::scripted(async |mut wire| {
        while wire.head().await.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            wire.say(OK).await;
        }
    })
    .await;
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.pool.max_connections = 2;
    let sidecar = sidecar::with(&config).await;

    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut client = sidecar.client().await;
        asking.spawn(async move { client.get("/").await.status });
    }

    assert_eq!(asking.join_all().await, [200; 20]);
    assert!(upstream.connections() <= 2, "{} connections", upstream.connections());
}

#[tokio::test]
async fn an_idle_connection_that_died_is_replaced_and_a_sent_request_is_never_repeated() {
    let visits = AtomicUsize::new(0);
    let upstream = upstream::scripted(move |mut wire| {
        let visit = visits.fetch_add(1, Ordering::SeqCst);
        async move {
            wire.head().await;
            wire.say(OK).await;
            if visit > 0 {
                wire.head().await; // Heard, but not answered.
            }
        }
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;
    let mut client = sidecar.client().await;

    assert_eq!(client.post("/", "one").await.status, 200);
    // The first connection is closed by now, or just about to be: the sidecar may see it either way.
    tokio::task::yield_now().await;
    assert_eq!(client.post("/", "two").await.status, 200);
    assert_eq!(client.post("/", "three").await.status, 502);

    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamReset));
    assert_eq!((upstream.heads().len(), upstream.connections()), (3, 2), "each was sent once");
}

#[tokio::test]
async fn an_old_client_gets_an_answer_that_ends_with_its_connection() {
    let upstream = upstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    )
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client.say("GET / HTTP/1.0\r\n\r\n").await;
    let said = String::from_utf8(client.rest().await).expect("ASCII").to_lowercase();

    assert!(said.starts_with("http/1.0 200"), "{said}");
    assert!(said.ends_with("\r\n\r\nabc") && !said.contains("chunked"), "{said}");
    let record = sidecar.record().await;
    assert_eq!((record.outcome, record.protocol), (Outcome::Served, "1.0"));
    let host = format!("host: {}\r\n", upstream.address);
    assert!(upstream.heads()[0].contains(&host), "a request without a host gets the upstream's");
}

#[tokio::test]
async fn an_absolute_target_rules_over_the_host_field() {
    let upstream = upstream::answering(OK).await;
    let sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client.say("GET http://real.example/a?b=1 HTTP/1.1\r\nhost: other.example\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);

    let head = upstream.heads().remove(0);
    assert!(head.starts_with("GET /a?b=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("host: real.example\r\n") && !head.contains("other"), "{head}");
}
