//! One connection and its upstream, over a pair of sockets: what is written, what is read, and when it can be used
//! again.

use http::Uri;
use http::uri::PathAndQuery;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;

/// A connection, and the upstream's end of it.
fn pair() -> (Connection, UnixStream) {
    let (here, there) = UnixStream::pair().unwrap();
    (Connection::new(Stream::Unix(here)), there)
}

fn ask(connection: &mut Connection, method: &str, target: &str) {
    let target = Uri::from(PathAndQuery::try_from(target).unwrap());
    let head = Request::builder().method(method).uri(target).header("host", "app.example");
    connection.ask(head.body(RequestBody::nothing()).unwrap());
}

async fn head(connection: &mut Connection) -> Result<Response<()>, Broken> {
    poll_fn(|cx| connection.poll_head(cx)).await
}

/// The rest of a body, and how it ended.
async fn body(connection: &mut Connection) -> (Vec<u8>, Result<(), Broken>) {
    let mut data = Vec::new();
    loop {
        match poll_fn(|cx| connection.poll_frame(cx)).await {
            None => return (data, Ok(())),
            Some(Err(broken)) => return (data, Err(broken)),
            Some(Ok(frame)) => data.extend_from_slice(&frame.into_data().unwrap_or_default()),
        }
    }
}

/// What an upstream says, in one go, to one GET, and what becomes of it.
async fn told(text: &str) -> (Connection, UnixStream, Result<Response<()>, Broken>) {
    let (mut connection, mut upstream) = pair();
    assert_eq!(connection.readiness(), Readiness::Ready);
    ask(&mut connection, "GET", "/");
    upstream.write_all(text.replace('|', "\r\n").as_bytes()).await.unwrap();
    let head = head(&mut connection).await;
    (connection, upstream, head)
}

#[tokio::test]
async fn a_request_is_written_as_it_was_made() {
    for (target, line) in [("/a?b=c", "/a?b=c"), ("?q", "/?q"), ("/", "/")] {
        let (mut connection, mut upstream) = pair();
        ask(&mut connection, "GET", target);
        upstream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        assert_eq!(head(&mut connection).await.unwrap().status(), 204);
        drop(connection);
        let mut seen = String::new();
        upstream.read_to_string(&mut seen).await.unwrap();
        assert_eq!(seen, format!("GET {line} HTTP/1.1\r\nhost: app.example\r\n\r\n"));
    }
}

