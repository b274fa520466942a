//! What is spoken towards the upstream: TLS, HTTP/2 by ALPN and by prior knowledge, Unix sockets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use vital_sidecar::config::Config;
use vital_sidecar::record::{Failure, Outcome, Phase, Refusal};

use crate::support::authority::Authority;
use crate::support::http2::{self, Call, Frames, Http2};
use crate::support::sidecar::{Sidecar, config_for};
use crate::support::upstream::{self, Upstream};
use crate::support::{PATIENCE, eventually, sidecar};

/// A sidecar before an upstream that speaks HTTP/2 in the open.
async fn before(upstream: &Http2) -> Sidecar {
    sidecar::with(&h2c(upstream)).await
}

fn h2c(upstream: &Http2) -> Config {
    config_for(&format!("h2c://{}", upstream.address))
}

fn https(port: u16, authority: &Authority) -> Config {
    let mut config = config_for(&format!("https://localhost:{port}"));
    config.upstream.ca_file = Some(authority.file());
    config
}

/// An HTTP/1.1 upstream behind TLS.
async fn http1_over_tls(tls: TlsAcceptor) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut running = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            running.spawn(async move {
                let Ok(mut stream) = tls.accept(stream).await else { return };
                let mut scratch = [0; 4096];
                while let Ok(1..) = stream.read(&mut scratch).await {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret";
                    stream.write_all(answer).await.expect("an open stream");
                }
            });
        }
    });
    (port, tasks)
}

/// Raw HTTP/2: each connection is handed to `script` after the greeting.
async fn raw<F, Fut>(script: F) -> Upstream
where
    F: Fn(Frames) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let script = Arc::new(script);
    upstream::scripted(move |wire| {
        let script = Arc::clone(&script);
        async move {
            let mut frames = Frames { stream: wire.stream };
            if frames.greet().await {
                script(frames).await;
            }
        }
    })
    .await
}

async fn before_raw(upstream: &Upstream) -> Sidecar {
    sidecar::with(&config_for(&format!("h2c://{}", upstream.address))).await
}

#[tokio::test]
async fn a_request_is_translated_to_http2_and_its_answer_back() {
    let upstream = http2::h2c(async |call: Call| call.say("hello")).await;
    let mut sidecar = before(&upstream).await;

    let mut client = sidecar.client().await;
    client
        .say(
            "GET /a/b?c=d HTTP/1.1\r\nhost: app.example:81\r\nconnection: x-hop, keep-alive\r\n\
             x-hop: 1\r\nkeep-alive: 5\r\nx-kept: 1\r\nte: trailers, gzip\r\n\r\n",
        )
        .await;
    let answer = client.answer().await;

    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"hello"[..]));
    assert!(answer.head.starts_with("http/1.1 200"), "{}", answer.head);
    assert_eq!(answer.field("content-length"), Some("5"));
    let head = &upstream.heads()[0];
    assert_eq!(head.uri(), "http://app.example:81/a/b?c=d");
    let fields = head.headers();
    assert_eq!(fields["x-kept"], "1");
    assert_eq!(fields["te"], "trailers", "and nothing else that it said");
    assert!(fields.contains_key("traceparent") && fields.contains_key("x-forwarded-for"));
    for gone in ["host", "connection", "x-hop", "keep-alive", "transfer-encoding"] {
        assert!(!fields.contains_key(gone), "{gone}");
    }
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn the_authority_is_the_clients_or_the_urls() {
    let upstream = http2::h2c(async |call: Call| call.say("ok")).await;
    let mut config = h2c(&upstream);
    let preserving = sidecar::with(&config).await;
    let mut client = preserving.client().await;
    client.say("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
    config.upstream.host_header = vital_sidecar::config::model::HostHeader::Rewrite;
    let rewriting = sidecar::with(&config).await;
    assert_eq!(rewriting.client().await.get("/").await.status, 200);
    assert_eq!(preserving.client().await.get("/").await.status, 200);

    let own = upstream.address.to_string();
    let heads = upstream.heads();
    let seen: Vec<_> = heads.iter().filter_map(|head| head.uri().authority()).collect();
    assert_eq!(seen, [own.as_str(), own.as_str(), "app.example"]);
}

#[tokio::test]
async fn a_host_that_is_no_authority_is_refused() {
    let upstream = http2::h2c(async |call: Call| call.say("ok")).await;
    let mut sidecar = before(&upstream).await;

    let mut client = sidecar.client().await;
    client.say("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n").await;

    assert_eq!(client.answer().await.status, 400);
    assert_eq!(sidecar.record().await.outcome, Outcome::Refused(Refusal::BadRequest));
    assert_eq!(upstream.heads().len(), 0);
}

#[tokio::test]
async fn grpc_goes_through_with_trailers_both_ways() {
    let upstream = http2::h2c(async |mut call: Call| {
        let (message, trailers) = call.read().await;
        let trailers = trailers.expect("request trailers");
        assert_eq!(
            (message.as_slice(), &trailers["x-sum"]),
            (&b"\0\0\0\0\x01q"[..], &"7".parse().unwrap())
        );
        assert!(!trailers.contains_key("x-user-id"), "an identity cannot be claimed in trailers");
        assert_eq!(call.head.headers()["te"], "trailers");
        let mut body = call.begin(&[
            ("content-type", "application/grpc"),
            ("trailer", "grpc-status, x-audit-event"),
        ]);
        body.send_data(Bytes::from_static(b"\0\0\0\0\x01a"), false).expect("open");
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "13".parse().unwrap());
        trailers.insert("x-audit-event", "secret".parse().unwrap());
        body.send_trailers(trailers).expect("open");
    })
    .await;
    let mut sidecar = before(&upstream).await;

    let mut client = sidecar.client().await;
    client
        .say(
            "POST /pkg.Service/Method HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\n\
             te: trailers\r\nconnection: te\r\ntransfer-encoding: chunked\r\ntrailer: x-sum, x-user-id\r\n\r\n\
             6\r\n\0\0\0\0\x01q\r\n0\r\nx-sum: 7\r\nx-user-id: root\r\n\r\n",
        )
        .await;
    let wire = client.until(b"grpc-status: 13\r\n\r\n").await;

    let wire = String::from_utf8_lossy(&wire);
    assert!(wire.contains("6\r\n\0\0\0\0\x01a\r\n0\r\n"), "{wire}");
    assert!(!wire.contains("secret"), "{wire}");
    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Failed(Failure::GrpcStatus(13)));
    assert!(record.stream.is_some());
}

