//! The audit as a request meets it: durable before it is forwarded, ended once, whatever happens.
//!
//! The disk forgets what was not synced, and fails, stalls and crashes when it is told to.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use vital_sidecar::audit::{Report, Verifier, segment_start};
use vital_sidecar::config::Config;
use vital_sidecar::record::{Failure, Outcome, Phase};
use vital_sidecar::telemetry::sinks::audit::fake::FakeDisk;
use vital_sidecar::telemetry::sinks::audit::{self, Audit};

use crate::support::client::Client;
use crate::support::house::{config, lines};
use crate::support::sidecar::{self, Sidecar};
use crate::support::upstream::{self, Upstream};
use crate::support::{PATIENCE, eventually};

mod property;

const ROUTES: &str = r#"
[[routes]]
match = "* /api/users/{id}"
audit = "DATA_ACCESS"
[[routes]]
match = "* /api/denied"
audit = "DATA_ACCESS"
action = "deny"
[[routes]]
match = "* /api/limited"
audit = "DATA_ACCESS"
rate_limits = ["none"]
[rate_limits.none]
key = ["ip"]
rate = "1/h"
burst = 1
"#;

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const AUDITED: &str = "/api/users/4711";

/// A proxy whose audit lives on a fake disk.
struct Scene {
    upstream: Upstream,
    sidecar: Sidecar,
    disk: FakeDisk,
    audit: Audit,
}

fn scene(upstream: Upstream, change: impl FnOnce(&mut Config)) -> Scene {
    let mut config = config(upstream.address, ROUTES);
    // Long, so that a busy machine is not taken for a slow disk.
    config.audit.deadline = PATIENCE;
    change(&mut config);
    let disk = FakeDisk::default();
    let audit = Audit::open(&config.audit, disk.clone()).expect("an audit");
    let sidecar = sidecar::with_audit(&config, Some(audit.clone()));
    Scene { upstream, sidecar, disk, audit }
}

async fn answering() -> Scene {
    scene(upstream::answering(HELLO).await, |_| {})
}

impl Scene {
    /// Every record on the disk, synced or not.
    fn records(&self) -> Vec<Value> {
        records(&self.disk)
    }

    /// Waits until the disk holds so many records, and gives them.
    async fn wait_for(&self, count: usize) -> Vec<Value> {
        eventually("the records are written", || self.records().len() >= count).await;
        self.records()
    }

    /// Mends a broken disk, once the writer has noticed that it is broken, and waits for the writer.
    async fn mend(&self) {
        eventually("the writer notices", || !self.audit.stats().is_writable).await;
        self.disk.set_broken(false);
        eventually("the writer recovers", || self.audit.stats().is_writable).await;
    }

    /// Ends the audit; the trail must be intact and every beginning must have its one end.
    async fn close(self) -> Vec<Value> {
        assert!(self.audit.stop(Instant::now() + PATIENCE).await.is_finished);
        let report = verify(&self.disk);
        assert!(report.is_ok(), "{report}");
        let records = records(&self.disk);
        let ends = of_stage(&records, "completed");
        let ids: BTreeSet<_> = ends.iter().map(|end| end["requestId"].to_string()).collect();
        assert_eq!(ids.len(), ends.len(), "one end for each request");
        records
    }
}

fn segments(disk: &FakeDisk) -> Vec<(String, u64)> {
    let start = |name: String| segment_start(&name).map(|start| (name, start));
    disk.names().into_iter().filter_map(start).collect()
}

fn records(disk: &FakeDisk) -> Vec<Value> {
    let content = |(name, _): (String, u64)| disk.content(&name).unwrap_or_default();
    segments(disk).into_iter().flat_map(|segment| lines(&content(segment))).collect()
}

fn verify(disk: &FakeDisk) -> Report {
    let segments = segments(disk);
    let mut verifier = Verifier::default();
    for (index, (name, _)) in segments.iter().enumerate() {
        let next = segments.get(index + 1).map(|(_, start)| *start);
        let content = disk.content(name).unwrap_or_default();
        verifier.segment(name, next, &mut &content[..]).expect("memory reads");
    }
    // A segment that is not written to yet is no loss: a test may audit nothing, or fail the disk.
    Report { empty: None, ..verifier.finish() }
}

fn of_stage<'a>(records: &'a [Value], stage: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["stage"] == stage).collect()
}

/// The request id that the upstream was given.
fn id_of(head: &str) -> String {
    let line = head.lines().find_map(|line| line.strip_prefix("x-request-id: "));
    line.expect("a request id").to_owned()
}

