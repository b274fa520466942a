//! What reaches the upstream, and what comes back.

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
}
