//! The files of the spool, without an outbox.

use bytes::Bytes;

use super::disk::Disk;
use super::fake::FakeDisk;
use super::segment;
use super::store::Store;
use super::*;
use crate::telemetry::export::{Encoding, Parcel};

fn parcel(items: u64, length: usize) -> Parcel {
    Parcel { items, encoding: Encoding::Gzip, body: Bytes::from(vec![7; length]) }
}

fn open(disk: &FakeDisk) -> (Store, store::Found) {
    Store::open(Box::new(disk.clone()), 1 << 20, 100).unwrap()
}

#[test]
fn two_processes_cannot_share_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let first = Spool::open(path.clone(), 1 << 20).unwrap();
    let error = Spool::open(path.clone(), 1 << 20).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "spool directory `{}` is in use by another process; give each sidecar its own \
             `spool.directory`",
            path.display()
        )
    );
    drop(first);
    Spool::open(path, 1 << 20).unwrap();
}

#[test]
fn a_directory_that_cannot_be_used_says_why() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().join("spool");
    let error = Spool::open(path.clone(), 1 << 20).unwrap_err().to_string();
    let opening = format!("opening the spool directory `{}`: ", path.display());
    assert!(error.starts_with(&opening), "{error}");
    assert!(error.contains("a file is in its place"), "{error}");
    assert!(error.ends_with("(`spool.directory`)"), "{error}");
}

#[test]
fn a_real_directory_keeps_what_it_was_given() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let disk = RealDisk::new(directory.path());
        Store::open(Box::new(disk), 1 << 20, 100).unwrap()
    };
    let (mut store, found) = open();
    assert_eq!(found, store::Found::default());
    store.put(3, "traces", &parcel(5, 1000)).unwrap();
    store.put(4, "metrics", &parcel(7, 10)).unwrap();
    drop(store);
    let (mut store, found) = open();
    assert_eq!((found.parcels, found.items, found.next), (2, 12, 5));
    let (order, whole, bytes) = store.oldest("traces").unwrap().unwrap();
    assert_eq!((order, whole, bytes), (3, parcel(5, 1000), 1064));
    assert!(store.oldest("traces").unwrap().is_none(), "it is given out once");
    store.done(order);
    drop(store);
    assert_eq!(open().1.parcels, 1);
}

#[test]
fn torn_and_foreign_files_are_never_fatal() {
    let disk = FakeDisk::default();
    let (mut store, _) = open(&disk);
    (0..4).for_each(|order| store.put(order, "traces", &parcel(1, 10)).unwrap());
    drop(store);
    let names = disk.names();
    disk.meddle(&names[0], |content| Some(content[..30].to_vec()));
    disk.meddle(&names[1], |content| Some(content[..70].to_vec()));
    disk.meddle(&names[2], |mut content| {
        content[8] = 9; // The version.
        Some(content)
    });
    disk.meddle("0000000000000009.traces.tmp", |_| Some(vec![1; 5]));
    disk.meddle("0000000000000010.logs", |_| Some(vec![0xff; 500]));
    disk.meddle("notes.txt", |_| Some(b"mine".to_vec()));
    let (store, found) = open(&disk);
    assert_eq!((found.parcels, found.items), (1, 1));
    assert_eq!(found.next, 0x11, "no name is used again");
    assert_eq!(store.held(), (74, 1));
    assert_eq!(disk.names(), [&names[2], &names[3], "notes.txt"]);
}

#[test]
fn a_name_far_ahead_does_not_hide_what_is_written_after_it() {
    let disk = FakeDisk::default();
    disk.meddle("7fffffffffffffff.traces", |_| Some(vec![1; 100]));
    let (mut store, found) = open(&disk);
    store.put(found.next, "traces", &parcel(3, 10)).unwrap();
    drop(store);
    disk.crash(usize::MAX);
    assert_eq!(open(&disk).1.items, 3);
}