#[tokio::test]
async fn a_body_ends_where_its_head_says_and_the_connection_goes_on() {
    for (answer, expected, readiness) in [
        ("HTTP/1.1 200 OK|content-length: 2||ok", "ok", Readiness::Ready),
        ("HTTP/1.1 200 OK|content-length: 0||", "", Readiness::Ready),
        ("HTTP/1.1 200 OK|transfer-encoding: chunked||2|ok|0||", "ok", Readiness::Ready),
        ("HTTP/1.1 200 OK|transfer-encoding: chunked||2|ok|0|x: y||", "ok", Readiness::Ready),
        ("HTTP/1.1 204 No Content||", "", Readiness::Ready),
        ("HTTP/1.1 304 Not Modified|content-length: 9||", "", Readiness::Ready),
        ("HTTP/1.0 200 OK|content-length: 2||ok", "ok", Readiness::Closed),
        ("HTTP/1.0 200 OK|content-length: 2|connection: keep-alive||ok", "ok", Readiness::Ready),
        ("HTTP/1.1 200 OK|content-length: 2|connection: close||ok", "ok", Readiness::Closed),
        // What nobody asked for.
        ("HTTP/1.1 200 OK|content-length: 2||okay", "ok", Readiness::Closed),
        ("HTTP/1.1 204 No Content||x", "", Readiness::Closed),
        ("HTTP/1.1 200 OK|transfer-encoding: chunked||0||HTTP/1.1", "", Readiness::Closed),
    ] {
        let (mut connection, _upstream, head) = told(answer).await;
        assert!(head.is_ok(), "{answer}");
        let (data, end) = body(&mut connection).await;
        assert!(end.is_ok() && connection.is_end_stream(), "{answer}");
        assert_eq!(data, expected.as_bytes(), "{answer}");
        assert_eq!(connection.readiness(), readiness, "{answer}");
    }
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_whatever_it_says() {
    for fields in ["content-length: 9", "transfer-encoding: chunked", ""] {
        let (mut connection, mut upstream) = pair();
        ask(&mut connection, "HEAD", "/");
        let answer = format!("HTTP/1.1 200 OK\r\nx: y\r\n{fields}\r\n\r\n")
            .replace("\r\n\r\n\r\n", "\r\n\r\n");
        upstream.write_all(answer.as_bytes()).await.unwrap();
        assert!(head(&mut connection).await.is_ok(), "{fields}");
        assert!(connection.is_end_stream(), "{fields}");
        assert_eq!(connection.readiness(), Readiness::Ready, "{fields}");
    }
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_its_connection() {
    let (mut connection, mut upstream, head) = told("HTTP/1.1 200 OK||some").await;
    assert!(head.is_ok() && !connection.is_end_stream());
    upstream.shutdown().await.unwrap();
    let (data, end) = body(&mut connection).await;
    assert!(end.is_ok());
    assert_eq!(data, b"some");
    assert_eq!(connection.readiness(), Readiness::Closed);
}

#[tokio::test]
async fn a_connection_that_ends_too_early_is_gone_and_not_malformed() {
    for answer in ["", "HTTP/1.1 2", "HTTP/1.1 100 Continue||"] {
        let (mut connection, mut upstream) = pair();
        ask(&mut connection, "GET", "/");
        upstream.write_all(answer.replace('|', "\r\n").as_bytes()).await.unwrap();
        drop(upstream);
        assert!(matches!(head(&mut connection).await, Err(Broken::Gone(_))), "{answer}");
    }
    for answer in [
        "HTTP/1.1 200 OK|content-length: 3||ok",
        "HTTP/1.1 200 OK|transfer-encoding: chunked||2|ok",
        "HTTP/1.1 200 OK|transfer-encoding: chunked||2|ok|0|",
    ] {
        let (mut connection, upstream, head) = told(answer).await;
        assert!(head.is_ok(), "{answer}");
        drop(upstream);
        let (data, end) = body(&mut connection).await;
        assert!(matches!(end, Err(Broken::Gone(_))), "{answer}");
        assert_eq!(data, b"ok", "{answer}");
    }
}

#[tokio::test]
async fn somebody_who_does_not_speak_http_is_malformed_at_once() {
    for said in ["220 mail.example ready", "\u{15}\u{3}\u{1}", "HTTP/2 200", "|HTTP/1.1 200 OK||"] {
        let (_connection, _upstream, head) = told(said).await;
        assert!(matches!(head, Err(Broken::Malformed(_))), "{said}");
    }
}

#[tokio::test]
async fn interim_answers_are_passed_over_up_to_the_bound() {
    let interim = |count| "HTTP/1.1 103 Early Hints|link: <a>||".repeat(count);
    let (.., head) = told(&(interim(16) + "HTTP/1.1 200 OK||")).await;
    let head = head.unwrap();
    assert_eq!((head.status().as_u16(), head.headers().len()), (200, 0));
    let (.., head) = told(&(interim(17) + "HTTP/1.1 200 OK||")).await;
    assert!(matches!(head, Err(Broken::Malformed(Malformed::TooManyInterim))));
    let large = format!("HTTP/1.1 103 Early Hints|x: {}||", "y".repeat(MAX_HEAD / 2));
    let (.., head) = told(&large.repeat(2)).await;
    assert!(matches!(head, Err(Broken::Malformed(Malformed::TooLarge))));
}

#[tokio::test]
async fn what_comes_unasked_is_not_an_answer() {
    let (mut connection, mut upstream) = pair();
    upstream.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
    poll_fn(|cx| connection.stream.poll_read_ready(cx)).await.unwrap();
    assert_eq!(connection.readiness(), Readiness::Spoke);
    assert_eq!(connection.readiness(), Readiness::Closed, "and it stays unusable");

    let (mut connection, upstream) = pair();
    drop(upstream);
    poll_fn(|cx| connection.stream.poll_read_ready(cx)).await.unwrap();
    assert_eq!(connection.readiness(), Readiness::Closed);
}

#[tokio::test]
async fn a_task_that_has_used_up_its_turn_sees_what_came_unasked_all_the_same() {
    for (said, expected) in
        [(&b"HTTP/1.1 200 OK\r\n\r\n"[..], Readiness::Spoke), (b"", Readiness::Closed)]
    {
        let (mut connection, mut upstream) = pair();
        upstream.write_all(said).await.unwrap();
        drop(upstream);
        poll_fn(|cx| connection.stream.poll_read_ready(cx)).await.unwrap();
        let readiness = poll_fn(|cx| {
            while pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
            Poll::Ready(connection.readiness())
        });
        assert_eq!(readiness.await, expected);
    }
}

#[tokio::test]
async fn an_answer_that_came_before_the_end_is_read_though_nobody_takes_the_request() {
    let (mut connection, mut upstream) = pair();
    upstream
        .write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno")
        .await
        .unwrap();
    drop(upstream);
    ask(&mut connection, "GET", "/");
    assert_eq!(head(&mut connection).await.unwrap().status(), 413);
    let (data, end) = body(&mut connection).await;
    assert!(end.is_ok());
    assert_eq!(data, b"no");
    assert_eq!(connection.readiness(), Readiness::Closed, "its request was not taken");
}

#[tokio::test]
async fn behind_a_101_stands_another_protocol() {
    let (connection, _upstream, head) = told("HTTP/1.1 101 Switching Protocols||early").await;
    assert_eq!(head.unwrap().status(), 101);
    let (_stream, early) = connection.into_switched().unwrap();
    assert_eq!(early, "early");

    let (connection, ..) = told("HTTP/1.1 200 OK||").await;
    assert!(connection.into_switched().is_none());
}

#[tokio::test]
async fn a_head_that_trickles_is_the_head_that_comes_at_once() {
    let text = b"HTTP/1.1 200 OK\r\na: b\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nc: d\r\n\r\n";
    let (mut connection, mut upstream) = pair();
    ask(&mut connection, "GET", "/");
    let writes = async {
        for byte in text {
            upstream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let reads = async {
        let head = head(&mut connection).await.unwrap();
        assert_eq!(head.headers()["a"], "b");
        body(&mut connection).await
    };
    let ((), (data, end)) = tokio::join!(writes, reads);
    assert!(end.is_ok());
    assert_eq!(data, b"ok");
    assert_eq!(connection.readiness(), Readiness::Ready);
}

#[tokio::test]
async fn a_connection_that_waits_holds_no_buffer() {
    let (mut connection, _upstream, head) = told("HTTP/1.1 200 OK|content-length: 2||ok").await;
    head.unwrap();
    let (data, _) = body(&mut connection).await;
    assert_eq!(data, b"ok");
    assert_eq!(connection.readiness(), Readiness::Ready);
    assert!(!connection.incoming.holds_a_buffer());
}
