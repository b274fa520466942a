//! HTTP/2 from clients, by prior knowledge: what works, what is refused, what is bounded. ALPN is in
//! `tls`.

use std::time::Duration;

use http::Request;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use vital_sidecar::config::Config;
use vital_sidecar::record::{Abort, Failure, Outcome, Phase, Refusal};

use crate::support::client::Client as Http1;
use crate::support::h2::{
    self, Client, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Raw, SETTINGS, get,
};
use crate::support::recorder::recording;
use crate::support::sidecar::{self, in_front_of};
use crate::support::upstream::{self, Upstream};
use crate::support::{PATIENCE, eventually};

const SHORT: Duration = Duration::from_millis(200);

/// An upstream that reads heads and never answers.
async fn silent() -> Upstream {
    upstream::scripted(|mut wire| async move { while wire.head().await.is_some() {} }).await
}

fn is(count: f64, expected: f64) -> bool {
    (count - expected).abs() < 1e-9
}

#[tokio::test]
async fn a_request_is_told_to_the_upstream_in_http_1_and_leaves_one_record() {
    let recorder = recording().await;
    let mut sidecar = in_front_of(&recorder.upstream).await;
    let client = Client::connect(sidecar.address).await;

    let answer = client.get("/a/../b?c=d").await;

    assert_eq!((answer.status(), &*answer.body), (200, &b"{}"[..]));
    assert!(answer.field("x-request-id").is_some());
    let seen = recorder.only();
    assert!(seen.head.starts_with("GET /b?c=d HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!(seen.field("host"), Some("app.example"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    let record = sidecar.record().await;
    assert_eq!((record.outcome, record.protocol), (Outcome::Served, "2"));
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn a_body_without_a_length_is_chunked_and_one_with_a_length_keeps_it() {
    let recorder = recording().await;
    let sidecar = in_front_of(&recorder.upstream).await;
    let client = Client::connect(sidecar.address).await;
    let post = || Request::post("http://app.example/");

    client.send_with(post().body(()).unwrap(), &[b"ab", b"c"]).await.unwrap();
    let sized = post().header("content-length", 3).body(()).unwrap();
    client.send_with(sized, &[b"ab", b"c"]).await.unwrap();

    let seen = recorder.seen();
    assert_eq!((&*seen[0].body, &*seen[1].body), (&b"abc"[..], &b"abc"[..]));
    assert_eq!(seen[0].field("transfer-encoding"), Some("chunked"));
    assert_eq!(seen[1].field("content-length"), Some("3"));
}

#[tokio::test]
async fn the_crumbs_of_a_cookie_are_one_field_upstream() {
    let recorder = recording().await;
    let sidecar = in_front_of(&recorder.upstream).await;
    let client = Client::connect(sidecar.address).await;
    let mut request = get("/");
    request.headers_mut().append("cookie", "a=1".parse().unwrap());
    request.headers_mut().append("cookie", "b=2".parse().unwrap());
    request.headers_mut().append("te", "trailers".parse().unwrap());

    client.send(request).await.unwrap();

    let seen = recorder.only();
    assert_eq!(seen.field("cookie"), Some("a=1; b=2"));
    assert_eq!(seen.field("te"), Some("trailers"));
}

#[tokio::test]
async fn trailers_of_an_answer_reach_the_client() {
    let upstream = upstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
         2\r\nhi\r\n0\r\nx-sum: 42\r\n\r\n",
    )
    .await;
    let sidecar = in_front_of(&upstream).await;
    let client = Client::connect(sidecar.address).await;

    let answer = client.get("/").await;

    assert_eq!(&*answer.body, b"hi");
    assert_eq!(answer.trailers.unwrap()["x-sum"], "42");
}

#[tokio::test]
async fn the_last_event_of_a_stream_that_stalls_reaches_the_client() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n").await;
        wire.closed().await;
    })
    .await;
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.timeouts.stream_idle = Some(SHORT);
    let mut sidecar = sidecar::with(&config).await;
    let client = Client::connect(sidecar.address).await;

    let answer = client.get("/").await;

    let body = String::from_utf8_lossy(&answer.body);
    assert!(body.contains("\n\nevent: error\ndata: {"), "{body}");
    assert!(body.contains("\"error_type\":\"stream_idle_timeout\""), "{body}");
    assert_eq!(sidecar.record().await.outcome, Outcome::Aborted(Abort::StreamIdleTimeout));
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_even_when_it_is_ours() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 42\r\n\r\n").await;
    let sidecar = in_front_of(&upstream).await;
    let client = Client::connect(sidecar.address).await;
    let head = |path: &str| Request::head(format!("http://app.example{path}")).body(()).unwrap();

    let theirs = client.send(head("/")).await.unwrap();
    let ours = client.send(head("/%2f")).await.unwrap();

    assert_eq!((theirs.status(), theirs.field("content-length")), (200, Some("42")));
    assert_eq!((ours.status(), ours.body.len()), (400, 0));
}

