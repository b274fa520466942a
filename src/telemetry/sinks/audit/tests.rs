//! The writer against a disk that forgets, fails and lies.

use std::path::Path;
use std::time::Duration;

use tokio::sync::oneshot::error::TryRecvError;

use super::fake::FakeDisk;
use super::*;
use crate::audit::sample::{completed, denied, initiated};
use crate::audit::{self, Verifier, segment_name, segment_start};

mod faults;
mod property;
mod threads;

/// A trail whose writer takes its turns when the test says so.
struct Scene {
    disk: FakeDisk,
    audit: Audit,
    writer: Writer,
}

fn config(directory: &Path) -> model::Audit {
    model::Audit {
        directory: directory.to_owned(),
        mode: model::AuditMode::Strict,
        deadline: Duration::from_millis(250),
    }
}

fn open(disk: &FakeDisk) -> Scene {
    let (shared, writer) = assemble(&config(Path::new("fake")), disk.clone()).unwrap();
    Scene { disk: disk.clone(), audit: Audit::around(shared, None), writer }
}

impl Scene {
    fn seat(&self) -> Seat {
        let places = Arc::clone(&self.audit.shared().places);
        Seat::new(self.audit.clone(), places.try_acquire_owned().unwrap())
    }

    /// A seat whose beginning is durable.
    fn begun(&mut self, id: u64) -> Seat {
        let mut seat = self.seat();
        let mut durable = seat.begin(initiated(id)).unwrap();
        self.writer.turn();
        durable.try_recv().unwrap();
        seat
    }

    fn check(&self) -> audit::Report {
        check(&self.disk)
    }

    /// `requestId stage result reason`, a line per record.
    fn story(&self) -> Vec<String> {
        story(&self.disk)
    }
}

fn segments(disk: &FakeDisk) -> Vec<(String, u64)> {
    let names = disk.names().into_iter();
    names.filter_map(|name| segment_start(&name).map(|start| (name, start))).collect()
}

fn check(disk: &FakeDisk) -> audit::Report {
    let mut verifier = Verifier::default();
    let segments = segments(disk);
    for (index, (name, _)) in segments.iter().enumerate() {
        let next = segments.get(index + 1).map(|(_, start)| *start);
        verifier.segment(name, next, &mut &disk.content(name).unwrap()[..]).unwrap();
    }
    verifier.finish()
}

fn story(disk: &FakeDisk) -> Vec<String> {
    let mut told = Vec::new();
    for (name, _) in segments(disk) {
        for line in String::from_utf8(disk.content(&name).unwrap()).unwrap().lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            let word = |key: &str| record[key].as_str().unwrap_or("-").to_owned();
            told.push(["requestId", "stage", "result", "reason"].map(word).join(" "));
        }
    }
    told
}

#[test]
fn a_beginning_is_told_durable_only_after_the_sync() {
    let mut scene = open(&FakeDisk::default());
    let mut seat = scene.seat();
    let mut durable = seat.begin(initiated(1)).unwrap();
    assert_eq!(durable.try_recv(), Err(TryRecvError::Empty));
    scene.writer.turn();
    assert_eq!(durable.try_recv(), Ok(()));
    scene.disk.crash(|_| Vec::new());
    drop(seat);
    let scene = open(&scene.disk);
    assert_eq!(scene.story(), ["r-1 initiated initiated -", "r-1 completed aborted crash"]);
    assert!(scene.check().is_ok());
    assert_eq!(scene.audit.stats().closed_after_crash, 1);
}

#[test]
fn everyone_who_waits_shares_one_sync() {
    let mut scene = open(&FakeDisk::default());
    let before = scene.disk.syncs();
    let mut seats: Vec<Seat> = (0..10).map(|_| scene.seat()).collect();
    let waiting: Vec<_> =
        seats.iter_mut().zip(0..).map(|(seat, id)| seat.begin(initiated(id)).unwrap()).collect();
    scene.writer.turn();
    assert!(waiting.into_iter().all(|mut durable| durable.try_recv().is_ok()));
    assert_eq!(scene.disk.syncs() - before, 1);
}

#[test]
fn an_end_is_written_and_frees_its_place() {
    let mut scene = open(&FakeDisk::default());
    let seat = scene.begun(1);
    assert_eq!(scene.audit.shared().places.available_permits(), PLACES - 1);
    seat.complete(completed(1));
    assert_eq!(scene.audit.shared().places.available_permits(), PLACES - 1);
    scene.writer.turn();
    assert_eq!(scene.audit.shared().places.available_permits(), PLACES);
    assert_eq!(scene.story()[1], "r-1 completed success -");
    let stats = scene.audit.stats();
    assert_eq!((stats.sequence, stats.records_with(audit::AuditResult::Success)), (2, 1));
    assert!(stats.is_writable && stats.last_durable.is_some());
}

