//! What happens when lines are written, and when they cannot be.

use std::sync::Arc;
use std::sync::mpsc::Sender as StdSender;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::record::Record;
use crate::telemetry::ledger::Book;
use crate::telemetry::log::sample::{failed, record, service};
use crate::telemetry::worker;

fn entry(record: Record) -> Entry {
    Entry::Completed(Arc::new(record))
}

#[tokio::test]
async fn files_take_every_line_and_errors_twice() {
    let directory = tempfile::tempdir().unwrap();
    let logs = directory.path().join("deep/logs");
    let sink = AccessLog::files(&service(), Schema::Winston, &logs).unwrap();
    let (lane, worker) = worker::start(sink, "logs", 10, 10);
    assert!(lane.offer(entry(record())) && lane.offer(entry(failed())));
    worker.stop(Instant::now() + Duration::from_secs(10)).await;

    let read = |name| std::fs::read_to_string(logs.join(name)).unwrap();
    assert_eq!(read("combined.log").lines().count(), 2);
    let mut line = Vec::new();
    Format::new(&service(), Form::Json(Schema::Winston)).write(&entry(failed()), &mut line);
    assert_eq!(read("error.log").as_bytes(), line);
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
