//! Attacks that once worked, and must not again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vital_sidecar::audit::{AuditResult, Event};
use vital_sidecar::config::{self, Config, SourceFile, Sources};
use vital_sidecar::proxy::Proxy;
use vital_sidecar::record::{Failure, Outcome};
use vital_sidecar::server::entrance::Entrance;
use vital_sidecar::server::listener::{self, Signals};
use vital_sidecar::telemetry::Telemetry;
use vital_sidecar::telemetry::metrics::Metrics;
use vital_sidecar::telemetry::sinks::audit::fake::FakeDisk;
use vital_sidecar::telemetry::sinks::audit::{Audit, RealDisk};

use crate::support::client::Client;
use crate::support::upstream::{self, Upstream};
use crate::support::{eventually, sidecar};

fn config(upstream: &Upstream, more: &str) -> Config {
    let text = format!("upstream.url = \"http://{}\"\n{more}", upstream.address);
    let file = Some(SourceFile { path: "test.toml".to_owned(), text });
    let sources = Sources { file, env: BTreeMap::new(), flags: Vec::new() };
    config::load(&sources).expect("a valid configuration").config
}

#[tokio::test]
async fn a_length_beside_a_transfer_coding_is_a_protocol_error() {
    for length in [3, 100] {
        let upstream = upstream::answering(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\n\r\n"
        ))
        .await;
        let mut sidecar = sidecar::in_front_of(&upstream).await;

        assert_eq!(sidecar.client().await.get("/").await.status, 502);
        assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamProtocol));
    }
}

#[tokio::test]
async fn an_upgrade_nobody_asked_for_is_a_protocol_error() {
    let upstream = upstream::answering(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nraw",
    )
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    assert_eq!(sidecar.client().await.get("/").await.status, 502);
    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamProtocol));
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn a_transfer_coding_that_cannot_be_taken_off_is_a_protocol_error() {
    let upstream = upstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nxx\r\n0\r\n\r\n",
    )
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    assert_eq!(sidecar.client().await.get("/").await.status, 502);
    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamProtocol));
}

#[tokio::test]
async fn user_information_in_a_target_is_refused() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client.say("GET http://user:secret@app.example/ HTTP/1.1\r\nhost: app.example\r\n\r\n").await;

    assert_eq!(client.answer().await.status, 400);
    assert!(upstream.heads().is_empty());
}

/// An upstream that answers with the chunked body it got, framing included, as its own body.
async fn echoing_chunks() -> Upstream {
    upstream::scripted(|mut wire| async move {
        while wire.head().await.is_some() {
            let sent = wire.until(b"\r\n\r\n").await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", sent.len());
            wire.say(head).await;
            wire.say(sent).await;
        }
    })
    .await
}

#[tokio::test]
async fn trailers_claim_no_identity_and_no_address() {
    let upstream = echoing_chunks().await;
    let sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client
        .say(
            "POST / HTTP/1.1\r\nhost: app.example\r\ntransfer-encoding: chunked\r\n\
             trailer: x-user-id, x_tenant_id, x-forwarded-for, x-checksum\r\n\r\n\
             3\r\nabc\r\n0\r\nx-user-id: root\r\nx_tenant_id: all\r\nx-forwarded-for: 192.0.2.1\r\n\
             x-checksum: 1\r\n\r\n",
        )
        .await;

    let seen = String::from_utf8(client.answer().await.body).expect("UTF-8");
    assert_eq!(seen, "3\r\nabc\r\n0\r\nx-checksum: 1\r\n\r\n");
}