#[test]
fn a_directory_in_the_way_does_not_keep_the_spool_from_being_written() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (segment::name(0, "traces"), segment::name(1, "logs"));
    let draft = segment::draft(&segment::name(2, "traces"));
    for name in [&first, &second, &draft] {
        std::fs::create_dir(directory.path().join(name)).unwrap();
    }
    let open = || Store::open(Box::new(RealDisk::new(directory.path())), 1 << 20, 100).unwrap();
    let (mut store, found) = open();
    assert_eq!((found.parcels, found.next), (0, 3));
    store.put(found.next, "traces", &parcel(3, 10)).unwrap();
    drop(store);
    assert_eq!(open().1.items, 3);
    assert!(directory.path().join(first).is_dir(), "it is left alone");
}

#[test]
fn a_directory_made_meanwhile_costs_a_file_its_name_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Store::open(Box::new(RealDisk::new(directory.path())), 1 << 20, 100).unwrap();
    let (mut store, _) = open();
    let (name, draft) = (segment::name(0, "traces"), segment::draft(&segment::name(1, "traces")));
    let (deaf, taken) = (segment::name(2, "traces"), segment::spare(2, "traces", 1));
    for name in [&name, &draft, &deaf, &taken] {
        std::fs::create_dir(directory.path().join(name)).unwrap();
    }
    (0..4).for_each(|order| store.put(order, "traces", &parcel(order + 1, 10)).unwrap());
    assert_eq!(store.held(), (4 * 74, 4), "nothing but the files counts");
    drop(store);

    let (mut store, found) = open();
    assert_eq!((found.parcels, found.items, found.next), (4, 10, 4));
    for order in 0..4 {
        let (given, whole, _) = store.oldest("traces").unwrap().unwrap();
        assert_eq!((given, whole), (order, parcel(order + 1, 10)));
        store.done(order);
    }
    drop(store);
    let names = std::fs::read_dir(directory.path()).unwrap();
    assert_eq!(names.count(), 5, "the directories are left alone, and the lock");
}

#[test]
fn a_file_in_whose_place_is_none_is_lost_at_once_and_holds_up_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::open(Box::new(RealDisk::new(directory.path())), 3 * 74, 100).unwrap().0;
    let path = |order| directory.path().join(segment::name(order, "traces"));
    (0..3).for_each(|order| store.put(order, "traces", &parcel(1, 10)).unwrap());
    for order in 0..2 {
        std::fs::remove_file(path(order)).unwrap();
        std::fs::create_dir(path(order)).unwrap();
    }
    store.put(3, "traces", &parcel(1, 10)).unwrap();
    assert_eq!(store.oldest("traces").unwrap().unwrap().0, 2);
    assert_eq!(store.held(), (2 * 74, 2));
    assert!(path(0).is_dir() && path(1).is_dir());
}

#[test]
fn two_files_of_one_number_are_not_taken_for_one() {
    let disk = FakeDisk::default();
    let (mut store, _) = open(&disk);
    store.put(1, "traces", &parcel(3, 10)).unwrap();
    drop(store);
    let other = parcel(5, 10);
    let file = [&segment::seal("logs", &other)[..], &other.body].concat();
    disk.meddle("0000000000000001.logs", |_| Some(file));
    disk.crash(usize::MAX);
    let (store, found) = open(&disk);
    assert_eq!(found.parcels, 1);
    assert_eq!(store.held(), (74, 1));
    assert_eq!(disk.names().len(), 2, "the other waits for another start");
}

#[test]
fn what_has_the_name_of_a_draft_is_replaced_and_never_followed() {
    let directory = tempfile::tempdir().unwrap();
    let victim = directory.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    let spool = directory.path().join("spool");
    std::fs::create_dir(&spool).unwrap();
    let draft = |order| spool.join(segment::draft(&segment::name(order, "traces")));
    std::os::unix::fs::symlink(&victim, draft(0)).unwrap();
    let mut store = Store::open(Box::new(RealDisk::new(&spool)), 1 << 20, 100).unwrap().0;
    std::os::unix::fs::symlink(&victim, draft(1)).unwrap();
    store.put(1, "traces", &parcel(1, 10)).unwrap();
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(store.oldest("traces").unwrap().unwrap().1, parcel(1, 10));
}

