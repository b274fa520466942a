//! The duties of an intermediary (RFC 9110, RFC 9112): targets, hop counts, expectations, interim
//! answers, earlier hops, ranges.

mod expectations;

use std::time::Duration;

use vital_sidecar::record::{Outcome, Refusal};

use crate::support::client::Answer;
use crate::support::house::config;
use crate::support::process::Process;
use crate::support::recorder::{Recorder, Seen, recording};
use crate::support::sidecar::{self, Sidecar};
use crate::support::upstream;

async fn scene(more: &str) -> (Recorder, Sidecar) {
    let recorder = recording().await;
    let sidecar = sidecar::with(&config(recorder.upstream.address, more)).await;
    (recorder, sidecar)
}

/// The answer to a request under a configuration, and what reached the upstream.
async fn asked(more: &str, request: &str) -> (Answer, Vec<Seen>) {
    let (recorder, sidecar) = scene(more).await;
    let mut client = sidecar.client().await;
    client.say(request).await;
    (client.answer().await, recorder.seen())
}

fn target(seen: &Seen) -> &str {
    seen.head.lines().next().expect("a request line")
}

#[tokio::test]
async fn an_absolute_target_rules_over_the_host_field_and_becomes_a_path() {
    for (sent, line, host) in [
        ("http://shop.example/a?b=1", "GET /a?b=1 HTTP/1.1", "shop.example"),
        ("http://shop.example:81/", "GET / HTTP/1.1", "shop.example:81"),
        ("https://shop.example", "GET / HTTP/1.1", "shop.example"),
        ("HTTP://shop.example?q", "GET /?q HTTP/1.1", "shop.example"),
        ("http://shop.example/../x/./y", "GET /x/y HTTP/1.1", "shop.example"),
    ] {
        let (answer, seen) =
            asked("", &format!("GET {sent} HTTP/1.1\r\nhost: other.example\r\n\r\n")).await;

        assert_eq!(answer.status, 200, "{sent}");
        assert_eq!((target(&seen[0]), seen[0].field("host")), (line, Some(host)), "{sent}");
        assert_eq!(seen[0].field("x-forwarded-host"), Some(host), "{sent}");
    }
}

#[tokio::test]
async fn targets_that_name_no_resource_here_are_refused_with_a_record() {
    for (line, status, refusal) in [
        ("CONNECT app.example:443", 501, Refusal::NotImplemented),
        ("GET app.example:443", 400, Refusal::BadRequest),
        ("GET ftp://app.example/", 400, Refusal::BadRequest),
        ("GET *", 400, Refusal::BadRequest),
    ] {
        let (recorder, mut sidecar) = scene("").await;
        let mut client = sidecar.client().await;
        client.say(format!("{line} HTTP/1.1\r\nhost: app.example\r\n\r\n")).await;

        let answer = client.answer().await;

        assert_eq!(answer.status, status, "{line}");
        assert_eq!(answer.field("content-type"), Some("application/problem+json"), "{line}");
        let record = sidecar.record().await;
        assert_eq!(
            (record.outcome, record.status),
            (Outcome::Refused(refusal), Some(status)),
            "{line}"
        );
        assert_eq!(&*record.route.template, "_invalid", "{line}");
        assert!(recorder.seen().is_empty(), "{line}");
        sidecar.assert_no_more_records();
    }
}

