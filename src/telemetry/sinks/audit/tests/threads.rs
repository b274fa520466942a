//! The writer on its own thread, on real disks and held ones.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn check_directory(directory: &Path) -> audit::Report {
    let mut disk = RealDisk::new(directory);
    let mut names: Vec<String> = disk.list().unwrap();
    names.retain(|name| segment_start(name).is_some());
    names.sort();
    let mut verifier = Verifier::default();
    for name in &names {
        verifier.segment(name, None, &mut *disk.read(name).unwrap()).unwrap();
    }
    verifier.finish()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_at_once_leave_one_gapless_chain() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("audit");
    let audit = Audit::open(&config(&directory), RealDisk::new(&directory)).unwrap();
    let mut requests = tokio::task::JoinSet::new();
    for id in 0..200 {
        let audit = audit.clone();
        requests.spawn(async move {
            let mut seat = audit.reserve(soon()).await.unwrap();
            seat.initiate(initiated(id), soon()).await.unwrap();
            seat.complete(completed(id));
            audit.deny(denied(id));
        });
    }
    requests.join_all().await;
    let report = audit.stop(soon()).await;
    assert!(report.is_finished);
    assert_eq!((report.stats.sequence, report.stats.lost, report.stats.failures), (600, 0, 0));
    assert!(report.stats.commits < 500, "{} commits are no groups", report.stats.commits);
    let check = check_directory(&directory);
    assert!(check.is_ok(), "{check}");
    assert_eq!(check.records, 600);
    let mode =
        |name: &str| std::fs::metadata(directory.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("lock"), mode(&segment_name(1))), (0o700, 0o600, 0o600));
}

#[test]
fn a_second_process_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let first = Audit::open(&config(directory.path()), RealDisk::new(directory.path())).unwrap();
    let refused = Audit::open(&config(directory.path()), RealDisk::new(directory.path()));
    let words = refused.unwrap_err().to_string();
    assert!(words.contains("in use by another process"), "{words}");
    drop(first);
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_in_words() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let below = file.path().join("audit");
    let refused = Audit::open(&config(&below), RealDisk::new(&below));
    let words = refused.unwrap_err().to_string();
    assert!(words.starts_with("taking the lock in audit directory `"), "{words}");
    assert!(words.ends_with("(`audit.directory`)"), "{words}");
}

#[tokio::test]
async fn a_slow_disk_is_too_late_for_the_request_but_the_end_still_follows() {
    let disk = FakeDisk::default();
    let audit = Audit::open(&config(Path::new("fake")), disk.clone()).unwrap();
    disk.hold_syncs(true);
    let mut seat = audit.reserve(soon()).await.unwrap();
    let deadline = Instant::now() + Duration::from_millis(30);
    assert_eq!(seat.initiate(initiated(1), deadline).await, Err(Unavailable::TooLate));
    drop(seat);
    disk.hold_syncs(false);
    assert!(audit.stop(soon()).await.is_finished);
    assert_eq!(story(&disk), ["r-1 initiated initiated -", "r-1 completed aborted abandoned"]);
}

#[tokio::test]
async fn stopping_waits_no_longer_than_its_deadline() {
    let disk = FakeDisk::default();
    let audit = Audit::open(&config(Path::new("fake")), disk.clone()).unwrap();
    disk.hold_syncs(true);
    audit.deny(denied(1));
    let report = audit.stop(Instant::now() + Duration::from_millis(30)).await;
    assert!(!report.is_finished);
    disk.hold_syncs(false);
}

#[tokio::test]
async fn an_end_is_durable_without_anybody_else_waking_the_writer() {
    let disk = FakeDisk::default();
    let audit = Audit::open(&config(Path::new("fake")), disk.clone()).unwrap();
    let mut seat = audit.reserve(soon()).await.unwrap();
    seat.initiate(initiated(1), soon()).await.unwrap();
    seat.complete(completed(1));
    let swept = async {
        while audit.stats().sequence < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout_at(soon(), swept).await.unwrap();
    assert!(check(&disk).is_ok());
}