#[tokio::test]
async fn both_sides_of_a_grpc_stream_flow_at_once() {
    let upstream = http2::h2c(async |mut call: Call| {
        let mut answer = call.begin(&[("content-type", "application/grpc")]);
        while let Some(Ok(data)) = call.body.data().await {
            answer.send_data(data, false).expect("open");
        }
        answer
            .send_trailers(
                [("grpc-status".parse().unwrap(), "0".parse().unwrap())].into_iter().collect(),
            )
            .expect("open");
    })
    .await;
    let mut sidecar = before(&upstream).await;

    let mut client = sidecar.client().await;
    client
        .say(
            "POST /s HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\n\
             transfer-encoding: chunked\r\n\r\n",
        )
        .await;
    client.until(b"\r\n\r\n").await;
    for message in ["one", "two", "end"] {
        client.say(format!("3\r\n{message}\r\n")).await;
        client.until(format!("3\r\n{message}\r\n").as_bytes()).await;
    }
    client.say("0\r\n\r\n").await;
    client.until(b"0\r\n\r\n").await;

    let record = sidecar.record().await;
    assert_eq!((record.outcome, record.bytes_in, record.bytes_out), (Outcome::Served, 9, 9));
}

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
async fn a_refused_stream_is_sent_again_and_nothing_else_is() {
    let upstream = raw(async |mut frames| {
        let mut refused = 0;
        while let Some(stream) = frames.request().await {
            if refused == 0 {
                refused += 1;
                frames.reset(stream, http2::REFUSED_STREAM).await;
            } else {
                frames.answer(stream, b"again").await;
            }
        }
    })
    .await;
    let mut sidecar = before_raw(&upstream).await;
    assert_eq!(sidecar.client().await.get("/").await.body, b"again");
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);

    let (seen, mut streams) = tokio::sync::mpsc::channel(8);
    let upstream = raw(move |mut frames| {
        let seen = seen.clone();
        async move {
            while let Some(stream) = frames.request().await {
                seen.send(stream).await.expect("the test listens");
                frames.reset(stream, http2::INTERNAL_ERROR).await;
            }
        }
    })
    .await;
    let mut sidecar = before_raw(&upstream).await;
    assert_eq!(sidecar.client().await.get("/").await.status, 502);
    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamReset));
    assert_eq!(streams.recv().await, Some(1));
    assert!(streams.try_recv().is_err(), "it was sent once");
}

