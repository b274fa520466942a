//! Answers that two readers could understand differently, byte by byte.

use super::matrix::assert_problem;
use crate::support::sidecar;
use crate::support::upstream;

/// Asserts that this answer to a request of this method becomes a 502, twice, and that its connection
/// is never used again.
async fn assert_malformed(method: &str, answer: &[u8]) {
    let shown = format!("{method}: {}", String::from_utf8_lossy(&answer[..answer.len().min(200)]));
    let upstream = upstream::answering(answer).await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;
    let mut client = sidecar.client().await;
    for _ in 0..2 {
        client.say(format!("{method} / HTTP/1.1\r\nhost: app.example\r\n\r\n")).await;
        let got = if method == "HEAD" { client.head_only().await } else { client.answer().await };
        let record = sidecar.record().await;
        assert_eq!(record.status, Some(502), "{shown}");
        if method != "HEAD" {
            assert_problem(&got, &record, 502, "upstream_protocol");
        }
        assert_eq!(record.error_type().expect("a type").as_str(), "upstream_protocol", "{shown}");
    }
    sidecar.assert_no_more_records();
    assert_eq!(upstream.connections(), 2, "{shown}");
}

/// Answers to GET, written without the line ends of a head.
const HEADS: &[&str] = &[
    // Status lines.
    "HTTP/1.1 99 Low",
    "HTTP/1.1 600 High",
    "HTTP/1.1 999 Higher|content-length: 0",
    "HTTP/1.1 1000 Long",
    "HTTP/1.1 20 Short",
    "HTTP/1.1 2xx Pattern",
    "HTTP/1.1  200 Two spaces",
    "HTTP/1.2 200 Version",
    "HTTP/2.0 200 Version",
    "HTTP/0.9 200 Version",
    "http/1.1 200 Case",
    "HTTP/11 200 Dot",
    "ICY 200 OK",
    "GET / HTTP/1.1|host: a",
    "|HTTP/1.1 200 Late|content-length: 0",
    // Lengths.
    "HTTP/1.1 200 OK|content-length: 2|content-length: 2||ok",
    "HTTP/1.1 200 OK|content-length: 2|content-length: 3||ok",
    "HTTP/1.1 200 OK|content-length: 2, 2||ok",
    "HTTP/1.1 200 OK|content-length: 2,3||ok",
    "HTTP/1.1 200 OK|content-length: -2||ok",
    "HTTP/1.1 200 OK|content-length: +2||ok",
    "HTTP/1.1 200 OK|content-length: 0x2||ok",
    "HTTP/1.1 200 OK|content-length: 2 2||ok",
    "HTTP/1.1 200 OK|content-length: two||ok",
    "HTTP/1.1 200 OK|content-length:||ok",
    "HTTP/1.1 200 OK|content-length: 18446744073709551616||ok",
    "HTTP/1.1 200 OK|content-length: 99999999999999999999999||ok",
    "HTTP/1.1 304 Not Modified|content-length: garbage",
    "HTTP/1.1 304 Not Modified|content-length: 2|content-length: 3",
    // Codings.
    "HTTP/1.1 200 OK|content-length: 12|transfer-encoding: chunked||2|ok|0|",
    "HTTP/1.1 200 OK|transfer-encoding: chunked|content-length: 12||2|ok|0|",
    "HTTP/1.1 200 OK|transfer-encoding: gzip||ok",
    "HTTP/1.1 200 OK|transfer-encoding: gzip, chunked||2|ok|0|",
    "HTTP/1.1 200 OK|transfer-encoding: chunked, gzip||2|ok|0|",
    "HTTP/1.1 200 OK|transfer-encoding: chunked, chunked||2|ok|0|",
    "HTTP/1.1 200 OK|transfer-encoding: chunked|transfer-encoding: chunked||2|ok|0|",
    "HTTP/1.1 200 OK|transfer-encoding: gzip|transfer-encoding: chunked||2|ok|0|",
    "HTTP/1.1 200 OK|transfer-encoding: identity||ok",
    "HTTP/1.1 200 OK|transfer-encoding: xchunked||2|ok|0|",
    "HTTP/1.1 200 OK|transfer-encoding:||ok",
    "HTTP/1.1 200 OK|transfer-encoding: chunked;q=1||2|ok|0|",
    "HTTP/1.0 200 OK|transfer-encoding: chunked||2|ok|0|",
    "HTTP/1.0 304 Not Modified|transfer-encoding: chunked",
    // Answers that cannot have what they announce.
    "HTTP/1.1 204 No Content|content-length: 2",
    "HTTP/1.1 204 No Content|content-length: garbage",
    "HTTP/1.1 204 No Content|transfer-encoding: chunked",
    "HTTP/1.1 101 Switching Protocols|connection: upgrade|upgrade: x",
    // Field lines.
    "HTTP/1.1 200 OK|content-length : 2||ok",
    "HTTP/1.1 200 OK|: nameless",
    "HTTP/1.1 200 OK|no colon",
    "HTTP/1.1 200 OK|x: a| folded|content-length: 0",
    "HTTP/1.1 200 OK| x: led by a space|content-length: 0",
    "HTTP/1.1 200 OK|x: nul\0|content-length: 0",
    "HTTP/1.1 200 OK|x: bare\rreturn|content-length: 0",
    "HTTP/1.1 200 OK|x y: space in a name|content-length: 0",
    "HTTP/1.1 200 OK|x\u{e9}: byte in a name|content-length: 0",
    // Line ends.
    "HTTP/1.1 200 OK\ncontent-length: 0",
    "HTTP/1.1 200 OK|x: y\ncontent-length: 0",
    "HTTP/1.1 200 OK|content-length: 0\n",
    "HTTP/1.1 100 Continue\n|HTTP/1.1 200 OK|content-length: 0",
];

