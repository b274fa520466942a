//! What is measured of a stream: each kind with each ending leaves one record with the right numbers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use vital_sidecar::config::Config;
use vital_sidecar::record::{Abort, Failure, Outcome, Phase, Record, StreamKind};

use crate::support::client::Client;
use crate::support::sidecar::{self, Sidecar};
use crate::support::upstream::{self, Upstream, Wire};

/// How long the upstream is silent between its first message and its second.
const SILENCE: Duration = Duration::from_millis(30);
/// A clock of ours that lets all messages come first, also on a busy machine.
const PATIENT: Duration = Duration::from_secs(2);

const KINDS: [(&str, StreamKind); 5] = [
    ("text/event-stream", StreamKind::Events),
    ("application/x-ndjson", StreamKind::Lines),
    ("application/json-seq", StreamKind::Records),
    ("application/grpc", StreamKind::Grpc),
    ("application/grpc-web-text", StreamKind::Opaque),
];

/// A message of this kind, with a digit that tells it from the others.
fn message(kind: StreamKind, digit: u8) -> Vec<u8> {
    let digit = char::from(b'0' + digit);
    match kind {
        StreamKind::Events => format!("data: {digit}\n\n"),
        StreamKind::Lines => format!("[{digit}]\n"),
        StreamKind::Records => format!("\u{1e}[{digit}]\n"),
        StreamKind::Grpc => format!("\0\0\0\0\u{3}[{digit}]"),
        StreamKind::Opaque => format!("[{digit}]"),
    }
    .into_bytes()
}

async fn say_chunk(wire: &mut Wire, bytes: &[u8]) {
    wire.say(format!("{:x}\r\n", bytes.len())).await;
    wire.say(bytes).await;
    wire.say("\r\n").await;
}

/// What the upstream does after its three messages.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Ends,
    BreaksOff,
    IsSilent,
}

/// An upstream that says one message, is silent for a while, and says two more in one chunk. What it
/// does then it does once it is told to.
async fn upstream(
    media_type: &'static str,
    kind: StreamKind,
    then: Then,
) -> (Upstream, Arc<Notify>) {
    let go = Arc::new(Notify::new());
    let told = Arc::clone(&go);
    let upstream = upstream::scripted(move |mut wire: Wire| {
        let told = Arc::clone(&told);
        async move {
            wire.head().await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\n");
            wire.say(format!("{head}transfer-encoding: chunked\r\n\r\n")).await;
            say_chunk(&mut wire, &message(kind, 1)).await;
            tokio::time::sleep(SILENCE).await;
            let two = [message(kind, 2), message(kind, 3)].concat();
            say_chunk(&mut wire, &two).await;
            told.notified().await;
            match then {
                Then::Ends => {
                    wire.say("0\r\n\r\n").await;
                    wire.closed().await;
                }
                Then::BreaksOff => {}
                Then::IsSilent => wire.closed().await,
            }
        }
    })
    .await;
    (upstream, go)
}

async fn asking(sidecar: &Sidecar, kind: StreamKind) -> Client {
    let mut client = sidecar.client().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.until(&message(kind, 3)).await;
    client
}

