//! What reaches the upstream, and what comes back.

use crate::support::house::config;
use crate::support::upstream::{Wire, content_length};
use crate::support::{sidecar, upstream};

#[tokio::test]
async fn the_upstream_request_is_rebuilt_from_validated_parts() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client
        .say(
            "GET /a/%7Eb/../c?q=1&r=%2F HTTP/1.1\r\nHost: app.example\r\nX-Kept: one\r\nX-Kept: two\r\n\
             Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nX-User-Id: root\r\n\
             x_tenant_id: t\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\
             Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
             X-Request-Id: mine\r\nProxy-Authorization: secret\r\n\r\n",
        )
        .await;
    let answer = client.answer().await;

    let head = upstream.heads().remove(0);
    let lines: Vec<_> = head.trim_end().split("\r\n").collect();
    assert_eq!(lines[0], "GET /a/c?q=1&r=%2F HTTP/1.1");
    let fields: Vec<_> = lines[1..].iter().filter_map(|line| line.split_once(": ")).collect();
    let field = |name: &str| {
        let values: Vec<_> = fields.iter().filter(|(n, _)| *n == name).map(|(_, v)| *v).collect();
        values.join("|")
    };
    assert_eq!(field("x-kept"), "one|two");
    assert_eq!(field("host"), "app.example");
    assert_eq!(field("x-forwarded-for"), "127.0.0.1");
    assert_eq!(field("x-forwarded-proto"), "http");
    assert_eq!(field("x-forwarded-host"), "app.example");
    for gone in
        ["x-hop", "keep-alive", "x-user-id", "x_tenant_id", "proxy-authorization", "connection"]
    {
        assert_eq!(field(gone), "", "{gone} must not pass");
    }
    assert_eq!(Some(&*field("x-request-id")), answer.field("x-request-id"));
    assert_ne!(field("x-request-id"), "mine", "an untrusted id is not believed");
    let traceparent = field("traceparent");
    assert_eq!(traceparent.len(), 55);
    assert!(!traceparent.contains("0af7651916cd43dd8448eb211c80319c"), "nor is its trace");
    let removed = sidecar.metric("sidecar_identity_headers_removed_total");
    assert!((removed - 2.0).abs() < 0.5, "{removed}");
}