#[tokio::test]
async fn trailers_carry_no_request_id_whatever_its_name() {
    for more in ["", "request_id.header = \"x-trace-token\"\n"] {
        let upstream = echoing_chunks().await;
        let sidecar = sidecar::with(&config(&upstream, more)).await;
        let mut client = sidecar.client().await;
        client
            .say(
                "POST / HTTP/1.1\r\nhost: app.example\r\ntransfer-encoding: chunked\r\n\
                 trailer: x-request-id, x_request_id, x-checksum, x-trace-token, x_trace_token\r\n\r\n\
                 3\r\nabc\r\n0\r\nX-Request-Id: a\r\nx_request_id: a\r\nx-checksum: 1\r\n\
                 x-trace-token: a\r\nX_Trace_Token: a\r\n\r\n",
            )
            .await;
        let seen = String::from_utf8(client.answer().await.body).expect("UTF-8");
        let mut left: Vec<_> = seen.lines().filter(|line| line.contains(": ")).collect();
        left.sort_unstable();
        let usual = ["x-checksum: 1", "x-trace-token: a", "x_trace_token: a"];
        let known = if more.is_empty() { &usual[..] } else { &usual[..1] };
        assert_eq!(left, known, "{more}");
    }
}

/// A route whose request bodies are read before they are forwarded.
const INSPECTED: &str = "[captures.mode]\nfrom = \"request.body:/mode\"\nvalues = [\"a\"]\n\
                         [[routes]]\nmatch = \"POST /\"\ncaptures = [\"mode\"]\n";

#[tokio::test]
async fn trailers_carry_no_trace_context() {
    let upstream = echoing_chunks().await;
    let sidecar = sidecar::with(&config(&upstream, "tracing.trust = \"never\"\n")).await;

    let mut client = sidecar.client().await;
    client
        .say(
            "POST / HTTP/1.1\r\nhost: app.example\r\ntransfer-encoding: chunked\r\n\
             trailer: traceparent, tracestate, baggage, b3, x-b3-sampled, x-checksum\r\n\r\n\
             3\r\nabc\r\n0\r\n\
             traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
             tracestate: a=1\r\nbaggage: a=1\r\nb3: 1\r\nx-b3-sampled: 1\r\n\
             x-checksum: 1\r\n\r\n",
        )
        .await;

    let seen = String::from_utf8(client.answer().await.body).expect("UTF-8");
    assert_eq!(seen, "3\r\nabc\r\n0\r\nx-checksum: 1\r\n\r\n");
}

#[tokio::test]
async fn trailers_of_an_inspected_body_claim_nothing_either() {
    let upstream = echoing_chunks().await;
    let sidecar = sidecar::with(&config(&upstream, INSPECTED)).await;

    let mut client = sidecar.client().await;
    client
        .say(
            "POST / HTTP/1.1\r\nhost: app.example\r\ntransfer-encoding: chunked\r\n\
             trailer: x-user-id, x-forwarded-for, x-checksum\r\n\r\n\
             2\r\n{}\r\n0\r\nx-user-id: root\r\nx-forwarded-for: 192.0.2.1\r\n\
             x-checksum: 1\r\n\r\n",
        )
        .await;

    let seen = String::from_utf8(client.answer().await.body).expect("UTF-8");
    assert_eq!(seen, "2\r\n{}\r\n0\r\nx-checksum: 1\r\n\r\n");
}

#[tokio::test]
async fn an_inspected_body_in_tiny_chunks_is_kept_as_one_piece() {
    let upstream = echoing_chunks().await;
    let mut sidecar = sidecar::with(&config(&upstream, INSPECTED)).await;

    let mut client = sidecar.client().await;
    client.say("POST / HTTP/1.1\r\nhost: app.example\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for byte in r#"{"mode": "a"}"#.chars() {
        client.say(format!("1\r\n{byte}\r\n")).await;
    }
    client.say("0\r\n\r\n").await;

    let seen = String::from_utf8(client.answer().await.body).expect("UTF-8");
    assert_eq!(seen, "d\r\n{\"mode\": \"a\"}\r\n0\r\n\r\n");
    let record = sidecar.record().await;
    assert_eq!((record.bytes_in, record.facts.len()), (13, 1));
}