/// The one record of the exchange, checked for all that does not depend on its ending.
async fn measured(sidecar: &mut Sidecar, kind: StreamKind) -> Arc<Record> {
    let record = sidecar.record().await;
    sidecar.assert_no_more_records();
    let stream = record.stream.as_ref().expect("a stream");
    assert_eq!(stream.kind, kind);
    let counted = if kind.is_counted() { 3_u8 } else { 0 };
    assert_eq!(stream.events, u64::from(counted), "{kind:?}");
    assert_eq!(stream.gaps.count(), 1, "{kind:?}: two messages that come together leave no gap");
    let longest = stream.gaps.longest().expect("a gap");
    // The sidecar may read the first message late, on a busy machine, which shortens the gap it sees.
    assert!(longest >= SILENCE / 2 && longest < record.duration, "{kind:?}: {longest:?}");
    let (ttfb, first) = (record.ttfb.expect("a first byte"), stream.first_event.expect("an event"));
    assert!(ttfb <= first && first + longest <= record.duration, "{ttfb:?} {first:?}");

    let series = |name: &str| format!("{name}{{http_route=\"_unmatched\"}}");
    for (name, expected) in [
        ("sidecar_response_time_to_first_byte_seconds_count", 1),
        ("sidecar_stream_duration_seconds_count", 1),
        ("sidecar_stream_events_total", counted),
        ("sidecar_stream_gap_seconds_count", 1),
    ] {
        let found = sidecar.metric(&series(name));
        assert!((found - f64::from(expected)).abs() < f64::EPSILON, "{kind:?}: {name} is {found}");
    }
    let page = page(sidecar);
    let counts =
        page.lines().filter(|line| line.starts_with("http_server_request_duration_seconds_count"));
    let counts: Vec<&str> = counts.collect();
    assert_eq!(counts.len(), 1, "{counts:?}");
    assert!(counts[0].contains("sidecar_stream=\"true\""), "apart from the ordinary: {counts:?}");
    record
}

fn page(sidecar: &Sidecar) -> String {
    let metrics = sidecar.proxy.telemetry().metrics();
    let page = metrics.expose(vital_sidecar::telemetry::metrics::Format::Text).expect("a page");
    String::from_utf8(page.body).expect("UTF-8")
}

#[tokio::test]
async fn a_stream_that_ends_is_measured() {
    for (media_type, kind) in KINDS {
        let (upstream, go) = upstream(media_type, kind, Then::Ends).await;
        let mut sidecar = sidecar::in_front_of(&upstream).await;
        let mut client = asking(&sidecar, kind).await;
        go.notify_one();
        client.until(b"0\r\n\r\n").await;
        assert_eq!(measured(&mut sidecar, kind).await.outcome, Outcome::Served);
    }
}

#[tokio::test]
async fn a_stream_whose_client_leaves_is_measured() {
    for (media_type, kind) in KINDS {
        let (upstream, _go) = upstream(media_type, kind, Then::IsSilent).await;
        let mut sidecar = sidecar::in_front_of(&upstream).await;
        drop(asking(&sidecar, kind).await);
        let record = measured(&mut sidecar, kind).await;
        assert_eq!(record.outcome, Outcome::Gone { phase: Phase::Response });
    }
}

