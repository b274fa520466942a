//! On a real file system: modes, links, pipes, locks, and the thread that compresses.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use tokio::time::Instant;

use super::*;

const FILES: LogFiles = LogFiles { max_size: Some(8), max_files: 3, compress: true };

fn open(directory: &Path, files: &LogFiles) -> Result<Lines, OpenError> {
    open_resting(directory, files, Duration::ZERO)
}

fn open_resting(directory: &Path, files: &LogFiles, rest: Duration) -> Result<Lines, OpenError> {
    Lines::append_resting(directory, [NAME], files, rest).map(|[lines]| lines)
}

/// A shelf whose files nobody compresses but the test.
fn shelf(directory: &Path, keep: u32) -> Arc<Shelf> {
    Arc::new(Shelf::new(Arc::new(RealDisk::take(directory).unwrap()), NAME, keep))
}

/// Waits until a file is there.
fn await_file(path: &Path) {
    let (found, is_found) = channel();
    let path = path.to_owned();
    std::thread::spawn(move || {
        while !path.exists() {
            std::thread::yield_now();
        }
        found.send(()).ok();
    });
    is_found.recv_timeout(Duration::from_secs(20)).expect("a file");
}

#[test]
fn old_files_are_compressed_beside_the_writing() {
    let directory = tempfile::tempdir().unwrap();
    let mut lines = open(directory.path(), &FILES).unwrap();
    write(&mut lines, &["one", "two", "three"]);
    let old = directory.path().join("app.log.1.gz");
    await_file(&old);
    assert_eq!(text("app.log.1.gz", &fs::read(&old).unwrap()), "one\ntwo\n");
    assert_eq!(fs::read(directory.path().join(NAME)).unwrap(), b"three\n");
    for file in [NAME, "app.log.1.gz"] {
        let mode = fs::metadata(directory.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0, "nobody else reads {file}, the group does not write it");
    }
}

/// The priorities of the threads of this name, as in nice(2).
#[cfg(target_os = "linux")]
fn priorities(name: &str) -> Vec<i32> {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let accounts =
        threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("stat")).ok());
    accounts
        .filter_map(|account| {
            // The name is in brackets; the rest are numbers, of which the seventeenth is asked for.
            let (head, numbers) = account.rsplit_once(") ")?;
            head.ends_with(&format!("({name}")).then(|| numbers.split(' ').nth(16)?.parse().ok())?
        })
        .collect()
}

#[test]
fn an_old_file_rests_before_it_is_compressed() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) =
        (directory.path().join("app.log.2.gz"), directory.path().join("app.log.1.gz"));
    let mut lines = open_resting(directory.path(), &FILES, Duration::from_millis(300)).unwrap();
    let began = Instant::now();
    write(&mut lines, &["one", "two", "three", "four"]);
    // Nobody nudges it once they have rested.
    await_file(&first);
    await_file(&second);
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    assert_eq!(text("app.log.2.gz", &fs::read(&first).unwrap()), "one\ntwo\n");
}

#[cfg(target_os = "linux")]
#[test]
fn compression_gives_way_to_whoever_wants_the_core() {
    let directory = tempfile::tempdir().unwrap();
    let mut lines = open(directory.path(), &FILES).unwrap();
    write(&mut lines, &["one", "two", "three"]);
    // It was at work, so it has its priority. Those of other tests may only just begin.
    await_file(&directory.path().join("app.log.1.gz"));
    assert!(priorities("log-gzip").contains(&19));
}

#[test]
fn files_that_shall_stay_plain_do() {
    let directory = tempfile::tempdir().unwrap();
    let files = LogFiles { compress: false, ..FILES };
    let mut lines = open(directory.path(), &files).unwrap();
    write(&mut lines, &["one", "two", "three", "4", "five"]);
    let read = |name| fs::read_to_string(directory.path().join(name)).unwrap();
    assert_eq!(
        [read("app.log.2"), read("app.log.1"), read(NAME)].concat(),
        "one\ntwo\nthree\n4\nfive\n"
    );
}

#[test]
fn a_log_without_a_limit_is_left_to_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log.9");
    fs::write(&path, "not ours").unwrap();
    let half_made = directory.path().join("app.log.gz.tmp");
    fs::write(&half_made, "ours, of a time when it had a limit").unwrap();
    let mut lines = open(directory.path(), &LogFiles { max_size: None, ..FILES }).unwrap();
    write(&mut lines, &["one", "two", "three"]);
    assert_eq!(fs::read(directory.path().join(NAME)).unwrap(), b"one\ntwo\nthree\n");
    assert!(path.exists() && !half_made.exists());
}

#[test]
fn a_torn_line_is_cut_off_at_the_start() {
    for (left, kept) in [
        (String::from("one\ntw"), "one\n"),
        (String::from("tw"), ""),
        (String::from("one\n"), "one\n"),
        (format!("one\n{}", "x".repeat(10_000)), "one\n"),
        (
            format!("{}\n{}", "y".repeat(4092), "x".repeat(4096)),
            &*format!("{}\n", "y".repeat(4092)),
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        fs::write(&path, left).unwrap();
        let _lines = open(directory.path(), &LogFiles { max_size: None, ..FILES }).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), kept);
    }
}

#[test]
fn what_a_link_leads_to_is_written_and_neither_renamed_nor_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    let path = directory.path().join(NAME);
    symlink(&target, &path).unwrap();
    let mut lines = open(directory.path(), &FILES).unwrap();
    write(&mut lines, &["one", "two", "three"]);
    lines.reopen();
    write(&mut lines, &["four"]);
    assert_eq!(fs::read(target).unwrap(), b"one\ntwo\nthree\nfour\n");
    assert!(fs::symlink_metadata(path).unwrap().is_symlink());
}

