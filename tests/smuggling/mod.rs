//! Requests that two readers could read differently: what the client is told, and what a strict
//! upstream received. The tables are in [`heads`]; random mutations of good requests in [`property`].
//!
//! Behind every refused request stands a second, well-formed one. It must never arrive.

mod heads;
mod property;
mod upstream;

use vital_sidecar::config::Config;
use vital_sidecar::record::{Outcome, RouteNames};

use crate::support::client::Client;
use crate::support::sidecar::{self, Sidecar};
use crate::support::{eventually, house};
use upstream::Strict;

/// A request that is refused.
struct Refused {
    name: &'static str,
    bytes: &'static [u8],
    status: u16,
}

const SECOND: &[u8] = b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

async fn scene() -> (Strict, Sidecar) {
    let upstream = upstream::start().await;
    let sidecar = sidecar::with(&config(&upstream)).await;
    (upstream, sidecar)
}

fn config(upstream: &Strict) -> Config {
    Config::for_upstream(upstream.upstream.address)
}

/// Reads the one answer that refuses, and the close behind it.
async fn read_refusal(client: &mut Client, sidecar: &mut Sidecar, name: &str, status: u16) {
    let answer = client.answer().await;
    assert_eq!(answer.status, status, "{name}");
    assert_eq!(answer.field("content-type"), Some("application/problem+json"), "{name}");
    assert_eq!(answer.field("connection"), Some("close"), "{name}");
    assert!(answer.field("date").is_some(), "{name}");
    let id = answer.field("x-request-id").expect(name);
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{name}");
    assert_eq!(problem["request_id"], id, "{name}");
    assert_eq!(client.rest().await, b"", "{name}: one answer, and a close");

    let record = sidecar.record().await;
    assert!(matches!(record.outcome, Outcome::Refused(_)), "{name}: {:?}", record.outcome);
    assert_eq!(
        (record.request_id.to_string().as_str(), record.status),
        (id, Some(status)),
        "{name}"
    );
    sidecar.assert_no_more_records();
}

async fn all_are_refused(cases: &[Refused], head: &[u8]) {
    let (upstream, mut sidecar) = scene().await;
    for Refused { name, bytes, status } in cases {
        let mut client = sidecar.client().await;
        client.say([head, bytes, SECOND].concat()).await;
        read_refusal(&mut client, &mut sidecar, name, *status).await;
        let seen = upstream.take();
        assert_eq!(seen.begun, 0, "{name}: the upstream saw {seen:?}");
    }
    assert_eq!(upstream.upstream.connections(), 0);
    let errors = sidecar.metric("sidecar_connection_errors_total");
    assert!(errors.abs() < 0.5, "a record says it, no second count");
    let path = "http_server_request_duration_seconds_count";
    let page = sidecar.proxy.telemetry().metrics();
    let page = page.expose(vital_sidecar::telemetry::metrics::Format::Text).expect("a page");
    let page = String::from_utf8(page.body).expect("UTF-8");
    let count = page
        .lines()
        .filter(|line| line.starts_with(path) && line.contains(RouteNames::INVALID))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok())
        .sum::<usize>();
    assert_eq!(count, cases.len(), "each is counted under its route");
}

#[tokio::test]
async fn ambiguous_request_lines_are_refused() {
    all_are_refused(heads::LINES, b"").await;
}

#[tokio::test]
async fn missing_doubled_and_odd_hosts_are_refused() {
    all_are_refused(heads::HOSTS, b"").await;
}

#[tokio::test]
async fn ambiguous_fields_are_refused() {
    all_are_refused(heads::FIELDS, b"").await;
}

#[tokio::test]
async fn ambiguous_lengths_are_refused() {
    all_are_refused(heads::LENGTHS, b"").await;
}

#[tokio::test]
async fn ambiguous_codings_are_refused() {
    all_are_refused(heads::CODINGS, b"").await;
}

#[tokio::test]
async fn a_bad_chunk_that_comes_with_its_head_is_refused_before_the_upstream_sees_anything() {
    all_are_refused(heads::CHUNKS, heads::CHUNKED).await;
}

