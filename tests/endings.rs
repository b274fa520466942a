//! How an exchange can end: one test per row of the endings table.
//!
//! Each test asserts what the client got, and that exactly one record says how it ended.

mod http2;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use vital_sidecar::config::Config;
use vital_sidecar::proxy::answer::{self, Asked};
use vital_sidecar::proxy::exchange::{Exchange, Stop};
use vital_sidecar::proxy::peer::Peer;
use vital_sidecar::proxy::pipeline;
use vital_sidecar::proxy::reply::ReplyBody;
use vital_sidecar::proxy::survey::Survey;
use vital_sidecar::record::{Abort, Failure, Outcome, Phase, Refusal};

use crate::support::client::Client;
use crate::support::sidecar::Sidecar;
use crate::support::upstream::{self, content_length};
use crate::support::{eventually, sidecar};

const GET: &str = "GET / HTTP/1.1\r\nhost: app.example\r\n\r\n";

#[tokio::test]
async fn an_empty_answer_is_served_at_its_head() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let answer = sidecar.client().await.get("/").await;

    assert_eq!((answer.status, answer.field("content-length")), (200, Some("0")));
    let record = sidecar.record().await;
    assert_eq!((record.outcome, record.status, record.bytes_out), (Outcome::Served, Some(200), 0));
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn an_answer_to_head_is_served_at_its_head_and_keeps_its_length() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 42\r\n\r\n").await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    for _ in 0..2 {
        client.say("HEAD / HTTP/1.1\r\nhost: app.example\r\n\r\n").await;
        assert_eq!(client.head_only().await.field("content-length"), Some("42"));
        let record = sidecar.record().await;
        assert_eq!((record.outcome, record.bytes_out), (Outcome::Served, 0));
    }
    assert_eq!(upstream.connections(), 1, "the upstream connection is reused after HEAD");
}

#[tokio::test]
async fn answers_without_a_body_by_status_are_served_at_their_head() {
    for status in ["204 No Content", "304 Not Modified"] {
        let upstream =
            upstream::answering(format!("HTTP/1.1 {status}\r\netag: \"x\"\r\n\r\n")).await;
        let mut sidecar = sidecar::in_front_of(&upstream).await;

        let mut client = sidecar.client().await;
        assert_eq!(client.get("/").await.field("etag"), Some("\"x\""));
        client.get("/").await;

        assert_eq!(sidecar.record().await.outcome, Outcome::Served, "{status}");
        assert_eq!(upstream.connections(), 1, "{status}: the connection is reused");
    }
}

#[tokio::test]
async fn a_body_of_known_length_is_served_with_its_last_byte() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.body, b"hello");
        let record = sidecar.record().await;
        assert_eq!((record.outcome, record.bytes_out), (Outcome::Served, 5));
    }
    assert_eq!(upstream.connections(), 1, "the upstream connection is reused");
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn a_chunked_body_is_served_at_its_last_chunk() {
    let upstream = upstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    )
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.body, b"abcde");
        let record = sidecar.record().await;
        assert_eq!((record.outcome, record.bytes_out), (Outcome::Served, 5));
    }
    assert_eq!(upstream.connections(), 1, "the upstream connection is reused");
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_is_served() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\n\r\nto the end").await;
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    assert_eq!(sidecar.client().await.get("/").await.body, b"to the end");

    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
}

#[tokio::test]
async fn trailers_reach_a_client_that_asks_for_them_and_end_the_exchange() {
    let upstream = upstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
         3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n",
    )
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\n\r\n").await;
    let wire = String::from_utf8(client.until(b"x-sum: 7\r\n\r\n").await).expect("ASCII");

    assert!(wire.contains("3\r\nabc\r\n0\r\n"), "{wire}");
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    assert!(upstream.heads()[0].contains("te: trailers"), "the upstream is asked for them too");
}

#[tokio::test]
async fn a_grpc_status_in_the_trailers_decides_the_outcome() {
    for (code, expected) in
        [(0, Outcome::Served), (5, Outcome::Served), (14, Outcome::Failed(Failure::GrpcStatus(14)))]
    {
        let upstream = upstream::answering(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\
             trailer: grpc-status\r\n\r\n3\r\nabc\r\n0\r\ngrpc-status: {code}\r\n\r\n"
        ))
        .await;
        let mut sidecar = sidecar::in_front_of(&upstream).await;

        let mut client = sidecar.client().await;
        client.say(GET.replace("host", "te: trailers\r\nhost")).await;
        client.until(format!("grpc-status: {code}\r\n").as_bytes()).await;

        let record = sidecar.record().await;
        assert!(record.stream.is_some(), "gRPC is a stream");
        assert_eq!(record.outcome, expected, "grpc-status {code}");
    }
}

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
async fn a_client_that_closes_right_after_the_announced_length_was_served() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client.say(GET).await;
    client.until(b"hello").await;
    drop(client);

    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
}

#[tokio::test]
async fn a_client_leaving_before_the_head_is_gone_in_its_phase() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.closed().await;
    })
    .await;
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
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.closed().await;
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client.say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf").await;
    eventually("the upstream has the head", || upstream.heads().len() == 1).await;
    drop(client);

    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Gone { phase: Phase::Upstream });
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn an_ordinary_answer_that_stalls_is_aborted() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome").await;
        wire.closed().await;
    })
    .await;
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.timeouts.idle = Some(Duration::from_millis(50));
    let mut sidecar = sidecar::with(&config).await;

    assert_eq!(sidecar.client().await.get("/").await.body, b"some");

    assert_eq!(sidecar.record().await.outcome, Outcome::Aborted(Abort::IdleTimeout));
}