#[tokio::test]
async fn options_for_the_server_as_a_whole_passes() {
    let (answer, seen) = asked("", "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!((answer.status, target(&seen[0])), (200, "OPTIONS * HTTP/1.1"));
}

#[tokio::test]
async fn max_forwards_is_counted_down_for_options_and_trace_only() {
    for (method, count, passed) in [
        ("OPTIONS", "7", "6"),
        ("TRACE", "1", "0"),
        ("OPTIONS", "99999999999999999999999", "18446744073709551614"),
        ("GET", "0", "0"),
    ] {
        let request = format!("{method} / HTTP/1.1\r\nhost: a\r\nmax-forwards: {count}\r\n\r\n");
        let (answer, seen) = asked("", &request).await;
        assert_eq!(answer.status, 200, "{request}");
        assert_eq!(seen[0].field("max-forwards"), Some(passed), "{request}");
    }
}

#[tokio::test]
async fn at_zero_this_is_the_last_recipient() {
    let (recorder, mut sidecar) = scene("").await;
    let mut client = sidecar.client().await;

    client.say("OPTIONS * HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, &*answer.body), (200, &b""[..]));
    assert!(answer.field("x-request-id").is_some());
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    // Reflecting a request would show a script what it may not read.
    client.say("TRACE / HTTP/1.1\r\nhost: a\r\ncookie: secret\r\nmax-forwards: 0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 501);
    assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
    assert_eq!(sidecar.record().await.outcome, Outcome::Refused(Refusal::NotImplemented));
    for bad in ["max-forwards: -1", "max-forwards: 1\r\nmax-forwards: 1", "max-forwards: "] {
        client.say(format!("OPTIONS / HTTP/1.1\r\nhost: a\r\n{bad}\r\n\r\n")).await;
        assert_eq!(client.answer().await.status, 400, "{bad}");
        assert_eq!(sidecar.record().await.outcome, Outcome::Refused(Refusal::BadRequest));
    }
    assert!(recorder.seen().is_empty(), "nothing was forwarded");
}

#[tokio::test]
async fn of_te_only_trailers_passes() {
    for (te, passed) in [
        ("te: trailers", Some("trailers")),
        ("te: gzip;q=0.5, trailers", Some("trailers")),
        ("te: deflate", None),
        ("te: trailersx", None),
    ] {
        let (_, seen) =
            asked("", &format!("GET / HTTP/1.1\r\nhost: a\r\n{te}\r\nconnection: te\r\n\r\n"))
                .await;
        assert_eq!(seen[0].field("te"), passed, "{te}");
        // Whoever sends TE lists it (RFC 9110 §10.1.4).
        assert_eq!(seen[0].field("connection"), passed.map(|_| "te"), "{te}");
    }
}

const TRUSTING: &str = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";

#[tokio::test]
async fn a_trusted_proxy_s_word_is_kept_and_continued_in_both_forms() {
    let fields = "x-forwarded-for: 198.51.100.7\r\nx-forwarded-proto: https\r\n\
                  x-forwarded-host: shop.example\r\nforwarded: for=198.51.100.7;proto=https\r\n";
    let request = format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n");

    let (_, seen) = asked(TRUSTING, &request).await;
    let field = |name| seen[0].field(name);
    assert_eq!(field("x-forwarded-for"), Some("198.51.100.7, 127.0.0.1"));
    assert_eq!(field("x-forwarded-proto"), Some("https"));
    assert_eq!(field("x-forwarded-host"), Some("shop.example"));
    let expected = "for=198.51.100.7;proto=https, for=127.0.0.1;proto=http;host=\"a\"";
    assert_eq!(field("forwarded"), Some(expected));

    let (_, seen) = asked("", &request).await;
    let field = |name| seen[0].field(name);
    assert_eq!(field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(field("x-forwarded-proto"), Some("http"));
    assert_eq!(field("x-forwarded-host"), Some("a"));
    assert_eq!(field("forwarded"), None);
}

#[tokio::test]
async fn the_standard_form_alone_names_the_client_too() {
    let (_recorder, mut sidecar) = scene(TRUSTING).await;
    let mut client = sidecar.client().await;
    client
        .say("GET / HTTP/1.1\r\nhost: a\r\nforwarded: for=\"[2001:db8::7]:80\";proto=https\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(sidecar.record().await.client_ip.to_string(), "2001:db8::7");
}

#[tokio::test]
async fn an_untrusted_peer_that_speaks_of_earlier_hops_is_named_once() {
    let recorder = recording().await;
    let process = Process::start(&format!(
        "upstream.url = \"http://{}\"\notlp.endpoint = \"\"\n[server.drain]\ndelay = \"0s\"\n",
        recorder.upstream.address
    ))
    .await;
    let mut client = process.client().await;
    for field in ["x-forwarded-proto: https", "x-forwarded-host: b", "x-forwarded-proto: https"] {
        client.say(format!("GET / HTTP/1.1\r\nhost: a\r\n{field}\r\n\r\n")).await;
        assert_eq!(client.answer().await.status, 200);
    }
    process.signal("TERM").await;
    let remains = process.remains().await;

    let warnings: Vec<_> =
        remains.stderr.lines().filter(|line| line.contains("An untrusted peer sent")).collect();
    assert_eq!(warnings.len(), 1, "{}", remains.stderr);
    assert!(warnings[0].contains("127.0.0.1"), "{}", warnings[0]);
}

#[tokio::test]
async fn ranges_pass_in_both_directions() {
    let part = "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 2-4/9\r\ncontent-length: 3\r\n\
                etag: \"v1\"\r\naccept-ranges: bytes\r\n\r\ncde";
    let upstream = upstream::answering(part).await;
    let sidecar = sidecar::in_front_of(&upstream).await;
    let mut client = sidecar.client().await;
    client.say("GET /f HTTP/1.1\r\nhost: a\r\nrange: bytes=2-4\r\nif-range: \"v1\"\r\n\r\n").await;

    let answer = client.answer().await;

    assert_eq!((answer.status, &*answer.body), (206, &b"cde"[..]));
    assert_eq!(answer.field("content-range"), Some("bytes 2-4/9"));
    let head = upstream.heads().remove(0);
    assert!(
        head.contains("range: bytes=2-4\r\n") && head.contains("if-range: \"v1\"\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn a_trailing_slash_is_part_of_the_path() {
    let denied = "[[routes]]\nmatch = \"GET /a/\"\naction = \"deny\"\n";
    for (path, status) in [("/a", 200), ("/a/", 403), ("/a//", 403), ("/a/.", 403)] {
        let (answer, seen) =
            asked(denied, &format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(seen.iter().all(|seen| target(seen) == "GET /a HTTP/1.1"), "{path}");
    }
}

const AS_IS: &str = r#"
[server]
path = "as_is"
[[routes]]
match = "* /admin/{*rest}"
action = "deny"
[[routes]]
match = "GET /open/{*rest}"
"#;

#[tokio::test]
async fn as_is_the_upstream_gets_the_client_s_own_path() {
    for path in ["/a//b", "/a/./b/../c", "/%7Euser", "/files/a%2Fb", "/open/x%5Cy?q=%2f", "/open/%"]
    {
        let (answer, seen) = asked(AS_IS, &format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(target(&seen[0]), format!("GET {path} HTTP/1.1"));
    }
    let (answer, seen) = asked("", "GET /files/a%2Fb HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!((answer.status, seen.len()), (400, 0), "strict is the default");
}

#[tokio::test]
async fn as_is_no_reading_of_a_path_slips_past_a_policy() {
    for (path, status) in [
        ("/admin/x", 403),
        ("/admin/../public", 400),
        ("/public/../admin/x", 400),
        ("//admin/x", 400),
        ("/admin%2Fx", 400),
        ("/%61dmin/x", 400),
        ("/admin%5Cx", 400),
        ("/open/..%2f..%2fadmin/x", 400),
        ("/admin/a%2Fb", 400),
    ] {
        let (answer, seen) = asked(AS_IS, &format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert_eq!((answer.status, seen.len()), (status, 0), "{path}");
    }
}

#[tokio::test]
async fn a_body_that_drips_is_408_where_a_rate_is_asked_for() {
    for (rate, status) in [("1KiB/s", 408), ("0B/s", 200)] {
        let limits =
            format!("[server.limits]\nbody_idle_timeout = \"150ms\"\nmin_body_rate = \"{rate}\"\n");
        let (recorder, mut sidecar) = scene(&limits).await;
        let mut client = sidecar.client().await;
        client.say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n").await;
        for _ in 0..10 {
            client.say("x").await;
            tokio::time::sleep(Duration::from_millis(40)).await;
        }

        assert_eq!(client.answer().await.status, status, "{rate}");
        let outcome = sidecar.record().await.outcome;
        if status == 408 {
            assert_eq!(outcome, Outcome::Refused(Refusal::RequestBodyTimeout));
            assert!(recorder.seen().iter().all(|seen| seen.body.len() < 10), "never a whole body");
        } else {
            assert_eq!(outcome, Outcome::Served);
        }
    }
}

#[tokio::test]
async fn an_inspected_body_must_keep_the_rate_too() {
    let limits = "[server.limits]\nbody_idle_timeout = \"150ms\"\nmin_body_rate = \"1KiB/s\"\n\
                  [captures.kind]\nfrom = \"request.body:/kind\"\nvalues = [\"a\"]\n\
                  [[routes]]\nmatch = \"POST /\"\ncaptures = [\"kind\"]\n";
    let (recorder, mut sidecar) = scene(limits).await;
    let mut client = sidecar.client().await;
    client.say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n").await;
    for _ in 0..10 {
        client.say("x").await;
        tokio::time::sleep(Duration::from_millis(40)).await;
    }

    assert_eq!(client.answer().await.status, 408);
    assert_eq!(sidecar.record().await.outcome, Outcome::Refused(Refusal::RequestBodyTimeout));
    assert!(recorder.seen().is_empty());
}