#[tokio::test]
async fn a_forwarded_request_leaves_a_beginning_and_an_end() {
    let mut scene = answering().await;
    let mut client = scene.sidecar.client().await;
    client
        .say(format!("GET {AUDITED}?token=CANARY HTTP/1.1\r\nhost: a\r\nuser-agent: x/1\r\n\r\n"))
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.body, b"hello");
    let record = scene.sidecar.record().await;

    let records = scene.close().await;
    let [begun, ended] = &records[..] else { panic!("two records: {records:?}") };
    for (line, stage, result) in
        [(begun, "initiated", "initiated"), (ended, "completed", "success")]
    {
        assert_eq!((&line["stage"], &line["result"]), (&stage.into(), &result.into()));
        assert_eq!(line["requestId"].as_str(), answer.field("x-request-id"));
        assert_eq!(line["event"], "DATA_ACCESS");
        assert_eq!((&line["action"], &line["method"]), (&"read".into(), &"GET".into()));
        assert_eq!((&line["resourceType"], &line["resourceId"]), (&"users".into(), &"4711".into()));
        assert_eq!((&line["path"], &line["route"]), (&AUDITED.into(), &"/api/users/{id}".into()));
        assert_eq!((&line["ipAddress"], &line["userAgent"]), (&"127.0.0.1".into(), &"x/1".into()));
        let trace = String::from_utf8(record.trace.trace_id.hex().to_vec()).unwrap();
        assert_eq!(line["traceId"], trace);
        assert!(!line.to_string().contains("CANARY"), "never a query");
    }
    assert_eq!((&begun["status"], &ended["status"]), (&Value::Null, &200.into()));
    assert!(ended["durationMs"].is_number());
}

#[tokio::test]
async fn nothing_is_forwarded_before_its_beginning_is_durable() {
    let scene = answering().await;
    let syncs_before = scene.disk.syncs();
    scene.disk.hold_syncs(true);
    let mut client = scene.sidecar.client().await;
    client.say(format!("GET {AUDITED} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    let written = scene.wait_for(1).await;
    assert_eq!(written[0]["stage"], "initiated");

    // Ten whole exchanges on another route fit in while this one waits for its sync.
    let mut other = scene.sidecar.client().await;
    for _ in 0..10 {
        assert_eq!(other.get("/unaudited").await.status, 200);
    }
    let heads = scene.upstream.heads();
    assert!(heads.len() == 10 && heads.iter().all(|head| head.starts_with("GET /unaudited ")));
    assert_eq!(scene.disk.syncs(), syncs_before);

    scene.disk.hold_syncs(false);
    assert_eq!(client.answer().await.body, b"hello");
    assert_eq!(scene.upstream.heads().len(), 11);
    assert_eq!(scene.close().await.len(), 2);
}

#[tokio::test]
async fn a_failing_disk_refuses_what_must_be_recorded_and_nothing_else() {
    let mut scene = answering().await;
    scene.disk.set_broken(true);
    let mut client = scene.sidecar.client().await;
    for _ in 0..3 {
        let answer = client.get(AUDITED).await;
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")));
        let problem = answer.json();
        assert_eq!(problem["error_type"], "audit_unavailable");
        assert_eq!(problem["title"], "Audit unavailable");
        let record = scene.sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Failed(Failure::AuditUnavailable));
        assert!(record.upstream.is_none());
    }
    assert!(scene.upstream.heads().is_empty(), "nothing was forwarded");
    assert_eq!(client.get("/unaudited").await.status, 200);

    scene.mend().await;
    assert_eq!(client.get(AUDITED).await.status, 200);
    scene.close().await;
}

#[tokio::test]
async fn a_disk_that_stays_broken_is_refused_at_once_however_many_ask() {
    let scene = answering().await;
    scene.disk.set_broken(true);
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let address = scene.sidecar.address;
        flood.spawn(async move {
            let mut client = Client::connect(address).await;
            // Together more than there are places.
            for _ in 0..audit::PLACES / 4 + 100 {
                let began = Instant::now();
                assert_eq!(client.get(AUDITED).await.status, 503);
                // The deadline of this scene is ten seconds.
                assert!(began.elapsed() < PATIENCE / 2, "it waited for a place");
            }
        });
    }
    flood.join_all().await;
    scene.mend().await;
    assert_eq!(scene.sidecar.client().await.get(AUDITED).await.status, 200);
}

#[tokio::test]
async fn best_effort_forwards_on_a_failing_disk() {
    let scene = scene(upstream::answering(HELLO).await, |config| {
        config.audit.mode = vital_sidecar::config::model::AuditMode::BestEffort;
    });
    let mut client = scene.sidecar.client().await;
    scene.disk.set_broken(true);
    assert_eq!(client.get(AUDITED).await.status, 200);
    scene.mend().await;
    assert!(scene.audit.stats().failures > 0, "the failure was counted");
    assert_eq!(client.get(AUDITED).await.status, 200);
    let records = scene.close().await;
    let ends = of_stage(&records, "completed");
    assert_eq!(ends.len(), 2, "the end of the first is known too");
    assert_eq!(of_stage(&records, "initiated").len(), 1);
}