#[tokio::test]
async fn a_stream_whose_upstream_breaks_off_is_measured() {
    for (media_type, kind) in KINDS {
        let (upstream, go) = upstream(media_type, kind, Then::BreaksOff).await;
        let mut sidecar = sidecar::in_front_of(&upstream).await;
        let mut client = asking(&sidecar, kind).await;
        go.notify_one();
        client.rest().await;
        let record = measured(&mut sidecar, kind).await;
        assert_eq!(record.outcome, Outcome::Failed(Failure::UpstreamReset));
    }
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_measured() {
    let mut running = JoinSet::new();
    for (media_type, kind) in KINDS {
        running.spawn(async move {
            let (upstream, _go) = upstream(media_type, kind, Then::IsSilent).await;
            let mut config = Config::for_upstream(upstream.address);
            config.upstream.timeouts.stream_idle = Some(PATIENT);
            let mut sidecar = sidecar::with(&config).await;
            asking(&sidecar, kind).await.rest().await;
            let record = measured(&mut sidecar, kind).await;
            assert_eq!(record.outcome, Outcome::Aborted(Abort::StreamIdleTimeout));
        });
    }
    running.join_all().await;
}

#[tokio::test]
async fn a_stream_that_lasts_too_long_is_measured() {
    let mut running = JoinSet::new();
    for (media_type, kind) in KINDS {
        running.spawn(async move {
            let (upstream, _go) = upstream(media_type, kind, Then::IsSilent).await;
            let mut config = Config::for_upstream(upstream.address);
            config.upstream.timeouts.stream_max = Some(PATIENT);
            let mut sidecar = sidecar::with(&config).await;
            asking(&sidecar, kind).await.rest().await;
            let record = measured(&mut sidecar, kind).await;
            assert_eq!(record.outcome, Outcome::Aborted(Abort::StreamMaxDuration));
        });
    }
    running.join_all().await;
}

#[tokio::test]
async fn a_stream_that_the_drain_cuts_is_measured() {
    for (media_type, kind) in KINDS {
        let (upstream, _go) = upstream(media_type, kind, Then::IsSilent).await;
        let mut sidecar = sidecar::in_front_of(&upstream).await;
        let mut client = asking(&sidecar, kind).await;
        sidecar.signals.stop.cancel();
        sidecar.proxy.cut();
        sidecar.signals.cut.cancel();
        client.rest().await;
        let record = measured(&mut sidecar, kind).await;
        assert_eq!(record.outcome, Outcome::Aborted(Abort::Drain));
    }
}

#[tokio::test]
async fn what_has_no_body_is_no_stream_and_an_empty_answer_has_no_first_byte() {
    const EVENTS: &str = "content-type: text/event-stream\r\n";
    for (method, status, rest, is_stream) in [
        ("HEAD", "200 OK", "\r\n", false),
        ("GET", "204 No Content", "\r\n", false),
        ("GET", "304 Not Modified", "\r\n", false),
        // Streams that end as they begin.
        ("GET", "200 OK", "content-length: 0\r\n\r\n", true),
        ("GET", "200 OK", "transfer-encoding: chunked\r\n\r\n0\r\n\r\n", true),
    ] {
        let upstream = upstream::answering(format!("HTTP/1.1 {status}\r\n{EVENTS}{rest}")).await;
        let mut sidecar = sidecar::in_front_of(&upstream).await;
        let mut client = sidecar.client().await;
        client.say(format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Served, "{method} {status}");
        assert_eq!(record.stream.is_some(), is_stream, "{method} {status}");
        assert_eq!(record.ttfb, None, "{method} {status}: nothing has a first byte");
        let page = page(&sidecar);
        assert!(!page.contains("sidecar_response_time_to_first_byte_seconds_count{"), "{page}");
        assert_eq!(page.contains("sidecar_stream_duration_seconds_count{"), is_stream, "{page}");
    }
}

#[tokio::test]
async fn a_stream_encoded_as_identity_shows_its_events_and_its_error() {
    let upstream = upstream::answering(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
         content-encoding: identity\r\ncontent-length: 24\r\n\r\nevent: error\ndata: boo\n\n",
    )
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;
    assert_eq!(sidecar.client().await.get("/").await.status, 200);
    let record = sidecar.record().await;
    let stream = record.stream.as_ref().expect("a stream");
    assert_eq!((stream.kind, stream.events), (StreamKind::Events, 1));
    assert!(stream.has_error_event);
}

#[tokio::test]
async fn an_ordinary_answer_is_no_stream_and_an_encoded_stream_hides_its_events() {
    let ordinary = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    let mut sidecar = sidecar::in_front_of(&ordinary).await;
    assert_eq!(sidecar.client().await.get("/").await.status, 200);
    assert_eq!(sidecar.record().await.stream, None);
    let page = page(&sidecar);
    assert!(page.contains("sidecar_stream=\"false\"") && !page.contains("sidecar_stream=\"true\""));

    let encoded = upstream::answering(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: br\r\n\
         content-length: 9\r\n\r\ndata: 1\n\n",
    )
    .await;
    let mut sidecar = sidecar::in_front_of(&encoded).await;
    assert_eq!(sidecar.client().await.get("/").await.body, b"data: 1\n\n");
    let record = sidecar.record().await;
    let stream = record.stream.as_ref().expect("a stream");
    assert_eq!((stream.kind, stream.events), (StreamKind::Opaque, 0));
    assert!(stream.first_event.is_some(), "its first byte");
}