#[tokio::test]
async fn a_body_is_passed_on_as_it_is_and_counted() {
    let upstream = upstream::scripted(async |mut wire| {
        while let Some(head) = wire.head().await {
            let body = if head.contains("transfer-encoding: chunked") {
                wire.until(b"0\r\n\r\n").await
            } else {
                wire.body(content_length(&head)).await
            };
            let length = body.len();
            wire.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")).await;
            wire.say(body).await;
        }
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;
    let mut client = sidecar.client().await;

    assert_eq!(client.post("/", r#"{"a":1}"#).await.body, br#"{"a":1}"#);
    let record = sidecar.record().await;
    assert_eq!((record.bytes_in, record.bytes_out), (7, 7));

    client.say("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.say("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").await;
    let echoed = client.answer().await.body;
    assert!(echoed.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&echoed));
    assert_eq!(sidecar.record().await.bytes_in, 5);
    let counted = sidecar.metric("http_server_request_body_size_bytes_count");
    assert!((counted - 2.0).abs() < 0.5, "{counted}");
}

#[tokio::test]
async fn an_event_reaches_the_client_before_the_stream_goes_on() {
    let (go, went) = tokio::sync::mpsc::channel::<()>(1);
    let went = std::sync::Arc::new(tokio::sync::Mutex::new(went));
    let upstream = upstream::scripted(move |mut wire| {
        let went = std::sync::Arc::clone(&went);
        async move {
            wire.head().await;
            wire.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n").await;
            went.lock().await.recv().await;
            wire.say("data: 2\n\n").await;
        }
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client.say("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.until(b"data: 1\n\n").await;
    go.send(()).await.unwrap();
    client.until(b"data: 2\n\n").await;

    let record = sidecar.record().await;
    assert_eq!(record.stream.as_ref().map(|stream| stream.events), Some(2));
}

#[tokio::test]
async fn trailers_of_a_request_pass_but_cannot_claim_an_identity() {
    let upstream = upstream::reading_aloud().await;
    let sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client
        .say(
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\
             trailer: x-sum, x-user-id\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\nx-user-id: root\r\n\r\n",
        )
        .await;

    let seen = String::from_utf8(client.answer().await.body).unwrap();
    assert!(seen.contains("x-sum: 7"), "{seen}");
    assert!(!seen.contains("root"), "{seen}");
}

#[tokio::test]
async fn only_the_trailers_that_pass_are_announced_to_the_upstream() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let more = "[security]\nremove_request_headers = [\"x-private\"]\n\
                [request_id]\nheader = \"x-trace-token\"\n";
    let sidecar = sidecar::with(&config(upstream.address, more)).await;
    for (announced, expected) in [
        ("trailer: x-sum\r\n", Some("x-sum")),
        (
            "trailer: x-sum, x-user-id, x_tenant_id\r\nTrailer: X-Forwarded-For,grpc-status\r\n",
            Some("x-sum, grpc-status"),
        ),
        ("trailer: X-Private, x_private, x-trace-token, x-sum\r\n", Some("x-sum")),
        ("trailer: content-length, traceparent\r\n", None),
    ] {
        let mut client = sidecar.client().await;
        let chunked = "host: a\r\ntransfer-encoding: chunked\r\n";
        client
            .say(format!("POST / HTTP/1.1\r\n{chunked}{announced}\r\n0\r\nx-sum: 7\r\n\r\n"))
            .await;
        assert_eq!(client.answer().await.status, 200);
        // The end of a body looks like a head to this upstream.
        let mut heads = upstream.heads().into_iter().rev();
        let head = heads.find(|head| head.starts_with("POST")).expect("a request").to_lowercase();
        let lines: Vec<_> =
            head.lines().filter_map(|line| line.strip_prefix("trailer: ")).collect();
        assert_eq!(lines, expected.into_iter().collect::<Vec<_>>(), "{announced}");
    }
}

#[tokio::test]
async fn a_switch_of_protocols_that_nobody_asked_for_is_502() {
    let upstream =
        upstream::answering("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n").await;
    let sidecar = sidecar::in_front_of(&upstream).await;
    assert_eq!(sidecar.client().await.get("/").await.status, 502);
}

#[tokio::test]
async fn the_version_of_an_answer_is_the_clients_and_not_the_upstreams() {
    const SOME: &str = "content-length: 4\r\n\r\nsome";
    const UNTIL_CLOSE: &str = "\r\nsome";
    for (upstream_says, client_says, framed, version, connection) in [
        ("1.0", "1.1", SOME, "1.1", None),
        ("1.0", "1.1", UNTIL_CLOSE, "1.1", None),
        ("1.1", "1.0", SOME, "1.0", Some("keep-alive")),
        ("1.1", "1.0", UNTIL_CLOSE, "1.0", None),
    ] {
        let script = move |mut wire: Wire| async move {
            wire.head().await;
            wire.say(format!("HTTP/{upstream_says} 200 OK\r\n{framed}")).await;
        };
        let upstream = upstream::scripted(script).await;
        let sidecar = sidecar::in_front_of(&upstream).await;
        let mut client = sidecar.client().await;
        client
            .say(format!("GET / HTTP/{client_says}\r\nhost: a\r\nconnection: keep-alive\r\n\r\n"))
            .await;

        let answer = client.answer().await;

        let case = format!("{upstream_says} to {client_says}, {framed:?}");
        assert!(answer.head.starts_with(&format!("http/{version} 200")), "{case}: {}", answer.head);
        assert_eq!(answer.field("connection"), connection, "{case}");
        assert_eq!(answer.body, b"some", "{case}");
    }
}