#[tokio::test]
async fn a_disk_that_is_too_slow_refuses_and_the_late_beginning_gets_its_one_end() {
    for mode in ["strict", "best_effort"] {
        let mut scene = scene(upstream::answering(HELLO).await, |config| {
            config.audit.deadline = Duration::from_millis(30);
            if mode == "best_effort" {
                config.audit.mode = vital_sidecar::config::model::AuditMode::BestEffort;
            }
        });
        scene.disk.hold_syncs(true);
        let answer = scene.sidecar.client().await.get(AUDITED).await;
        let expected = if mode == "strict" { 503 } else { 200 };
        assert_eq!(answer.status, expected);
        assert_eq!(scene.upstream.heads().len(), usize::from(mode != "strict"));
        scene.sidecar.record().await;
        scene.disk.hold_syncs(false);

        let records = scene.close().await;
        let ends = of_stage(&records, "completed");
        assert_eq!(of_stage(&records, "initiated").len(), 1, "it became durable after all");
        assert_eq!((ends.len(), &ends[0]["status"]), (1, &expected.into()), "{records:?}");
    }
}

#[tokio::test]
async fn the_end_is_written_after_the_last_byte_of_the_answer() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let upstream = upstream::scripted(move |mut wire| {
        let mut wait = wait.clone();
        async move {
            wire.head().await;
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst").await;
            wait.wait_for(|go| *go).await.expect("a go");
            wire.say(" last").await;
        }
    })
    .await;
    let mut scene = scene(upstream, |_| {});
    let mut client = scene.sidecar.client().await;
    client.say(format!("GET {AUDITED} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    client.until(b"first").await;
    assert_eq!(scene.records().len(), 1, "only the beginning");
    go.send(true).expect("an upstream");
    client.until(b" last").await;
    scene.sidecar.record().await;
    let records = scene.wait_for(2).await;
    assert_eq!((&records[1]["result"], &records[1]["status"]), (&"success".into(), &200.into()));
    scene.close().await;
}

#[tokio::test]
async fn a_failing_upstream_is_a_failure_and_a_cut_answer_too() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        wire.reset();
    })
    .await;
    let mut scene = scene(upstream, |_| {});
    let mut client = scene.sidecar.client().await;
    client.say(format!("DELETE {AUDITED} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    client.rest().await;
    scene.sidecar.record().await;
    let records = scene.close().await;
    assert_eq!(records.len(), 2);
    assert_eq!(
        (&records[1]["action"], &records[1]["result"]),
        (&"delete".into(), &"failure".into())
    );
}

#[tokio::test]
async fn a_client_that_leaves_while_its_beginning_is_synced_leaves_one_aborted_end() {
    let mut scene = answering().await;
    scene.disk.hold_syncs(true);
    let mut client = scene.sidecar.client().await;
    client.say(format!("GET {AUDITED} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    scene.wait_for(1).await;
    drop(client);
    let record = scene.sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Gone { phase: Phase::Audit });
    scene.disk.hold_syncs(false);

    assert!(scene.upstream.heads().is_empty());
    let records = scene.close().await;
    assert_eq!(records.len(), 2, "{records:?}");
    assert_eq!(records[1]["result"], "aborted");
    assert_eq!(records[1]["requestId"], records[0]["requestId"]);
}

#[tokio::test]
async fn a_refusal_leaves_one_denied_end_and_no_beginning() {
    let mut scene = answering().await;
    let mut client = scene.sidecar.client().await;
    assert_eq!(client.get("/api/denied").await.status, 403);
    assert_eq!(client.get("/api/limited").await.status, 200);
    assert_eq!(client.get("/api/limited").await.status, 429);
    client
        .say(format!("POST {AUDITED} HTTP/1.1\r\nhost: a\r\ncontent-length: 9999999\r\n\r\n"))
        .await;
    assert_eq!(client.answer().await.status, 413);
    for _ in 0..4 {
        scene.sidecar.record().await;
    }
    assert_eq!(scene.upstream.heads().len(), 1);

    let records = scene.close().await;
    assert_eq!(of_stage(&records, "initiated").len(), 1);
    let denied: BTreeSet<_> = of_stage(&records, "completed")
        .iter()
        .filter(|record| record["result"] == "denied")
        .map(|record| record["status"].as_u64().expect("a status"))
        .collect();
    assert_eq!(denied, BTreeSet::from([403, 413, 429]));
}

#[tokio::test]
async fn what_is_not_audited_leaves_nothing() {
    let scene = answering().await;
    assert_eq!(scene.sidecar.client().await.get("/elsewhere").await.status, 200);
    scene.audit.stop(Instant::now() + PATIENCE).await;
    assert!(scene.records().is_empty());
}