#[test]
fn a_dropped_seat_ends_as_abandoned_even_in_the_commit_of_its_beginning() {
    let mut scene = open(&FakeDisk::default());
    drop(scene.begun(1));
    let mut seat = scene.seat();
    drop(seat.begin(initiated(2)).unwrap());
    drop(seat);
    drop(scene.seat()); // Never begun: nothing to say.
    scene.writer.turn();
    let expected = [
        "r-1 initiated initiated -",
        "r-1 completed aborted abandoned",
        "r-2 initiated initiated -",
        "r-2 completed aborted abandoned",
    ];
    assert_eq!(scene.story(), expected);
    assert!(scene.check().is_ok());
    assert_eq!(scene.audit.shared().places.available_permits(), PLACES);
}

#[test]
fn a_beginning_whose_waiter_gave_up_still_gets_its_end() {
    let mut scene = open(&FakeDisk::default());
    let mut seat = scene.seat();
    drop(seat.begin(initiated(1)).unwrap());
    scene.writer.turn();
    let failed = Draft { reason: Some("audit_unavailable"), ..completed(1) };
    seat.complete(failed);
    scene.writer.turn();
    assert_eq!(scene.story()[1], "r-1 completed success audit_unavailable");
    assert!(scene.check().is_ok());
}

#[test]
fn a_seat_begins_once() {
    let mut scene = open(&FakeDisk::default());
    let mut seat = scene.begun(1);
    assert!(seat.begin(initiated(1)).is_err());
    seat.complete(completed(1));
    scene.writer.turn();
    assert!(scene.check().is_ok());
}

#[test]
fn refusals_beyond_the_bound_are_dropped_and_counted() {
    let mut scene = open(&FakeDisk::default());
    for id in 0..1030 {
        scene.audit.deny(denied(id));
    }
    scene.writer.turn();
    assert_eq!(scene.audit.stats().denied_dropped, 6);
    assert_eq!(scene.story().len(), 1024);
    assert!(scene.check().is_ok());
}

#[test]
fn closing_ends_what_is_open_and_counts_what_comes_later() {
    let mut scene = open(&FakeDisk::default());
    let seat = scene.begun(1);
    scene.audit.shared().close();
    assert!(!scene.writer.turn());
    scene.writer.finish();
    seat.complete(completed(1));
    assert_eq!(scene.story()[1], "r-1 completed aborted shutdown");
    assert_eq!(scene.audit.stats().lost, 1);
    assert!(!scene.audit.stats().is_writable);
    assert!(scene.seat().begin(initiated(2)).is_err());
}

#[test]
fn a_torn_tail_is_moved_aside_and_counted() {
    let mut scene = open(&FakeDisk::default());
    scene.begun(1).complete(completed(1));
    scene.writer.turn();
    let name = segment_name(1);
    let whole = scene.disk.content(&name).unwrap();
    let disk = FakeDisk::default();
    disk.put(&name, &[&whole[..], b"{\"timestamp\":\"2026"].concat());
    let mut scene = open(&disk);
    assert_eq!(scene.audit.stats().torn_bytes, 18);
    assert_eq!(disk.content(&name).unwrap(), whole);
    assert_eq!(disk.content(&format!("{name}.cut")).unwrap(), b"{\"timestamp\":\"2026");
    drop(scene.begun(2));
    scene.writer.turn();
    assert_eq!(scene.check().last_seq, 4);
    assert!(scene.check().is_ok());
}

#[test]
fn damage_inside_the_chain_is_reported_and_left_as_it_is() {
    let mut scene = open(&FakeDisk::default());
    scene.begun(1).complete(completed(1));
    scene.writer.turn();
    let whole = String::from_utf8(scene.disk.content(&segment_name(1)).unwrap()).unwrap();
    let changed = whole.replacen("192.0.2.7", "192.0.2.8", 1);
    let disk = FakeDisk::default();
    disk.put(&segment_name(1), changed.as_bytes());
    let mut scene = open(&disk);
    assert_eq!(scene.audit.stats().flaws, 1);
    drop(scene.begun(2));
    scene.writer.turn();
    let report = scene.check();
    assert_eq!((report.flaws, report.first_flaw.unwrap().0.line, report.last_seq), (1, 1, 4));
}