#[tokio::test]
async fn an_upstream_that_refuses_every_stream_is_502() {
    let (seen, mut streams) = tokio::sync::mpsc::channel(8);
    let upstream = raw(move |mut frames| {
        let seen = seen.clone();
        async move {
            while let Some(stream) = frames.request().await {
                seen.send(stream).await.expect("the test listens");
                frames.reset(stream, http2::REFUSED_STREAM).await;
            }
        }
    })
    .await;
    let mut sidecar = before_raw(&upstream).await;

    assert_eq!(sidecar.client().await.get("/").await.status, 502);

    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamReset));
    assert_eq!(
        [streams.recv().await, streams.recv().await, streams.recv().await],
        [Some(1), Some(3), Some(5)]
    );
    assert!(streams.try_recv().is_err(), "three times and no more");
}

#[tokio::test]
async fn a_refused_request_whose_body_was_read_is_not_sent_again() {
    let upstream = raw(async |mut frames| {
        while let Some(frame) = frames.next().await {
            if frame.kind == http2::DATA {
                frames.reset(frame.stream, http2::REFUSED_STREAM).await;
            }
        }
    })
    .await;
    let mut sidecar = before_raw(&upstream).await;

    assert_eq!(sidecar.client().await.post("/", "{}").await.status, 502);

    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamReset));
}

#[tokio::test]
async fn a_connection_that_goes_away_finishes_what_it_took_and_the_rest_goes_to_another() {
    let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (taken, released) = (Arc::clone(&first), Arc::clone(&second));
    let connections = std::sync::atomic::AtomicUsize::new(0);
    let upstream = raw(move |mut frames| {
        let nth = connections.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let (taken, released) = (Arc::clone(&taken), Arc::clone(&released));
        async move {
            if nth > 0 {
                while let Some(stream) = frames.request().await {
                    frames.answer(stream, b"another").await;
                }
                return;
            }
            let kept = frames.request().await.expect("a request");
            taken.notify_one();
            let _beyond = frames.request().await.expect("another request");
            frames.go_away(kept).await;
            released.notified().await;
            frames.answer(kept, b"first").await;
            while frames.next().await.is_some() {}
        }
    })
    .await;
    let mut sidecar = before_raw(&upstream).await;

    let mut kept = sidecar.client().await;
    kept.say("GET /kept HTTP/1.1\r\nhost: a\r\n\r\n").await;
    first.notified().await;
    assert_eq!(sidecar.client().await.get("/beyond").await.body, b"another");
    assert_eq!(sidecar.client().await.get("/later").await.body, b"another");
    second.notify_one();
    assert_eq!(kept.answer().await.body, b"first");

    assert_eq!(upstream.connections(), 2);
    for _ in 0..3 {
        assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    }
    let in_use = || sidecar.metric("sidecar_upstream_connections{");
    eventually("the first connection is closed", || (in_use() - 1.0).abs() < 0.5).await;
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

#[tokio::test]
async fn alpn_decides_what_is_spoken_on_tls() {
    let authority = Authority::new();
    let both = authority.server("localhost", &["h2", "http/1.1"]);
    let upstream = http2::with(
        h2::server::Builder::new(),
        Some(TlsAcceptor::from(both)),
        async |call: Call| call.say("secret"),
    )
    .await;
    let sidecar = sidecar::with(&https(upstream.address.port(), &authority)).await;
    let mut client = sidecar.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.body, b"secret");
    }
    assert_eq!(upstream.connections(), 1);
    assert_eq!(upstream.heads()[0].uri(), "https://app.example/");

    for protocols in [&["http/1.1"][..], &[]] {
        let tls = TlsAcceptor::from(authority.server("localhost", protocols));
        let (port, _tasks) = http1_over_tls(tls).await;
        let sidecar = sidecar::with(&https(port, &authority)).await;
        let mut clients = JoinSet::new();
        for _ in 0..8 {
            let mut client = sidecar.client().await;
            clients.spawn(async move { client.get("/").await.body });
        }
        assert!(clients.join_all().await.into_iter().all(|body| body == b"secret"));
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_trusted_is_502_upstream_tls() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    for (what, server) in [
        ("of another authority", theirs.server("localhost", &[])),
        ("for another name", ours.server("other.example", &[])),
        ("that has expired", ours.expired_server("localhost")),
    ] {
        let (port, _tasks) = http1_over_tls(TlsAcceptor::from(server)).await;
        let mut sidecar = sidecar::with(&https(port, &ours)).await;

        let answer = sidecar.client().await.get("/").await;

        assert_eq!(
            (answer.status, &answer.json()["error_type"]),
            (502, &"upstream_tls".into()),
            "{what}"
        );
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Failed(Failure::UpstreamTls), "{what}");
        let failed = sidecar.metric("errors_total{type=\"upstream_tls\"}");
        assert!((failed - 1.0).abs() < 0.5, "{what}");
        assert!(!sidecar.proxy.upstream().is_reachable());
    }
}

