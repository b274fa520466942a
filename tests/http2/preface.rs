//! How HTTP/2 is told from HTTP/1, and bytes that are neither.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use vital_sidecar::config::Config;

use super::{SHORT, is, silent};
use crate::support::eventually;
use crate::support::h2::{Client, GOAWAY, Raw};
use crate::support::recorder::recording;
use crate::support::sidecar::{self, in_front_of};

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