#[tokio::test]
async fn a_slow_reader_with_a_request_in_wait_is_not_timed_by_the_clock_of_a_head() {
    const LENGTH: usize = 24 << 20;
    let upstream = upstream::scripted(|mut wire| async move {
        while wire.head().await.is_some() {
            wire.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n")).await;
            wire.say(vec![b'x'; LENGTH]).await;
        }
    })
    .await;
    let limits = "server.limits.header_timeout = \"200ms\"";
    let mut sidecar = sidecar::with(&config(&upstream, limits)).await;

    let mut client = sidecar.client().await;
    let get = "GET / HTTP/1.1\r\nhost: app.example\r\n\r\n";
    client.say(get.repeat(2)).await;
    tokio::time::sleep(Duration::from_millis(400)).await; // The client does not read meanwhile.

    assert_eq!(client.answer().await.body.len(), LENGTH);
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
}

#[tokio::test]
async fn a_request_whose_record_comes_too_late_still_leaves_one_end() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let mut config = config(&upstream, "[[routes]]\nmatch = \"GET /\"\naudit = \"DATA_ACCESS\"\n");
    config.audit.deadline = Duration::from_millis(10);
    let disk = FakeDisk::default();
    let audit = Audit::open(&config.audit, disk.clone()).expect("an audit");
    disk.hold_syncs(true);
    let telemetry = Arc::new(Telemetry::silent(Metrics::new(&config.service)));
    let proxy = Arc::new(Proxy::new(&config, telemetry, Some(audit.clone())));
    let listener = listener::bind("127.0.0.1:0".parse().expect("an address")).expect("bind");
    let address = listener.local_addr().expect("address");
    let signals = Signals::default();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(listener::accept_loop(listener, Entrance::plain(proxy, 10), signals.clone()));

    let mut client = Client::connect(address).await;
    assert_eq!(client.get("/").await.status, 503);
    disk.hold_syncs(false);
    signals.stop.cancel();
    serving.join_next().await.expect("a task").expect("no panic");
    let report = audit.stop(Instant::now() + Duration::from_secs(10)).await;

    let counts = report.stats.records[Event::DataAccess.index()];
    let of = |result: AuditResult| counts[result.index()];
    assert_eq!((of(AuditResult::Initiated), of(AuditResult::Failure)), (1, 1));
    assert_eq!((report.stats.sequence, of(AuditResult::Aborted)), (2, 0));
    assert!(upstream.heads().is_empty());
}

#[tokio::test]
async fn a_removed_audit_directory_makes_the_audit_unavailable() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let parent = tempfile::tempdir().expect("a directory");
    let mut config = config(&upstream, "[[routes]]\nmatch = \"GET /\"\naudit = \"DATA_ACCESS\"\n");
    config.audit.directory = parent.path().join("audit");
    config.audit.deadline = Duration::from_secs(10);
    let audit =
        Audit::open(&config.audit, RealDisk::new(&config.audit.directory)).expect("an audit");
    let telemetry = Arc::new(Telemetry::silent(Metrics::new(&config.service)));
    let proxy = Arc::new(Proxy::new(&config, telemetry, Some(audit.clone())));
    let listener = listener::bind("127.0.0.1:0".parse().expect("an address")).expect("bind");
    let address = listener.local_addr().expect("address");
    let signals = Signals::default();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(listener::accept_loop(listener, Entrance::plain(proxy, 10), signals.clone()));

    let mut client = Client::connect(address).await;
    assert_eq!(client.get("/").await.status, 200);
    std::fs::remove_dir_all(&config.audit.directory).expect("to remove");
    assert_eq!(client.get("/").await.status, 503);
    eventually("the audit says so", || !audit.stats().is_writable).await;
    assert_eq!(upstream.heads().len(), 1, "nothing is forwarded unrecorded");
    // A directory made anew is not the one that is locked.
    std::fs::create_dir(&config.audit.directory).expect("to make");
    assert_eq!(client.get("/").await.status, 503);

    signals.stop.cancel();
    serving.join_next().await.expect("a task").expect("no panic");
    assert!(audit.stop(Instant::now() + Duration::from_secs(10)).await.stats.lost > 0);
}