#[test]
fn the_table_is_as_long_as_it_says() {
    let tables =
        [heads::LINES, heads::HOSTS, heads::FIELDS, heads::LENGTHS, heads::CODINGS, heads::CHUNKS];
    assert!(tables.iter().map(|table| table.len()).sum::<usize>() >= 190);
    for table in tables {
        let names: std::collections::HashSet<_> = table.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), table.len(), "a name twice");
    }
}

#[tokio::test]
async fn refused_bytes_are_refused_however_they_are_cut() {
    let (upstream, mut sidecar) = scene().await;
    for Refused { name, bytes, status } in heads::CODINGS.iter().chain(heads::LENGTHS) {
        let mut client = sidecar.client().await;
        for piece in bytes.chunks(7).chain([SECOND]) {
            client.say(piece).await;
            tokio::task::yield_now().await;
        }
        read_refusal(&mut client, &mut sidecar, name, *status).await;
        assert_eq!(upstream.take().begun, 0, "{name}");
    }
}

#[tokio::test]
async fn a_bad_chunk_of_a_running_request_is_answered_once_and_cuts_the_upstream_request() {
    let (upstream, mut sidecar) = scene().await;
    for Refused { name, bytes, status } in heads::CHUNKS {
        let mut client = sidecar.client().await;
        client.say(heads::CHUNKED).await;
        eventually("the upstream has the head", || upstream.seen.lock().begun > 0).await;
        client.say([bytes, SECOND].concat()).await;
        read_refusal(&mut client, &mut sidecar, name, *status).await;
        let seen = upstream.take();
        assert_eq!((seen.requests.len(), seen.violations.len()), (0, 0), "{name}: {seen:?}");
    }
}

#[tokio::test]
async fn a_bad_chunk_behind_a_good_one_of_a_running_request_is_answered_once() {
    let (upstream, mut sidecar) = scene().await;
    for Refused { name, bytes, status } in heads::CHUNKS {
        let mut client = sidecar.client().await;
        client.say([heads::CHUNKED, b"3\r\nabc\r\n"].concat()).await;
        eventually("the upstream has the chunk", || upstream.seen.lock().begun > 0).await;
        client.say(&[b"3;x\r\nabc\r\n", *bytes, SECOND].concat()).await;
        read_refusal(&mut client, &mut sidecar, name, *status).await;
        let seen = upstream.take();
        assert_eq!((seen.requests.len(), seen.violations.len()), (0, 0), "{name}: {seen:?}");
    }
}