#[test]
fn a_parcel_that_was_not_taken_leaves_nothing_behind() {
    // Writing, renaming, syncing: each may fail.
    for step in 0..3 {
        let disk = FakeDisk::default();
        let (mut store, _) = open(&disk);
        let before = disk.names();
        disk.fail((0..step).map(|_| false).chain([true]));
        store.put(1, "traces", &parcel(1, 10)).unwrap_err();
        assert_eq!(disk.names(), before, "step {step}");
        assert_eq!(store.held(), (0, 0));
        store.put(1, "traces", &parcel(1, 10)).unwrap();
        drop(store);
        disk.crash(0);
        assert_eq!(open(&disk).1.items, 1);
    }
}

#[test]
fn a_file_that_will_not_go_counts_until_it_goes() {
    let disk = FakeDisk::default();
    let (mut store, _) = open(&disk);
    store.put(1, "traces", &parcel(1, 10)).unwrap();
    let (order, ..) = store.oldest("traces").unwrap().unwrap();
    disk.fail([true]);
    store.done(order);
    assert_eq!(store.held(), (74, 0));
    store.put(2, "traces", &parcel(1, 20)).unwrap();
    assert_eq!(store.held(), (84, 1));
    assert_eq!(disk.names().len(), 1);
}

#[test]
fn a_name_that_was_a_ghost_is_safe_once_it_lives_again() {
    let disk = FakeDisk::default();
    let (mut store, _) = open(&disk);
    // The sync fails, and the removal of what was written, and once more before the next attempt.
    disk.fail([false, false, true, true, true, true, true]);
    store.put(1, "traces", &parcel(1, 10)).unwrap_err();
    store.put(1, "traces", &parcel(1, 10)).unwrap();
    store.put(2, "traces", &parcel(1, 10)).unwrap();
    assert!(disk.names().contains(&segment::name(1, "traces")), "{:?}", disk.names());
    assert_eq!(store.oldest("traces").unwrap().unwrap().0, 1);
}

#[test]
fn the_number_of_files_is_bounded_too() {
    let disk = FakeDisk::default();
    let mut store = Store::open(Box::new(disk.clone()), 1 << 20, 3).unwrap().0;
    (0..10).for_each(|order| store.put(order, "traces", &parcel(1, 10)).unwrap());
    assert_eq!(store.held().1, 3);
    assert_eq!(store.oldest("traces").unwrap().unwrap().0, 7);
}

#[test]
fn what_is_being_delivered_is_not_pushed_out() {
    let disk = FakeDisk::default();
    let mut store = Store::open(Box::new(disk), 1 << 20, 2).unwrap().0;
    (0..2).for_each(|order| store.put(order, "traces", &parcel(1, 10)).unwrap());
    assert_eq!(store.oldest("traces").unwrap().unwrap().0, 0);
    store.put(2, "traces", &parcel(1, 10)).unwrap();
    store.release(0, false);
    let mut left = Vec::new();
    while let Some((order, ..)) = store.oldest("traces").unwrap() {
        left.push(order);
    }
    assert_eq!(left, [0, 2]);
}

#[test]
fn a_fake_disk_is_as_strict_as_a_real_one() {
    let disk = FakeDisk::default();
    let mut first = disk.clone();
    first.lock().unwrap();
    assert!(disk.clone().lock().is_err());
    first.write("a", &[b"1"]).unwrap();
    disk.crash(0);
    assert_eq!(disk.names(), [""; 0], "a name that was not synced is gone");
    assert!(first.write("b", &[b"1"]).is_err(), "the machine went off");
}
