//! What answers say of themselves, and what is read from it: caches, and where the time went.

use std::time::Duration;

use vital_sidecar::record::Cache;

use crate::support::house::config;
use crate::support::sidecar;
use crate::support::upstream;

const LATE: Duration = Duration::from_millis(30);

/// The metrics of a `Server-Timing` field: each name with its duration in milliseconds.
fn timings(value: &str) -> Vec<(String, f64)> {
    let metric = |member: &str| {
        let (name, duration) = member.trim().split_once(";dur=").expect("a duration");
        (name.to_owned(), duration.parse().expect("a number"))
    };
    value.split(',').map(metric).collect()
}

#[tokio::test]
async fn server_timing_is_appended_where_it_is_asked_for() {
    let upstream = upstream::scripted(async |mut wire| {
        while wire.head().await.is_some() {
            wire.closed_or(LATE).await;
            wire.say("HTTP/1.1 200 OK\r\nserver-timing: db;dur=5.3\r\ncontent-length: 2\r\n\r\nok")
                .await;
        }
    })
    .await;
    let sidecar =
        sidecar::with(&config(upstream.address, "[server]\nserver_timing = true\n")).await;
    let answer = sidecar.client().await.get("/").await;
    let fields: Vec<_> = answer.fields("server-timing");
    assert_eq!(fields.len(), 2, "{answer:?}");
    assert_eq!(fields[0], "db;dur=5.3", "the upstream's own stays as it was");
    let ours = timings(fields[1]);
    assert_eq!(ours[0].0, "sidecar");
    assert_eq!(ours[1].0, "upstream");
    assert!(ours[1].1 >= 29.0, "the upstream took its time: {ours:?}");
    assert!(ours[0].1 < ours[1].1, "and that is not ours: {ours:?}");
}

#[tokio::test]
async fn an_answer_of_our_own_tells_its_time_too() {
    let nobody = upstream::nobody().await;
    let sidecar = sidecar::with(&config(nobody, "[server]\nserver_timing = true\n")).await;
    let answer = sidecar.client().await.get("/").await;
    assert_eq!(answer.status, 502);
    let ours = timings(answer.field("server-timing").expect("a field"));
    let names: Vec<_> = ours.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["sidecar", "upstream"]);
}

#[tokio::test]
async fn by_default_no_answer_tells_its_time() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let sidecar = sidecar::in_front_of(&upstream).await;
    let answer = sidecar.client().await.get("/").await;
    assert_eq!((answer.status, answer.field("server-timing")), (200, None));
}

#[tokio::test]
async fn overhead_is_what_neither_the_upstream_nor_the_client_took() {
    let upstream = upstream::scripted(async |mut wire| {
        while wire.head().await.is_some() {
            wire.closed_or(LATE).await;
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n").await;
            // The head is with the client by now; waiting for a body is nobody's overhead.
            wire.closed_or(LATE).await;
            wire.say("late").await;
        }
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;
    assert_eq!(sidecar.client().await.get("/").await.body, b"late");
    let record = sidecar.record().await;
    assert!(record.duration >= 2 * LATE, "{record:?}");
    assert!(record.overhead < LATE, "{record:?}");
    let leg = record.upstream.expect("a leg");
    assert!(record.overhead > leg.offset, "from the upstream's head to the answer's: {record:?}");
    let total = sidecar.metric("sidecar_overhead_seconds_sum{phase=\"total\"}");
    let request = sidecar.metric("sidecar_overhead_seconds_sum{phase=\"request\"}");
    let response = sidecar.metric("sidecar_overhead_seconds_sum{phase=\"response\"}");
    assert!((request + response - total).abs() < 1e-9, "{request} + {response} = {total}");
}

#[tokio::test]
async fn a_tunnels_life_is_no_overhead() {
    let upstream = upstream::scripted(async |mut wire| {
        if wire.head().await.is_some() {
            wire.say(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n",
            )
            .await;
            wire.closed_or(LATE).await;
        }
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;
    let mut client = sidecar.client().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
    client.rest().await;
    drop(client); // A tunnel ends when both sides have.
    let record = sidecar.record().await;
    assert_eq!(record.status, Some(101));
    assert!(record.duration >= LATE && record.overhead < LATE, "{record:?}");
}

#[tokio::test]
async fn caches_are_read_from_the_configured_fields_only() {
    let upstream = upstream::answering(
        "HTTP/1.1 200 OK\r\nx-cache: HIT\r\nx-edge: miss\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    for (fields, expected) in [
        ("", Some(Cache::Hit)),
        ("[cache]\nheaders = [\"X-Edge\"]\n", Some(Cache::Miss)),
        ("[cache]\nheaders = [\"x-edge\", \"x-cache\"]\n", Some(Cache::Miss)),
        ("[cache]\nheaders = []\n", None),
    ] {
        let mut sidecar = sidecar::with(&config(upstream.address, fields)).await;
        let answer = sidecar.client().await.get("/").await;
        assert_eq!(answer.field("x-cache"), Some("hit"), "it is read, and passed on");
        assert_eq!(sidecar.record().await.cache, expected, "{fields}");
    }
}