#[test]
fn a_device_takes_lines_and_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    symlink("/dev/null", &path).unwrap();
    let mut lines = open(directory.path(), &FILES).unwrap();
    assert_eq!(write(&mut lines, &["one", "two", "three"]), 3);
    assert_eq!(fs::read_link(path).unwrap(), Path::new("/dev/null"));
    fs::remove_file(directory.path().join(NAME)).unwrap();
    symlink("/dev/full", directory.path().join(NAME)).unwrap();
    lines.reopen();
    assert_eq!(write(&mut lines, &["one", "two"]), 0, "a device that is full");
}

#[test]
fn a_named_pipe_is_written_before_anybody_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let mut lines = open(directory.path(), &FILES).unwrap();
    assert_eq!(write(&mut lines, &["one", "two", "three"]), 3);
    let mut reader = fs::File::open(path).unwrap();
    drop(lines);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one\ntwo\nthree\n");
}

#[test]
fn a_directory_belongs_to_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path(), &FILES).unwrap();
    let error = open(directory.path(), &FILES).err().unwrap();
    assert!(error.to_string().contains("another process writes there"), "{error}");
    drop(first);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = open(&file.join("logs"), &FILES).err().unwrap();
    assert!(error.to_string().contains("file/logs` for the log: "), "{error}");
}

#[test]
fn what_is_no_file_among_the_old_ones_is_passed_over_and_stays() {
    for (number, names) in [
        (1, ["app.log.2.gz", "app.log.3.gz"]),
        (2, ["app.log.1.gz", "app.log.3.gz"]),
        (3, ["app.log.1.gz", "app.log.2.gz"]),
    ] {
        for kind in ["directory", "link", "dangling link", "pipe"] {
            let directory = tempfile::tempdir().unwrap();
            let at = |name: &str| directory.path().join(name);
            let foreign = format!("app.log.{number}");
            fs::write(at("target"), "not ours").unwrap();
            match kind {
                "directory" => fs::create_dir(at(&foreign)).unwrap(),
                "link" => symlink(at("target"), at(&foreign)).unwrap(),
                "dangling link" => symlink(at("missing"), at(&foreign)).unwrap(),
                _ => assert!(Command::new("mkfifo").arg(at(&foreign)).status().unwrap().success()),
            }
            let before = fs::symlink_metadata(at(&foreign)).unwrap();
            let shelf = shelf(directory.path(), 3);
            let mut lines = Lines::at(Home::new(Arc::clone(&shelf), at(NAME), &FILES, None));
            for text in ["lost", "oldest", "newest", "written"] {
                assert_eq!(write(&mut lines, &[&format!("{text} {kind}")]), 1);
                compress_each(&shelf, |_| true).unwrap();
            }
            let read = |name: &str| text(name, &fs::read(at(name)).unwrap());
            assert_eq!(read(names[0]), format!("newest {kind}\n"));
            assert_eq!(read(names[1]), format!("oldest {kind}\n"));
            assert_eq!(read(NAME), format!("written {kind}\n"));
            let after = fs::symlink_metadata(at(&foreign)).unwrap();
            assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
            assert_eq!(read("target"), "not ours");
        }
    }
}

#[test]
fn a_log_with_no_number_left_for_an_old_file_grows() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("app.log.1")).unwrap();
    let shelf = shelf(directory.path(), 1);
    let mut lines = Lines::at(Home::new(shelf, directory.path().join(NAME), &FILES, None));
    assert_eq!(write(&mut lines, &["one", "two", "three"]), 3);
    assert_eq!(fs::read(directory.path().join(NAME)).unwrap(), b"one\ntwo\nthree\n");
}

#[test]
fn an_old_file_that_got_another_name_is_left_to_the_next_time() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["app.log.1", "app.log.2"] {
        fs::write(at(name), "one\n").unwrap();
    }
    let shelf = shelf(directory.path(), 3);
    let (oldest, _) = shelf.oldest_plain(&[]).unwrap().unwrap();
    assert!(shelf.read(oldest, "app.log.1").unwrap().is_none(), "another file by now");
    assert!(shelf.read(oldest, "app.log.3").unwrap().is_none(), "none by now");
    compress_each(&shelf, |_| true).unwrap();
    assert!(at("app.log.1.gz").exists() && at("app.log.2.gz").exists());
}

#[test]
fn a_directory_that_is_a_file_is_called_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sidecar.toml");
    fs::write(&path, "text").unwrap();
    let error = open(&path, &FILES).err().unwrap().to_string();
    assert!(
        error.ends_with("for the log: `log.directory` names a file, not a directory"),
        "{error}"
    );
    assert_eq!(fs::read(&path).unwrap(), b"text");
}

#[test]
fn a_directory_in_the_place_of_ours_is_taken_too_unless_it_is_another_s() {
    let parent = tempfile::tempdir().unwrap();
    let (place, moved) = (parent.path().join("logs"), parent.path().join("moved"));
    let first = RealDisk::take(&place).unwrap();
    first.create("a").unwrap();
    fs::rename(&place, &moved).unwrap();
    fs::create_dir(&place).unwrap();
    first.create("b").unwrap();
    assert!(place.join("b").exists());
    assert!(RealDisk::take(&place).is_err(), "it is ours now");

    fs::rename(&place, parent.path().join("moved.2")).unwrap();
    let second = RealDisk::take(&place).unwrap();
    second.create("c").unwrap();
    for refused in [
        first.open("c").map(drop),
        first.rename("c", "d"),
        first.remove("c"),
        first.create("e").map(drop),
    ] {
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
    assert_eq!(second.list().unwrap(), ["c"]);
}