#[tokio::test]
async fn a_request_behind_a_good_one_is_refused_after_its_answer() {
    let (upstream, mut sidecar) = scene().await;
    for Refused { name, bytes, status } in heads::LINES.iter().chain(heads::CODINGS) {
        let mut client = sidecar.client().await;
        let first = b"POST /first HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
        client.say([&first[..], bytes, SECOND].concat()).await;
        assert_eq!(client.answer().await.status, 200, "{name}");
        assert_eq!(sidecar.record().await.outcome, Outcome::Served, "{name}");
        read_refusal(&mut client, &mut sidecar, name, *status).await;
        let seen = upstream.take();
        let lines: Vec<_> = seen.requests.iter().map(|request| &*request.line).collect();
        assert_eq!((lines, seen.violations.len()), (vec!["POST /first"], 0), "{name}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_complete() {
    let (upstream, mut sidecar) = scene().await;
    let long = |length| "y".repeat(length);
    let head = "GET / HTTP/1.1\r\nhost: a\r\n";
    for (name, bytes, status) in [
        ("a target", format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", long(8192)), 414),
        ("a target without end", format!("GET /{}", long(8300)), 414),
        ("a head", format!("{head}x: {}\r\n\r\n", long(32 * 1024)), 431),
        ("a field without end", format!("{head}x: {}", long(32 * 1024)), 431),
        ("a name", format!("{head}{}: x\r\n\r\n", long(300)), 431),
        ("fields", format!("{head}{}\r\n", "x: y\r\n".repeat(100)), 431),
    ] {
        let mut client = sidecar.client().await;
        client.say(&bytes).await;
        read_refusal(&mut client, &mut sidecar, name, status).await;
        assert_eq!(upstream.take().begun, 0, "{name}");
    }
}

#[tokio::test]
async fn what_is_exactly_as_large_as_it_may_be_is_served() {
    let (upstream, mut sidecar) = scene().await;
    let start = "GET / HTTP/1.1\r\nhost: a\r\nx: ";
    let head = format!("{start}{}\r\n\r\n", "y".repeat(32 * 1024 - start.len() - 4));
    let fields = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(99));
    let target = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "y".repeat(8191));
    let mut client = sidecar.client().await;
    for bytes in [head, fields, target] {
        client.say(&bytes).await;
        assert_eq!(client.answer().await.status, 200);
        assert_eq!(sidecar.record().await.outcome, Outcome::Served);
        let seen = upstream.take();
        assert_eq!((seen.requests.len(), seen.violations.len()), (1, 0));
    }
}

/// A request that is served: its name, its bytes, and the lines and bodies that the upstream gets.
type Served = (&'static str, &'static [u8], &'static [(&'static str, &'static str)]);

const SERVED: &[Served] = &[
    ("a body that looks like a request (CL.0)",
     b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 36\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n\0",
     &[("POST /", "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n\0")]),
    ("a GET with a body",
     b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nhost: a\r\n\r\n",
     &[("GET /", "hello"), ("GET /2", "")]),
    ("a GET with chunks",
     b"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
       GET /2 HTTP/1.1\r\nhost: a\r\n\r\n",
     &[("GET /", "hello"), ("GET /2", "")]),
    ("an empty body, said twice in words",
     b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\nPOST /2 HTTP/1.1\r\nhost: a\r\n\r\n",
     &[("POST /", ""), ("POST /2", "")]),
    ("zeros before a length",
     b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0005\r\n\r\nhello", &[("POST /", "hello")]),
    ("a tab before a length",
     b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length:\t5 \r\n\r\nhello", &[("POST /", "hello")]),
    ("chunked in capitals",
     b"POST / HTTP/1.1\r\nhost: a\r\nTRANSFER-ENCODING:\tCHUNKED \r\n\r\n0\r\n\r\n", &[("POST /", "")]),
    ("zeros before a chunk size",
     b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0000000000000000000000005\r\nhello\r\n000\r\n\r\n",
     &[("POST /", "hello")]),
    ("extensions, which end here",
     b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5;a=\"GET / HTTP/1.1\";b\r\nhello\r\n0;c\r\n\r\n",
     &[("POST /", "hello")]),
    ("a chunk that looks like the end",
     b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n",
     &[("POST /", "0\r\n\r\n")]),
    ("a trailer",
     b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-sum: 1\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n",
     &[("POST /", ""), ("GET /2", "")]),
    ("three at once",
     b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\nGET /3 HTTP/1.1\r\nhost: a\r\n\r\n",
     &[("GET /1", ""), ("GET /2", ""), ("GET /3", "")]),
    ("an empty line before each",
     b"\r\nGET /1 HTTP/1.1\r\nhost: a\r\n\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n",
     &[("GET /1", ""), ("GET /2", "")]),
    ("an absolute target",
     b"GET http://b:80/x?y HTTP/1.1\r\nhost: a\r\n\r\n", &[("GET /x?y", "")]),
    ("an absolute target of a host only",
     b"GET HTTP://b HTTP/1.1\r\nhost: a\r\n\r\n", &[("GET /", "")]),
    ("an address for a host",
     b"GET / HTTP/1.1\r\nhost: [2001:db8::1]:8080\r\n\r\n", &[("GET /", "")]),
    ("a host with an underscore and a port",
     b"GET / HTTP/1.1\r\nHOST: my_service:80\r\n\r\n", &[("GET /", "")]),
    ("odd but plain names and values",
     b"GET / HTTP/1.1\r\nhost: a\r\n!#$%&'*+-.^_`|~0: \xe9\t\"(;,)\r\nempty:\r\n\r\n", &[("GET /", "")]),
    ("fields that only look like framing",
     b"POST / HTTP/1.1\r\nhost: a\r\nx-content-length: 9\r\ncontent-lengths: 9\r\ncontent-length: 5\r\n\r\nhello",
     &[("POST /", "hello")]),
    ("an unknown method",
     b"PROPFIND / HTTP/1.1\r\nhost: a\r\n\r\n", &[("PROPFIND /", "")]),
    ("what browsers leave unescaped",
     b"GET /a[0]?b={c}|d^e HTTP/1.1\r\nhost: a\r\n\r\n", &[("GET /a[0]?b={c}|d^e", "")]),
];

#[tokio::test]
async fn what_can_be_read_in_one_way_only_is_served() {
    let (upstream, mut sidecar) = scene().await;
    for (name, bytes, expected) in SERVED {
        for size in [usize::MAX, 1] {
            let mut client = sidecar.client().await;
            for piece in bytes.chunks(size) {
                client.say(piece).await;
            }
            for _ in *expected {
                assert_eq!(client.answer().await.status, 200, "{name}");
                assert_eq!(sidecar.record().await.outcome, Outcome::Served, "{name}");
            }
            let seen = upstream.take();
            let requests: Vec<_> =
                seen.requests.iter().map(|seen| (&*seen.line, &*seen.body)).collect();
            assert_eq!((&*requests, seen.violations.len()), (*expected, 0), "{name}");
        }
    }
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn a_refused_head_leaves_a_line_in_the_log_and_believes_nothing() {
    let upstream = upstream::start().await;
    let house = house::open(&house::config(upstream.upstream.address, "")).await;
    let mut client = house.client().await;
    client
        .say(
            "DELETE /secret?token=1 HTTP/1.1\r\nx-request-id: mine\r\nuser-agent: me\r\n\
             traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
        )
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 400);
    let line = house.lines(1).await.remove(0);
    assert_eq!((&line["route"], &line["status"]), (&"_invalid".into(), &400.into()), "{line}");
    assert_eq!((&line["method"], &line["outcome"]), (&"DELETE".into(), &"refused".into()));
    assert_eq!((&line["errorType"], &line["level"]), (&"bad_request".into(), &"warn".into()));
    assert_eq!(line["requestId"], answer.field("x-request-id").expect("an id"));
    let text = line.to_string();
    for secret in ["secret", "token", "mine", "\"me\"", "0af7651916cd43dd"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    house.close().await;
}

#[tokio::test]
async fn a_refusal_of_head_has_no_body() {
    let (_upstream, sidecar) = scene().await;
    let mut client = sidecar.client().await;
    client.say("HEAD / HTTP/1.1\r\n\r\n").await;
    let said = String::from_utf8(client.rest().await).expect("ASCII");
    assert!(said.starts_with("HTTP/1.1 400 ") && said.ends_with("\r\n\r\n"), "{said}");
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let (_upstream, mut sidecar) = scene().await;
    let mut client = sidecar.client().await;
    client.say("POST / HTTP/1.1\r\ncontent-length: 100000\r\n\r\n").await;
    client.say(vec![b'x'; 100_000]).await;
    read_refusal(&mut client, &mut sidecar, "an upload", 400).await;
}

#[tokio::test]
async fn a_head_that_stops_is_counted_and_not_answered() {
    let upstream = upstream::start().await;
    let mut config = config(&upstream);
    config.server.limits.header_timeout = std::time::Duration::from_millis(50);
    let mut sidecar = sidecar::with(&config).await;
    let mut client = sidecar.client().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\nx-").await;
    assert_eq!(client.rest().await, b"");
    let errors = "sidecar_connection_errors_total{reason=\"head_timeout\"}";
    eventually("it is counted", || (sidecar.metric(errors) - 1.0).abs() < 0.5).await;
    sidecar.assert_no_more_records();
}
