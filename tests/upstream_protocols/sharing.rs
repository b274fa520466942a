//! Many requests on few connections: the bounds, the queue, and that none holds another up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use vital_sidecar::record::{Failure, Outcome, Refusal};

use super::{before, before_raw, h2c, raw};
use crate::support::http2::{self, Call};
use crate::support::{PATIENCE, eventually, sidecar};

#[tokio::test]
async fn many_requests_share_few_connections_within_the_upstreams_bound() {
    const BOUND: u32 = 8;
    const REQUESTS: usize = 64;
    let arrived = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let go = Arc::new(Notify::new());
    let mut settings = h2::server::Builder::new();
    settings.max_concurrent_streams(BOUND);
    let (counted, gate) = (Arc::clone(&arrived), Arc::clone(&go));
    let upstream = http2::with(settings, None, move |call: Call| {
        let (counted, gate) = (Arc::clone(&counted), Arc::clone(&gate));
        async move {
            let opened = gate.notified();
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            opened.await;
            call.say("ok");
        }
    })
    .await;
    let mut sidecar = before(&upstream).await;

    let mut clients = JoinSet::new();
    for _ in 0..REQUESTS {
        let mut client = sidecar.client().await;
        clients.spawn(async move { client.get("/").await.status });
    }
    let all_in = || arrived.load(std::sync::atomic::Ordering::SeqCst) == REQUESTS;
    eventually("all requests are upstream at once", all_in).await;
    assert_eq!(upstream.connections(), REQUESTS / BOUND as usize);
    let in_use = "sidecar_upstream_connections{state=\"in_use\"}";
    assert!((sidecar.metric(in_use) - 8.0).abs() < 0.5, "each connection is counted once");
    go.notify_waiters();

    while let Some(status) = clients.join_next().await {
        assert_eq!(status.expect("a client"), 200);
    }
    for _ in 0..REQUESTS {
        assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    }
    eventually("the connections are idle", || sidecar.metric(in_use) < 0.5).await;
}

#[tokio::test]
async fn a_full_pool_of_shared_connections_is_503_after_the_queue_timeout() {
    let mut settings = h2::server::Builder::new();
    settings.max_concurrent_streams(1);
    let go = Arc::new(Notify::new());
    let gate = Arc::clone(&go);
    let upstream = http2::with(settings, None, move |call: Call| {
        let gate = Arc::clone(&gate);
        async move {
            if call.head.uri().path() == "/slow" {
                gate.notified().await;
            }
            call.say("ok");
        }
    })
    .await;
    let mut config = h2c(&upstream);
    config.upstream.pool.max_connections = 1;
    config.upstream.pool.queue_timeout = Duration::from_millis(100);
    let mut sidecar = sidecar::with(&config).await;

    let mut slow = sidecar.client().await;
    slow.say("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually("it is upstream", || upstream.heads().len() == 1).await;
    assert_eq!(sidecar.client().await.get("/").await.status, 503);
    assert_eq!(sidecar.record().await.outcome, Outcome::Refused(Refusal::Overloaded));
    go.notify_one();
    assert_eq!(slow.answer().await.status, 200);
    assert_eq!(sidecar.client().await.get("/").await.status, 200, "and the stream is free again");
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_waiting_request_takes_the_next_free_stream() {
    let mut settings = h2::server::Builder::new();
    settings.max_concurrent_streams(1);
    let upstream = http2::with(settings, None, async |call: Call| {
        tokio::task::yield_now().await;
        call.say("ok");
    })
    .await;
    let mut config = h2c(&upstream);
    config.upstream.pool.max_connections = 1;
    config.upstream.pool.queue_timeout = PATIENCE;
    let sidecar = sidecar::with(&config).await;

    let mut clients = JoinSet::new();
    for _ in 0..50 {
        let mut client = sidecar.client().await;
        clients.spawn(async move { client.get("/").await.status });
    }
    assert!(clients.join_all().await.into_iter().all(|status| status == 200));
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_shared_connection_that_breaks_fails_its_requests_and_the_next_gets_another() {
    let connections = std::sync::atomic::AtomicUsize::new(0);
    let upstream = raw(move |mut frames| {
        let nth = connections.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            while let Some(stream) = frames.request().await {
                if nth == 0 {
                    return; // Closes.
                }
                frames.answer(stream, b"ok").await;
            }
        }
    })
    .await;
    let mut sidecar = before_raw(&upstream).await;

    assert_eq!(sidecar.client().await.get("/").await.status, 502);
    assert_eq!(sidecar.client().await.get("/").await.status, 200);

    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamReset));
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_its_own_answer_back_and_no_other() {
    const PIECE: usize = 16 * 1024;
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let upstream = http2::h2c(move |mut call: Call| {
        let counted = Arc::clone(&counted);
        async move {
            if call.head.uri().path() != "/big" {
                return call.say("small");
            }
            let mut body = call.begin(&[]);
            loop {
                body.reserve_capacity(PIECE);
                let room = std::future::poll_fn(|cx| body.poll_capacity(cx)).await;
                let Some(Ok(room)) = room else { return };
                counted.fetch_add(room, std::sync::atomic::Ordering::SeqCst);
                if body.send_data(Bytes::from(vec![0; room]), false).is_err() {
                    return;
                }
            }
        }
    })
    .await;
    let sidecar = before(&upstream).await;

    let mut idler = sidecar.client().await;
    idler.say("GET /big HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut last = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = sent.load(std::sync::atomic::Ordering::SeqCst);
        if now == last && now > 0 {
            break;
        }
        last = now;
    }
    // Its window, plus what the kernel holds of the client's connection.
    assert!(last < 8 * 1024 * 1024, "{last} bytes were taken for a client that does not read");
    assert_eq!(sidecar.client().await.get("/").await.body, b"small", "others are not held back");
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn an_upstream_that_does_not_read_holds_the_client_back() {
    let upstream = http2::h2c(async |call: Call| {
        let _unread = call;
        std::future::pending::<()>().await;
    })
    .await;
    let mut config = h2c(&upstream);
    config.server.limits.max_request_body = 1 << 40;
    config.upstream.timeouts.response_header = Some(Duration::from_millis(300));
    let mut sidecar = sidecar::with(&config).await;

    let mut client = sidecar.client().await;
    let announced: usize = 1 << 36;
    client.say(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {announced}\r\n\r\n")).await;
    let piece = vec![0; 64 * 1024];
    let pushing = async { while client.stream.write_all(&piece).await.is_ok() {} };
    let _stalled = timeout(PATIENCE, pushing).await;

    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Failed(Failure::ResponseHeaderTimeout));
    assert!(record.bytes_in < 1024 * 1024, "{} bytes were taken", record.bytes_in);
}