#[tokio::test]
async fn many_streams_share_a_connection_and_each_leaves_its_record() {
    let recorder = recording().await;
    let mut sidecar = in_front_of(&recorder.upstream).await;
    let client = Client::connect(sidecar.address).await;

    let mut running = Vec::new();
    for _ in 0..50 {
        let mut send = client.send.clone().ready().await.unwrap();
        running.push(send.send_request(get("/"), true).unwrap().0);
    }
    for answer in running {
        let answer = h2::read(answer.await.unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    for _ in 0..50 {
        assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    }
    sidecar.assert_no_more_records();
    assert!(is(sidecar.metric("sidecar_connections"), 1.0));
}

#[tokio::test]
async fn a_preface_is_known_however_it_is_cut() {
    let recorder = recording().await;
    let sidecar = in_front_of(&recorder.upstream).await;
    let stream = TcpStream::connect(sidecar.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (theirs, ours) = tokio::io::duplex(64 * 1024);
    let (mut from_client, mut to_client) = tokio::io::split(ours);
    let (mut from_sidecar, mut to_sidecar) = stream.into_split();
    let mut passing = tokio::task::JoinSet::new();
    passing.spawn(async move { tokio::io::copy(&mut from_sidecar, &mut to_client).await });
    passing.spawn(async move {
        let mut byte = [0];
        let mut copied = 0;
        while tokio::io::AsyncReadExt::read(&mut from_client, &mut byte).await? > 0 {
            to_sidecar.write_all(&byte).await?;
            tokio::task::yield_now().await;
            copied += 1;
        }
        Ok(copied)
    });

    let client = Client::over(theirs).await;

    assert_eq!(client.get("/").await.status(), 200);
}

#[tokio::test]
async fn a_method_that_begins_like_the_preface_is_http_1() {
    let recorder = recording().await;
    let sidecar = in_front_of(&recorder.upstream).await;
    let mut client = sidecar.client().await;

    client.say("P").await;
    client.say("ROPFIND / HTTP/1.1\r\nhost: app.example\r\n\r\n").await;

    assert_eq!(client.answer().await.status, 200);
    assert!(recorder.only().head.starts_with("PROPFIND / HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_client_that_stops_inside_the_preface_runs_into_the_clock_of_the_head() {
    let upstream = silent().await;
    let mut config = Config::for_upstream(upstream.address);
    config.server.limits.header_timeout = SHORT;
    let sidecar = sidecar::with(&config).await;

    let mut client = sidecar.client().await;
    client.say("PRI * HT").await;
    client.rest().await;
    let mut gone = sidecar.client().await;
    gone.say("PRI * HT").await;
    gone.stream.shutdown().await.unwrap();
    gone.rest().await;

    for reason in ["head_timeout", "incomplete"] {
        let series = format!("sidecar_connection_errors_total{{reason=\"{reason}\"}}");
        eventually(reason, || is(sidecar.metric(&series), 1.0)).await;
    }
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused_with_a_problem_and_a_record() {
    let recorder = recording().await;
    let mut sidecar = in_front_of(&recorder.upstream).await;
    let client = Client::connect(sidecar.address).await;
    let with = |name: &'static str, value: &str| {
        let mut request = get("/");
        request.headers_mut().append(name, value.parse().unwrap());
        request
    };
    let mut twice = with("host", "app.example");
    twice.headers_mut().append("host", "app.example".parse().unwrap());
    let requests = [
        with("host", "other.example"),
        twice,
        get("/a%2fb"),
        get("/a\\b"),
        get("/%zz"),
        Request::get("http://user@app.example/").body(()).unwrap(),
        Request::get("http://app.example/").header("x-edge", "a ").body(()).unwrap(),
    ];
    for request in requests {
        let said = format!("{request:?}");
        let answer = client.send(request).await.expect(&said);
        assert_eq!(answer.status(), 400, "{said}");
        assert_eq!(answer.json()["error_type"], "bad_request");
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Refused(Refusal::BadRequest), "{said}");
        assert_eq!(answer.field("x-request-id").unwrap(), answer.json()["request_id"]);
    }
    assert!(recorder.seen().is_empty());
}

/// What is wrong, and the head that has it.
type Case = (&'static str, Vec<(&'static str, &'static str)>);

/// Heads whose fields HTTP/2 forbids.
fn with_odd_fields() -> Vec<Case> {
    let full = h2::head;
    vec![
        ("a transfer coding", full(&[("transfer-encoding", "chunked")])),
        ("a connection field", full(&[("connection", "close")])),
        ("keep-alive", full(&[("keep-alive", "1")])),
        ("an upgrade", full(&[("upgrade", "h2c")])),
        ("another te", full(&[("te", "gzip")])),
        ("upper case", full(&[("X-Upper", "1")])),
        ("a line break in a value", full(&[("x-a", "b\r\nx-evil: c")])),
        ("a lone line feed in a value", full(&[("x-a", "b\nc")])),
        ("a NUL in a value", full(&[("x-a", "b\0c")])),
        ("a colon in a name", full(&[("x:a", "b")])),
        ("a space in a name", full(&[("x a", "b")])),
        ("a line break in a name", full(&[("x\r\na", "b")])),
        ("a body shorter than announced", full(&[("content-length", "5")])),
        ("a length that is none", full(&[("content-length", "+5")])),
        ("two lengths", full(&[("content-length", "0"), ("content-length", "0")])),
    ]
}

/// Heads whose control data HTTP/2 forbids.
fn with_odd_pseudo_fields() -> Vec<Case> {
    let full = h2::head;
    vec![
        ("a doubled path", full(&[(":path", "/admin")])),
        ("an unknown pseudo-header field", full(&[(":evil", "1")])),
        ("a status", full(&[(":status", "200")])),
        ("a late pseudo-header field", {
            vec![(":method", "GET"), ("x-a", "b"), (":scheme", "http"), (":path", "/")]
        }),
        ("no method", vec![(":scheme", "http"), (":path", "/"), (":authority", "a")]),
        ("no path", vec![(":method", "GET"), (":scheme", "http"), (":authority", "a")]),
        ("an empty path", {
            vec![(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "")]
        }),
        ("a path with a line break", {
            vec![
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", "/ HTTP/1.1\r\nx: y"),
            ]
        }),
        ("a method with a space", {
            vec![
                (":method", "GET /admin HTTP/1.1"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", "/"),
            ]
        }),
        ("a path that is no path", {
            vec![(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "admin")]
        }),
        ("a strange scheme", {
            vec![(":method", "GET"), (":scheme", "ftp"), (":authority", "a"), (":path", "/")]
        }),
        ("a tunnel", vec![(":method", "CONNECT"), (":authority", "a:443")]),
        ("an extended tunnel", {
            vec![
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", "/"),
            ]
        }),
    ]
}

#[tokio::test]
async fn what_is_not_http_2_never_reaches_the_upstream() {
    let recorder = recording().await;
    let sidecar = in_front_of(&recorder.upstream).await;
    for (what, fields) in [with_odd_fields(), with_odd_pseudo_fields()].concat() {
        let mut raw = Raw::connect(sidecar.address).await;
        raw.ask(1, &fields).await;
        let refusal = tokio::time::timeout(PATIENCE, async {
            loop {
                match raw.frame().await {
                    // A whole answer, a reset of the stream, or the end of the connection.
                    Some(frame) if frame.kind == SETTINGS || frame.kind == DATA => {}
                    Some(frame) => match frame.kind {
                        HEADERS | RST_STREAM | GOAWAY => return Some(frame),
                        _ => {}
                    },
                    None => return None,
                }
            }
        })
        .await
        .expect(what);
        if let Some(frame) = refusal.filter(|frame| frame.kind == HEADERS) {
            // `:status 400` and `:status 501`, as literals or from the static table.
            let is_refusal = frame.payload.first() == Some(&0x8c)
                || frame.payload.windows(3).any(|part| part == b"501")
                || frame.payload.starts_with(&[0x48, 0x82, 0x6c, 0x01])
                || frame.payload.starts_with(&[0x08, 0x03]);
            assert!(is_refusal, "{what}: {:x?}", frame.payload);
        }
    }
    assert!(recorder.seen().is_empty(), "{:?}", recorder.seen());
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_announced_is_never_whole_upstream() {
    for (announced, sent) in [("5", &b"abc"[..]), ("2", b"abc")] {
        let recorder = recording().await;
        let mut sidecar = in_front_of(&recorder.upstream).await;
        let mut raw = Raw::connect(sidecar.address).await;
        let mut fields = h2::head(&[("content-length", announced)]);
        fields[0] = (":method", "POST");
        raw.say(HEADERS, END_HEADERS, 1, &h2::block(&fields)).await;
        raw.say(DATA, END_STREAM, 1, sent).await;

        assert!(raw.next(RST_STREAM).await.is_some(), "{announced}");

        let record = sidecar.record().await;
        assert_ne!(record.outcome, Outcome::Served, "{announced}");
        sidecar.assert_no_more_records();
        assert!(recorder.seen().iter().all(|seen| seen.body != sent), "{announced}");
    }
}

#[tokio::test]
async fn a_head_over_the_bounds_is_431() {
    let recorder = recording().await;
    let mut config = Config::for_upstream(recorder.upstream.address);
    config.server.limits.max_header_bytes = 8 * 1024;
    config.server.limits.max_headers = 10;
    config.server.limits.max_uri_bytes = 100;
    let mut sidecar = sidecar::with(&config).await;
    let client = Client::connect(sidecar.address).await;

    let mut large = get("/");
    large.headers_mut().insert("x-large", "x".repeat(8 * 1024).parse().unwrap());
    let mut many = get("/");
    for index in 0..11 {
        many.headers_mut().append("x-many", index.into());
    }
    for request in [large, many] {
        let answer = client.send(request).await.unwrap();
        assert_eq!(
            (answer.status(), &answer.json()["error_type"]),
            (431, &"header_too_large".into())
        );
        assert_eq!(sidecar.record().await.outcome, Outcome::Refused(Refusal::HeaderTooLarge));
    }
    let long = client.get(&format!("/{}", "a".repeat(100))).await;
    assert_eq!(long.status(), 414);
    // What h2 itself refuses: far over the bound.
    let mut bomb = get("/");
    bomb.headers_mut().insert("x-bomb", "x".repeat(60 * 1024).parse().unwrap());
    let refused = client.send(bomb).await;
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status() == 431));
    assert!(recorder.seen().is_empty());
}

#[tokio::test]
async fn a_stream_that_is_reset_is_recorded_as_gone_and_the_others_go_on() {
    let upstream = upstream::scripted(|mut wire| async move {
        while let Some(head) = wire.head().await {
            if head.starts_with("GET /ok") {
                wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let mut sidecar = in_front_of(&upstream).await;
    let client = Client::connect(sidecar.address).await;

    let mut send = client.send.clone().ready().await.unwrap();
    let (answer, mut stream) = send.send_request(get("/hang"), true).unwrap();
    eventually("the upstream has it", || upstream.heads().len() == 1).await;
    stream.send_reset(::h2::Reason::CANCEL);
    drop(answer);

    assert_eq!(sidecar.record().await.outcome, Outcome::Gone { phase: Phase::Upstream });
    assert_eq!(client.get("/ok").await.status(), 200);
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
}

#[tokio::test]
async fn every_stream_has_its_own_clocks() {
    let upstream = silent().await;
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.timeouts.response_header = Some(SHORT);
    let mut sidecar = sidecar::with(&config).await;
    let client = Client::connect(sidecar.address).await;

    let (one, two, three) =
        tokio::join!(client.get("/one"), client.get("/two"), client.get("/three"));

    for answer in [one, two, three] {
        assert_eq!(answer.status(), 504);
        let failed = Outcome::Failed(Failure::ResponseHeaderTimeout);
        assert_eq!(sidecar.record().await.outcome, failed);
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_a_stream_loses_the_stream() {
    let body = "x".repeat(1024 * 1024);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let upstream = upstream::answering(answer).await;
    let mut config = Config::for_upstream(upstream.address);
    config.server.limits.write_timeout = SHORT;
    let mut sidecar = sidecar::with(&config).await;
    let mut raw = Raw::connect(sidecar.address).await;

    // The client's default window takes 64 KiB; it never opens it again.
    raw.ask(1, &h2::head(&[])).await;

    let reset = raw.next(RST_STREAM).await.expect("a reset");
    assert_eq!(reset.stream, 1);
    assert_eq!(sidecar.record().await.outcome, Outcome::Gone { phase: Phase::Response });
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn streams_that_are_begun_only_to_be_reset_end_the_connection() {
    let upstream = silent().await;
    let sidecar = in_front_of(&upstream).await;
    let mut raw = Raw::connect(sidecar.address).await;

    let head = h2::block(&h2::head(&[]));
    for index in 0..2000 {
        let stream = 2 * index + 1;
        raw.say(HEADERS, END_STREAM | END_HEADERS, stream, &head).await;
        raw.say(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await;
        if index % 10 == 0 {
            tokio::task::yield_now().await;
        }
    }

    while raw.next(GOAWAY).await.is_some() {}
    eventually("it is counted", || {
        is(sidecar.metric("sidecar_connection_errors_total{reason=\"flood\"}"), 1.0)
    })
    .await;
    eventually("nothing is left", || {
        sidecar.metric("http_server_active_requests") == 0.0
            && sidecar.metric("sidecar_connections") == 0.0
    })
    .await;
    let mut client = sidecar.client().await;
    client.say("GET /%2f HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 400, "others are served");
}

#[tokio::test]
async fn a_flood_of_frames_that_say_nothing_ends_the_connection() {
    let upstream = silent().await;
    for kind in [h2::CONTINUATION, DATA] {
        let sidecar = in_front_of(&upstream).await;
        let mut raw = Raw::connect(sidecar.address).await;
        let mut fields = h2::head(&[]);
        fields[0] = (":method", "POST");
        let flags = if kind == DATA { END_HEADERS } else { 0 };
        raw.say(HEADERS, flags, 1, &h2::block(&fields)).await;

        for _ in 0..200_000 {
            let frame = h2::frame(kind, 0, 1, &[]);
            if raw.stream.write_all(&frame).await.is_err() {
                break;
            }
        }

        while raw.next(GOAWAY).await.is_some() {}
        eventually("the connection is over", || sidecar.metric("sidecar_connections") == 0.0).await;
        let counted = sidecar.metric("sidecar_connection_errors_total");
        assert!(counted >= 1.0, "frames of type {kind}");
    }
}

#[tokio::test]
async fn bytes_that_are_not_frames_are_counted() {
    let upstream = silent().await;
    let sidecar = in_front_of(&upstream).await;
    let mut raw = Raw::connect(sidecar.address).await;
    raw.stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n and more of it").await.unwrap();

    while raw.next(GOAWAY).await.is_some() {}

    eventually("it is counted", || {
        is(sidecar.metric("sidecar_connection_errors_total{reason=\"parse\"}"), 1.0)
    })
    .await;
}

#[tokio::test]
async fn a_connection_without_streams_is_told_to_leave() {
    let recorder = recording().await;
    let mut config = Config::for_upstream(recorder.upstream.address);
    config.server.limits.idle_timeout = SHORT;
    config.server.limits.header_timeout = SHORT;
    let sidecar = sidecar::with(&config).await;

    let unused = Client::connect(sidecar.address).await;
    let used = Client::connect(sidecar.address).await;
    assert_eq!(used.get("/").await.status(), 200);

    unused.parted().await.expect("a goodbye");
    used.parted().await.expect("a goodbye");
    assert!(is(sidecar.metric("sidecar_connection_errors_total"), 0.0));
}

#[tokio::test]
async fn a_client_that_ignores_the_goodbye_is_cut() {
    let upstream = silent().await;
    let mut config = Config::for_upstream(upstream.address);
    config.server.limits.header_timeout = SHORT;
    let sidecar = sidecar::with(&config).await;

    let mut raw = Raw::connect(sidecar.address).await;

    // It answers no ping, so the goodbye is never over by itself.
    while raw.next(GOAWAY).await.is_some() {}
}

#[tokio::test]
async fn draining_says_goodbye_and_lets_a_running_stream_finish() {
    let (go, gate) = tokio::sync::watch::channel(false);
    let upstream = upstream::scripted(move |mut wire| {
        let mut gate = gate.clone();
        async move {
            wire.head().await;
            drop(gate.wait_for(|open| *open).await);
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let mut sidecar = in_front_of(&upstream).await;
    let client = Client::connect(sidecar.address).await;
    let mut send = client.send.clone().ready().await.unwrap();
    let (answer, _) = send.send_request(get("/"), true).unwrap();
    eventually("the upstream has it", || upstream.heads().len() == 1).await;

    sidecar.signals.stop.cancel();
    let refused = tokio::time::timeout(PATIENCE, async {
        // Until the GOAWAY is here, a further request may still pass; it waits at the gate.
        while let Ok(mut send) = client.send.clone().ready().await {
            if send.send_request(get("/late"), true).is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
    });
    go.send(true).unwrap();
    let answer = h2::read(answer.await.unwrap()).await.unwrap();

    assert_eq!((answer.status(), &*answer.body), (200, &b"ok"[..]));
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    refused.await.expect("no new streams");
    drop(send);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_stream_that_the_shutdown_cuts_is_recorded_so() {
    let upstream = silent().await;
    let mut sidecar = in_front_of(&upstream).await;
    let client = Client::connect(sidecar.address).await;
    let mut send = client.send.clone().ready().await.unwrap();
    let (_answer, _) = send.send_request(get("/"), true).unwrap();
    eventually("the upstream has it", || upstream.heads().len() == 1).await;

    sidecar.proxy.cut();
    sidecar.signals.stop.cancel();
    sidecar.signals.cut.cancel();

    assert_eq!(sidecar.record().await.outcome, Outcome::Aborted(Abort::Drain));
    sidecar.stop().await;
}

#[tokio::test]
async fn http_1_is_served_beside_it_on_the_same_port() {
    let recorder = recording().await;
    let mut sidecar = in_front_of(&recorder.upstream).await;
    let two = Client::connect(sidecar.address).await;
    let mut one = Http1::connect(sidecar.address).await;

    assert_eq!((two.get("/").await.status(), one.get("/").await.status), (200, 200));

    let mut protocols = [sidecar.record().await.protocol, sidecar.record().await.protocol];
    protocols.sort_unstable();
    assert_eq!(protocols, ["1.1", "2"]);
}