#[tokio::test]
async fn a_handshake_that_breaks_or_hangs_is_502_upstream_tls() {
    let authority = Authority::new();
    let closing = upstream::scripted(async |mut wire| {
        wire.body(16).await;
    })
    .await;
    let garbling = upstream::scripted(async |mut wire| {
        wire.body(16).await;
        wire.say("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        wire.closed().await;
    })
    .await;
    let hanging = upstream::scripted(async |mut wire| wire.closed().await).await;
    for (what, upstream) in [("closes", closing), ("is plain", garbling), ("hangs", hanging)] {
        let mut config = https(upstream.address.port(), &authority);
        config.upstream.timeouts.connect = Duration::from_millis(300);
        let mut sidecar = sidecar::with(&config).await;
        assert_eq!(sidecar.client().await.get("/").await.status, 502, "{what}");
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Failed(Failure::UpstreamTls), "{what}");
    }
    let nobody = upstream::nobody().await;
    let mut sidecar = sidecar::with(&https(nobody.port(), &authority)).await;
    assert_eq!(sidecar.client().await.get("/").await.status, 502);
    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamConnect));
}

#[tokio::test]
async fn an_upstream_that_does_not_speak_http2_is_502() {
    let plain = upstream::scripted(async |mut wire| {
        wire.body(24).await;
        wire.say("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await;
        wire.closed().await;
    })
    .await;
    let mut sidecar = before_raw(&plain).await;
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let mut client = sidecar.client().await;
        clients.spawn(async move { client.get("/").await.status });
    }
    assert_eq!(clients.join_all().await, [502; 4]);
    for _ in 0..4 {
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Failed(Failure::UpstreamProtocol));
    }

    let silent = upstream::scripted(async |mut wire| wire.closed().await).await;
    let mut config = config_for(&format!("h2c://{}", silent.address));
    config.upstream.timeouts.connect = Duration::from_millis(200);
    let mut sidecar = sidecar::with(&config).await;
    assert_eq!(sidecar.client().await.get("/").await.status, 502);
    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamConnect));
}

#[tokio::test]
async fn those_who_wait_for_a_connection_that_fails_fail_with_it() {
    let silent = upstream::scripted(async |mut wire| wire.closed().await).await;
    let mut config = config_for(&format!("h2c://{}", silent.address));
    config.upstream.timeouts.connect = Duration::from_millis(300);
    config.upstream.pool.queue_timeout = PATIENCE;
    let mut sidecar = sidecar::with(&config).await;

    let mut clients = JoinSet::new();
    for _ in 0..20 {
        let mut client = sidecar.client().await;
        clients.spawn(async move { client.get("/").await.status });
    }
    let all = timeout(Duration::from_secs(3), clients.join_all()).await;

    assert_eq!(all.expect("not one after the other"), [502; 20]);
    for _ in 0..20 {
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Failed(Failure::UpstreamConnect));
    }
    assert!(silent.connections() <= 3, "{} attempts", silent.connections());
}

#[tokio::test]
async fn a_unix_socket_is_an_upstream() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("app.sock");
    let listener = UnixListener::bind(&path).expect("bind");
    let (heads, mut seen) = tokio::sync::mpsc::channel(4);
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut running = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let heads = heads.clone();
            running.spawn(async move {
                let mut buffer = vec![0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    let head = String::from_utf8_lossy(&buffer[..read]).into_owned();
                    heads.send(head).await.expect("the test listens");
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nlocal";
                    stream.write_all(answer).await.expect("an open stream");
                }
            });
        }
    });
    let mut config = config_for(&format!("unix:{}", path.display()));
    let mut sidecar = sidecar::with(&config).await;
    let mut client = sidecar.client().await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.body, b"local");
        assert_eq!(sidecar.record().await.outcome, Outcome::Served);
        assert!(seen.recv().await.expect("a head").contains("host: app.example\r\n"));
    }
    config.upstream.host_header = vital_sidecar::config::model::HostHeader::Rewrite;
    sidecar::with(&config).await.client().await.get("/").await;
    assert!(seen.recv().await.expect("a head").contains("host: localhost\r\n"));

    serving.shutdown().await;
    std::fs::remove_file(&path).expect("a socket");
    let mut sidecar = sidecar::with(&config).await;
    assert_eq!(sidecar.client().await.get("/").await.status, 502);
    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamConnect));
}

