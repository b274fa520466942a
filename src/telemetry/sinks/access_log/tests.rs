//! What happens when lines are written, and when they cannot be.

use std::sync::mpsc::{Receiver, Sender as StdSender};
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::record::Record;
use crate::telemetry::ledger::Book;
use crate::telemetry::log::line::Format;
use crate::telemetry::log::sample::{failed, record, service};
use crate::telemetry::worker;

const FILES: LogFiles = LogFiles { max_size: Some(1 << 20), max_files: 5, compress: true };

fn entry(record: Record) -> Entry {
    Entry::Completed(Arc::new(record))
}

#[tokio::test]
async fn files_take_every_line_and_errors_twice() {
    let directory = tempfile::tempdir().unwrap();
    let logs = directory.path().join("deep/logs");
    let sink = AccessLog::files(&service(), Schema::Winston, &logs, &FILES).unwrap();
    let (lane, worker) = worker::start(sink, "logs", 10, 10);
    assert!(lane.offer(entry(record())) && lane.offer(entry(failed())));
    worker.stop(Instant::now() + Duration::from_secs(10)).await;

    let content = |name| std::fs::read_to_string(logs.join(name)).unwrap();
    assert_eq!(content("combined.log").lines().count(), 2);
    let mut expected = Vec::new();
    Format::new(&service(), Form::Json(Schema::Winston)).write(&entry(failed()), &mut expected);
    assert_eq!(content("error.log").as_bytes(), expected);
    assert_eq!(lane.account().exported, 2);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(logs.join("error.log")).unwrap().permissions().mode();
        assert_eq!(mode & 0o027, 0, "nobody else reads it, the group does not write it");
    }
}

/// Fails every write, or never returns from one.
enum Broken {
    Full,
    Stalled(StdSender<()>, Receiver<()>),
}

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        if let Self::Stalled(started, never) = self {
            started.send(()).unwrap();
            never.recv().ok();
        }
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_full_disk_is_counted_and_nothing_else() {
    let sink = AccessLog::console(&service(), Form::Json(Schema::Winston), Box::new(Broken::Full))
        .unwrap();
    let (lane, worker) = worker::start(sink, "logs", 10, 1);
    assert!(lane.offer(entry(record())) && lane.offer(entry(record())));
    worker.stop(Instant::now() + Duration::from_secs(10)).await;
    let account = lane.account();
    assert_eq!(account.dropped.get("io"), Some(&2));
    assert!(account.is_balanced());
}

#[tokio::test]
async fn a_reader_that_stalls_fills_the_lane_and_stops_nobody() {
    let (started, stalled) = std::sync::mpsc::channel();
    let (_hold, never) = std::sync::mpsc::channel();
    let out = Broken::Stalled(started, never);
    let sink = AccessLog::console(&service(), Form::Json(Schema::Winston), Box::new(out)).unwrap();
    let (lane, worker) = worker::start(sink, "logs", 4, 1);
    assert!(lane.offer(entry(record())));
    tokio::task::spawn_blocking(move || stalled.recv().unwrap()).await.unwrap();
    let taken = (0..10).filter(|_| lane.offer(entry(record()))).count();
    assert_eq!(taken, 3, "four are held: one in the writer's hands, three waiting");
    worker.stop(Instant::now()).await;
    let account = lane.account();
    assert_eq!(account.dropped.get("queue_full"), Some(&7));
    assert_eq!(account.dropped.get("shutdown"), Some(&4));
    assert!(account.is_balanced());
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_failing_until_it_can_be() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("combined.log");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let sink = AccessLog::files(&service(), Schema::Winston, directory.path(), &FILES).unwrap();
    let reopen = sink.reopen();
    let (lane, worker) = worker::start(sink, "logs", 10, 1);
    let settled = async |count| {
        assert!(lane.offer(entry(record())));
        while lane.account().attempts.values().sum::<u64>() < count {
            tokio::task::yield_now().await;
        }
        lane.account().failing
    };
    let failing = settled(1).await.expect("a full disk");
    let started = format!("{}: No space left", path.display());
    assert!(failing.error.starts_with(&started), "{}", failing.error);
    assert_eq!(settled(2).await.map(|failing| failing.since), Some(failing.since));
    std::fs::remove_file(&path).unwrap();
    reopen.ask();
    assert_eq!(settled(3).await, None);
    worker.stop(Instant::now() + Duration::from_secs(10)).await;
}

