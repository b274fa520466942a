//! What is refused: heads that HTTP/2 forbids or that two readers could read differently.

use http::Request;
use vital_sidecar::config::Config;
use vital_sidecar::record::{Outcome, Refusal};

use crate::support::PATIENCE;
use crate::support::h2::{
    self, Client, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Raw, SETTINGS, get,
};
use crate::support::recorder::recording;
use crate::support::sidecar::{self, in_front_of};

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