#[tokio::test]
async fn a_stream_has_clocks_of_its_own() {
    let stalling = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n").await;
        wire.closed().await;
    })
    .await;
    let mut config = Config::for_upstream(stalling.address);
    config.upstream.timeouts.idle = Some(Duration::from_millis(1));
    config.upstream.timeouts.stream_idle = Some(Duration::from_millis(50));
    let mut sidecar = sidecar::with(&config).await;
    sidecar.client().await.get("/").await;

    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Aborted(Abort::StreamIdleTimeout));
    assert_eq!(record.stream.map(|stream| stream.events), Some(1));

    let dripping = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await;
        for _ in 0..500 {
            wire.say("data: 1\n\n").await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let mut config = Config::for_upstream(dripping.address);
    config.upstream.timeouts.stream_max = Some(Duration::from_millis(100));
    let mut sidecar = sidecar::with(&config).await;
    sidecar.client().await.get("/").await;

    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Aborted(Abort::StreamMaxDuration));
}

#[tokio::test]
async fn the_drain_deadline_aborts_what_still_runs() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome").await;
        wire.closed().await;
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;
    let mut client = sidecar.client().await;
    client.say(GET).await;
    client.until(b"some").await;

    sidecar.signals.stop.cancel();
    sidecar.proxy.cut();
    sidecar.signals.cut.cancel();

    assert_eq!(sidecar.record().await.outcome, Outcome::Aborted(Abort::Drain));
    assert_eq!(client.rest().await, b"", "the client's connection is closed");
}

#[tokio::test]
async fn a_draining_connection_finishes_its_exchange_and_closes() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsome").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        wire.say("more").await;
    })
    .await;
    let sidecar = sidecar::in_front_of(&upstream).await;
    let mut client = sidecar.client().await;
    client.say(GET).await;
    client.until(b"some").await;

    let mut records = sidecar.stop().await;

    assert_eq!(client.rest().await, b"more");
    assert_eq!(records.recv().await.expect("a record").outcome, Outcome::Served);
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

#[tokio::test]
async fn the_response_clock_starts_when_the_request_is_complete() {
    let upstream = upstream::scripted(async |mut wire| {
        let head = wire.head().await.expect("a head");
        wire.body(content_length(&head)).await;
        wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    })
    .await;
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.timeouts.response_header = Some(Duration::from_millis(60));
    let mut sidecar = sidecar::with(&config).await;

    let mut client = sidecar.client().await;
    client.say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n").await;
    for byte in ["s", "l", "o", "w", "l", "y"] {
        tokio::time::sleep(Duration::from_millis(20)).await;
        client.say(byte).await;
    }

    assert_eq!(client.answer().await.status, 200);
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
}

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

#[tokio::test]
async fn a_panic_in_a_stage_is_500_and_the_connection_survives() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;
    let address = panicking(&sidecar, |exchange, asked| async move {
        let stopped = pipeline::contain(pin!(async {
            tokio::task::yield_now().await;
            panic_now::<()>()
        }))
        .await;
        let Err(stop) = stopped else { unreachable!("the stage panicked") };
        answer::refuse(exchange, stop, asked)
    })
    .await;

    let mut client = Client::connect(address).await;
    for _ in 0..2 {
        let answer = client.get("/").await;
        assert_eq!((answer.status, &answer.json()["error_type"]), (500, &"panic".into()));
        let record = sidecar.record().await;
        assert_eq!((record.outcome, record.status), (Outcome::Panicked, Some(500)));
    }
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn a_panic_that_nobody_contains_still_leaves_its_record() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;
    let address = panicking(&sidecar, |exchange, _| async move {
        let _on_the_stack = exchange;
        tokio::task::yield_now().await;
        let Ok(answer) = panic_now() else { unreachable!("it panicked") };
        answer
    })
    .await;

    let mut client = Client::connect(address).await;
    client.say(GET).await;

    assert_eq!(client.rest().await, b"", "the connection is closed");
    assert_eq!(sidecar.record().await.outcome, Outcome::Panicked);
    sidecar.assert_no_more_records();
}

fn panic_now<T>() -> Result<T, Stop> {
    assert!(std::hint::black_box(false), "a stage panics");
    Err(Stop::Gone)
}

/// A server whose every exchange is real, and whose only stage is `stage`.
async fn panicking<F>(sidecar: &Sidecar, stage: fn(Box<Exchange>, Asked) -> F) -> SocketAddr
where
    F: Future<Output = Response<ReplyBody>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = Arc::clone(&sidecar.proxy);
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(async move {
        let (stream, from) = listener.accept().await.unwrap();
        let peer = Peer::new(from.ip(), "http", Arc::default());
        let service = service_fn(async |request: Request<Incoming>| {
            let (head, _) = request.into_parts();
            let plan = proxy.plan();
            let mut survey = Survey::of(&head.headers, &plan, &peer);
            let exchange = Exchange::begin(&proxy, plan, &peer, &head, &mut survey, false);
            Ok::<_, Infallible>(stage(exchange, Asked::of(&head, &survey)).await)
        });
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    });
    address
}