#[tokio::test]
async fn a_malformed_answer_is_502_and_ends_its_connection() {
    for head in HEADS {
        let answer = head.replace('|', "\r\n") + "\r\n\r\n";
        assert_malformed("GET", answer.as_bytes()).await;
    }
}

#[tokio::test]
async fn a_malformed_answer_to_head_is_502_although_its_length_frames_nothing() {
    for fields in [
        "content-length: garbage",
        "content-length: 2\r\ncontent-length: 2",
        "content-length: 2\r\ntransfer-encoding: chunked",
        "transfer-encoding: gzip",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
        assert_malformed("HEAD", answer.as_bytes()).await;
    }
}

#[tokio::test]
async fn interim_answers_without_end_are_502() {
    let endless = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n".repeat(17)
        + "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    assert_malformed("GET", endless.as_bytes()).await;
}

#[tokio::test]
async fn too_many_fields_are_502() {
    let many = "x: y\r\n".repeat(300);
    assert_malformed("GET", format!("HTTP/1.1 200 OK\r\n{many}\r\n").as_bytes()).await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_502_before_it_fills_memory() {
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(66 * 1024));
    assert_malformed("GET", endless.as_bytes()).await;
}

/// What looks odd and has one meaning; the body that the client must get.
const HARMLESS: &[(&str, &str)] = &[
    ("HTTP/1.1 200|content-length: 2||ok", "ok"),
    ("HTTP/1.1 200 |content-length: 2||ok", "ok"),
    ("HTTP/1.1 200 OK|Content-Length:2||ok", "ok"),
    ("HTTP/1.1 200 OK|content-length: \t 2 \t||ok", "ok"),
    ("HTTP/1.1 200 OK|content-length: 002||ok", "ok"),
    ("HTTP/1.1 200 OK|transfer-encoding: CHUNKED||2|ok|0||", "ok"),
    ("HTTP/1.1 200 OK|transfer-encoding: chunked||2;ext=1|ok|0||", "ok"),
    ("HTTP/1.1 200 OK|transfer-encoding: chunked||02|ok|00||", "ok"),
    // Chunks are decoded and made anew, so this liberty of the parser's does not travel.
    ("HTTP/1.1 200 OK|transfer-encoding: chunked||2 |ok|0 ||", "ok"),
    ("HTTP/1.1 299 Odd|content-length: 2||ok", "ok"),
    ("HTTP/1.1 599 Odd|content-length: 2||ok", "ok"),
    ("HTTP/1.1 200 OK|x:|content-length: 2||ok", "ok"),
    ("HTTP/1.1 200 OK|x: caf\u{e9}|content-length: 2||ok", "ok"),
    (
        "HTTP/1.1 100 Continue||HTTP/1.1 103 Early Hints|link: <a>||HTTP/1.1 200 OK|content-length: 2||ok",
        "ok",
    ),
    ("HTTP/1.1 204 No Content|content-length: 0||", ""),
    ("HTTP/1.1 304 Not Modified|content-length: 4096||", ""),
    ("HTTP/1.1 304 Not Modified|transfer-encoding: chunked||", ""),
    ("HTTP/1.1 205 Reset Content|content-length: 0||", ""),
];

#[tokio::test]
async fn what_is_only_odd_is_passed_on_and_keeps_its_connection() {
    for (answer, body) in HARMLESS {
        let upstream = upstream::answering(answer.replace('|', "\r\n")).await;
        let mut sidecar = sidecar::in_front_of(&upstream).await;
        let mut client = sidecar.client().await;
        for _ in 0..2 {
            let got = client.get("/").await;
            assert_eq!(got.body, body.as_bytes(), "{answer}");
            let record = sidecar.record().await;
            assert_eq!(record.outcome, vital_sidecar::record::Outcome::Served, "{answer}");
        }
        assert_eq!(upstream.connections(), 1, "{answer}");
    }
}

#[tokio::test]
async fn a_204_goes_on_without_the_length_it_came_with() {
    let upstream =
        upstream::answering("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n").await;
    let sidecar = sidecar::in_front_of(&upstream).await;

    let answer = sidecar.client().await.get("/").await;

    // RFC 9110 §8.6: a server must not send one.
    assert_eq!((answer.status, answer.field("content-length")), (204, None));
}

/// Bodies whose fault comes after the head has passed.
const BODIES: &[&str] = &[
    "2|ok|xyz|",
    "2|ok|-1|",
    "2|ok|0x1|a|",
    "2|ok|ffffffffffffffffff|",
    "2|okay|",
    "2\nok\n0\n\n",
    "2|ok|0|content-length: 5||",
    "2|ok|0|transfer-encoding: chunked||",
    "2|ok|0|no colon||",
];

#[tokio::test]
async fn a_body_that_breaks_its_framing_cuts_the_answer() {
    for body in BODIES {
        let head = "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n";
        let upstream = upstream::answering(head.to_owned() + &body.replace('|', "\r\n")).await;
        let mut sidecar = sidecar::in_front_of(&upstream).await;
        for _ in 0..2 {
            let mut client = sidecar.client().await;
            client.say("GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\r\n").await;
            let said = String::from_utf8(client.rest().await).expect("ASCII");
            assert!(said.starts_with("HTTP/1.1 200 "), "{body}: {said}");
            assert!(!said.ends_with("0\r\n\r\n"), "{body}: the client can tell: {said}");
            let record = sidecar.record().await;
            assert_eq!(
                record.error_type().expect("a type").as_str(),
                "upstream_protocol",
                "{body}"
            );
        }
        assert_eq!(upstream.connections(), 2, "{body}");
    }
}