/// A console that takes so many bytes each time it is let.
#[derive(Clone, Default)]
struct Tap(Arc<Mutex<(Vec<u8>, usize)>>);

impl Tap {
    fn open(&self, bytes: usize) {
        self.0.lock().1 = bytes;
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.0.lock().0.clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (content, room) = &mut *self.0.lock();
        if *room < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        content.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The `dropped` of the lines that tell of losses, with their reasons.
fn told(lines: &[serde_json::Value]) -> Vec<(u64, String)> {
    let notices = lines.iter().filter(|line| line["message"] == "Log lines were dropped");
    notices
        .map(|line| {
            assert_eq!(line["level"], "warn");
            (line["dropped"].as_u64().unwrap(), line["reason"].as_str().unwrap().to_owned())
        })
        .collect()
}

#[tokio::test]
async fn the_next_line_that_gets_through_comes_after_one_that_tells_what_is_missing() {
    let tap = Tap::default();
    let mut sink =
        AccessLog::console(&service(), Form::Json(Schema::Winston), Box::new(tap.clone())).unwrap();
    let one = || vec![entry(record())];
    assert_eq!(sink.deliver(one()).await.dropped, [("io", 1)]);
    sink.missed(5);
    assert_eq!(sink.deliver(vec![entry(record()), entry(record())]).await.dropped, [("io", 2)]);
    tap.open(usize::MAX);
    sink.missed(7);
    assert_eq!(sink.deliver(one()).await, Delivery::all(1));
    assert_eq!(sink.deliver(one()).await, Delivery::all(1));
    let lines = tap.lines();
    assert_eq!(told(&lines), [(3, "io".to_owned()), (7, "queue_full".to_owned())]);
    assert_eq!(lines.len(), 4, "they come once, and first");
    assert_eq!(told(&lines[..2]).len(), 2);
    tap.open(0);
    assert_eq!(sink.deliver(one()).await, Delivery::none(1, "io"));
    tap.open(usize::MAX);
    assert_eq!(sink.deliver(one()).await, Delivery::all(1));
    assert_eq!(told(&tap.lines()[4..]), [(1, "io".to_owned())]);
}

#[tokio::test]
async fn what_only_error_log_misses_it_says_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("error.log");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let mut sink = AccessLog::files(&service(), Schema::Winston, directory.path(), &FILES).unwrap();
    let both = || vec![entry(record()), entry(failed())];
    assert_eq!(sink.deliver(both()).await.dropped, [("io", 1)]);
    std::fs::remove_file(&path).unwrap();
    let reopen = sink.reopen();
    reopen.ask();
    reopen.ask();
    assert_eq!(sink.deliver(both()).await, Delivery::all(2));
    let read = |name: &str| {
        let text = std::fs::read_to_string(directory.path().join(name)).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect::<Vec<serde_json::Value>>()
    };
    assert_eq!(
        (read("error.log").len(), told(&read("error.log"))),
        (2, vec![(1, "io".to_owned())])
    );
    assert_eq!((read("combined.log").len(), told(&read("combined.log")).len()), (5, 1));
}

#[tokio::test]
async fn files_that_were_moved_are_opened_again_though_nothing_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut sink = AccessLog::files(&service(), Schema::Winston, directory.path(), &FILES).unwrap();
    assert_eq!(sink.deliver(vec![entry(failed())]).await, Delivery::all(1));
    for name in ["combined.log", "error.log"] {
        std::fs::rename(path(name), path(&format!("{name}-old"))).unwrap();
    }
    assert_eq!(sink.deliver(vec![entry(failed())]).await, Delivery::all(1));
    sink.reopen().ask();
    sink.close().await;
    let has_ended = tokio::time::timeout(Duration::from_secs(20), async {
        while !path("error.log").exists() {
            tokio::task::yield_now().await;
        }
    });
    has_ended.await.expect("new files");
    for name in ["combined.log", "error.log"] {
        let lines = |name: &str| std::fs::read_to_string(path(name)).unwrap().lines().count();
        assert_eq!((lines(&format!("{name}-old")), lines(name)), (2, 0));
    }
    sink.reopen().ask();
}
