//! The audit trail as its users meet it: written by the library, checked by the command and by the
//! program an auditor would write.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use vital_sidecar::audit::{Action, AuditResult, Draft, Event, Evidence, Stage};
use vital_sidecar::cli;
use vital_sidecar::config::model;
use vital_sidecar::http::ids::RequestId;
use vital_sidecar::http::method::Method;
use vital_sidecar::http::traceparent::TraceId;
use vital_sidecar::telemetry::sinks::audit::fake::FakeDisk;
use vital_sidecar::telemetry::sinks::audit::{Audit, RealDisk, Unavailable};

/// What the documentation of `vital_sidecar::audit` gives to auditors.
const AUDITOR: &str = r#"
import glob, hashlib, json, sys
prev, seq = "0" * 64, 1
for path in sorted(glob.glob(sys.argv[1] + "/audit-*.jsonl")):
    for number, raw in enumerate(open(path, "rb"), 1):
        line = raw.rstrip(b"\n")
        record = json.loads(line)
        where = f"{path}:{number}"
        assert hashlib.sha256(line[:-75] + b"}").hexdigest() == record["hash"], where
        assert (record["seq"], record["prev"]) == (seq, prev), where
        prev, seq = record["hash"], seq + 1
print(seq - 1, "records, last hash", prev)
"#;

fn config(directory: &Path) -> model::Audit {
    model::Audit {
        directory: directory.to_owned(),
        mode: model::AuditMode::Strict,
        deadline: Duration::from_millis(250),
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn initiated() -> Draft {
    Draft {
        timestamp: SystemTime::now(),
        event: Event::DataAccess,
        stage: Stage::Initiated,
        result: AuditResult::Initiated,
        user_id: None,
        tenant_id: None,
        ip_address: IpAddr::from([127, 0, 0, 1]),
        user_agent: Some("words \\ \"quoted\"".into()),
        resource_id: Some(Evidence::of("wörds 4711")),
        resource_type: Some("users".into()),
        action: Action::Read,
        method: Method::Get,
        path: Evidence::of("/api/users/4711"),
        route: "/api/users/{id}".into(),
        request_id: RequestId::generate(),
        trace_id: TraceId::generate(),
        status: None,
        duration: None,
        facts: Vec::new(),
        reason: None,
    }
}

fn completed(begun: &Draft) -> Draft {
    Draft {
        stage: Stage::Completed,
        result: AuditResult::Success,
        status: Some(200),
        duration: Some(Duration::from_millis(3)),
        ..begun.clone()
    }
}

#[tokio::test]
async fn a_trail_over_two_runs_satisfies_the_command_and_an_auditor() {
    let directory = tempfile::tempdir().unwrap();
    for run in 1..=2_u64 {
        let audit =
            Audit::open(&config(directory.path()), RealDisk::new(directory.path())).unwrap();
        for _ in 0..5 {
            let draft = initiated();
            let mut seat = audit.reserve(soon()).await.unwrap();
            seat.initiate(draft.clone(), soon()).await.unwrap();
            seat.complete(completed(&draft));
        }
        let (live, is_ok) = cli::audit::verify(directory.path());
        assert!(is_ok, "{live}");
        let report = audit.stop(soon()).await;
        assert!(report.is_finished);
        assert_eq!((report.stats.sequence, report.stats.lost), (run * 10, 0));
    }
    let (printed, is_ok) = cli::audit::verify(directory.path());
    assert!(is_ok, "{printed}");

    let output = Command::new("python3")
        .arg("-c")
        .arg(AUDITOR)
        .arg(directory.path())
        .output()
        .expect("the auditor's program needs python3");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("20 records"), "{said}");
    assert!(printed.contains(said.trim().rsplit(' ').next().unwrap()), "{said}{printed}");
}

#[tokio::test]
async fn a_broken_disk_refuses_at_once_and_a_repaired_one_takes_records_again() {
    let disk = FakeDisk::default();
    let audit = Audit::open(&config(Path::new("fake")), disk.clone()).unwrap();
    disk.set_broken(true);
    let mut seat = audit.reserve(soon()).await.unwrap();
    assert_eq!(seat.initiate(initiated(), soon()).await, Err(Unavailable::NotWritable));
    drop(seat);
    assert!(!audit.stats().is_writable);
    disk.set_broken(false);
    let recovered = async {
        loop {
            let mut seat = audit.reserve(soon()).await.unwrap();
            if seat.initiate(initiated(), soon()).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout_at(soon(), recovered).await.unwrap();
    assert!(audit.stop(soon()).await.is_finished);
}
