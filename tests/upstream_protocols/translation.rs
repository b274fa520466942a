//! What a request and its answer become on HTTP/2, and gRPC in both directions.

use bytes::Bytes;
use vital_sidecar::record::{Failure, Outcome, Refusal};

use super::{before, h2c};
use crate::support::http2::{self, Call};
use crate::support::sidecar;

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