#[tokio::test]
async fn a_client_that_leaves_resets_its_stream_and_no_other() {
    let (reset, mut resets) = tokio::sync::mpsc::channel(4);
    let upstream = http2::h2c(move |mut call: Call| {
        let reset = reset.clone();
        async move {
            if call.head.uri().path() == "/quick" {
                return call.say("ok");
            }
            let reason = if call.head.uri().path() == "/streaming" {
                let mut body = call.begin(&[]);
                body.send_data(Bytes::from_static(b"x"), false).expect("open");
                std::future::poll_fn(|cx| body.poll_reset(cx)).await
            } else {
                std::future::poll_fn(|cx| call.answer.poll_reset(cx)).await
            };
            reset.send(reason.expect("a reset")).await.expect("the test listens");
        }
    })
    .await;
    let mut sidecar = before(&upstream).await;

    for (path, phase) in [("/streaming", Phase::Response), ("/waiting", Phase::Upstream)] {
        let before = upstream.heads().len();
        let mut client = sidecar.client().await;
        client.say(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        if phase == Phase::Response {
            client.until(b"1\r\nx\r\n").await;
        }
        eventually("it is upstream", || upstream.heads().len() > before).await;
        drop(client);
        assert_eq!(resets.recv().await, Some(Reason::CANCEL), "{path}");
        assert_eq!(sidecar.record().await.outcome, Outcome::Gone { phase }, "{path}");
    }
    assert_eq!(sidecar.client().await.get("/quick").await.status, 200);
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn an_idle_shared_connection_is_closed_with_a_goodbye() {
    let (goodbye, mut heard) = tokio::sync::mpsc::channel(4);
    let upstream = raw(move |mut frames| {
        let goodbye = goodbye.clone();
        async move {
            while let Some(frame) = frames.next().await {
                match frame.kind {
                    http2::HEADERS => frames.answer(frame.stream, b"ok").await,
                    http2::GOAWAY => goodbye.send(()).await.expect("the test listens"),
                    _ => {}
                }
            }
            goodbye.send(()).await.expect("the test listens");
        }
    })
    .await;
    let mut config = config_for(&format!("h2c://{}", upstream.address));
    config.upstream.pool.idle_timeout = Duration::from_millis(50);
    let sidecar = sidecar::with(&config).await;
    let pool = Arc::clone(sidecar.proxy.upstream());
    let mut tending = JoinSet::new();
    tending.spawn(async move { pool.tend().await });

    assert_eq!(sidecar.client().await.get("/").await.body, b"ok");

    for what in ["a GOAWAY", "the end"] {
        let heard = timeout(PATIENCE, heard.recv()).await;
        assert!(heard.is_ok_and(|heard| heard.is_some()), "{what}");
    }
    let open = || sidecar.metric("sidecar_upstream_connections{");
    eventually("it is not counted any more", || open() < 0.5).await;
}

#[tokio::test]
async fn a_drain_lets_streams_finish_and_then_closes_their_connection() {
    let go = Arc::new(Notify::new());
    let gate = Arc::clone(&go);
    let upstream = http2::h2c(move |mut call: Call| {
        let gate = Arc::clone(&gate);
        async move {
            let mut body = call.begin(&[("content-length", "8")]);
            body.send_data(Bytes::from_static(b"some"), false).expect("open");
            gate.notified().await;
            body.send_data(Bytes::from_static(b"more"), true).expect("open");
        }
    })
    .await;
    let mut sidecar = before(&upstream).await;
    let mut client = sidecar.client().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.until(b"some").await;

    sidecar.signals.stop.cancel();
    go.notify_one();

    assert_eq!(client.rest().await, b"more");
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let began = tokio::time::Instant::now();
    sidecar.proxy.upstream().close(deadline).await;
    assert!(began.elapsed() < PATIENCE / 2, "nothing is left to wait for");
    assert!(sidecar.metric("sidecar_upstream_connections{") < 0.5);
}
