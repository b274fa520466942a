//! Requests, answers, streams: what works as it does in HTTP/1.1, and beside it.

use http::Request;
use vital_sidecar::config::Config;
use vital_sidecar::record::{Abort, Outcome};

use super::{SHORT, is};
use crate::support::client::Client as Http1;
use crate::support::h2::{self, Client, get};
use crate::support::recorder::recording;
use crate::support::sidecar::{self, in_front_of};
use crate::support::upstream;

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
    let upstream =
        upstream::stalling("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n")
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
