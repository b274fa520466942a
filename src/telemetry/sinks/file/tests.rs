//! What rotates, what is cut, and what is left after any accident.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use parking_lot::Mutex;

use super::compressor::{compress, compress_each};
use super::fake::FakeDisk;
use super::*;

mod accidents;
mod real;

const NAME: &str = "app.log";

/// A log on a disk, and its shelf.
fn log(disk: &FakeDisk, max_size: u64, keep: u32) -> (Lines, Arc<Shelf>) {
    let shelf = Arc::new(Shelf::new(Arc::new(disk.clone()), NAME, keep));
    let files = LogFiles { max_size: Some(max_size), max_files: keep + 1, compress: true };
    tidy(&shelf, &files);
    let mut lines =
        Lines::at(Home::new(Arc::clone(&shelf), "logs/combined.log".into(), &files, None));
    // It may die here.
    drop(lines.open());
    (lines, shelf)
}

/// Writes each of these as a line, all at once, and says how many arrived.
fn write(lines: &mut Lines, texts: &[&str]) -> usize {
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for text in texts {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'\n');
        ends.push(bytes.len());
    }
    lines.write(&bytes, &ends)
}

fn is_compressed(name: &str) -> bool {
    name.rsplit('.').next() == Some("gz")
}

fn text(name: &str, content: &[u8]) -> String {
    let mut text = String::new();
    if is_compressed(name) {
        GzDecoder::new(content).read_to_string(&mut text).unwrap();
    } else {
        text.push_str(str::from_utf8(content).unwrap());
    }
    text
}

/// What is on the disk: `NAME: content` of each file, uncompressed.
fn shown(disk: &FakeDisk) -> Vec<String> {
    let files = disk.files();
    files.iter().map(|(name, content)| format!("{name}: {:?}", text(name, content))).collect()
}

/// A stream with so much room.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<(Vec<u8>, usize)>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (content, room) = &mut *self.0.lock();
        let count = bytes.len().min(*room);
        if count == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        *room -= count;
        content.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stream_that_fails_takes_whole_lines_and_a_torn_one_is_ended_later() {
    let pipe = Pipe::default();
    let mut lines = Lines::stream(Box::new(pipe.clone()));
    pipe.0.lock().1 = 6;
    assert_eq!(write(&mut lines, &["one", "two", "three"]), 1);
    assert_eq!(write(&mut lines, &["lost"]), 0);
    pipe.0.lock().1 = 100;
    assert_eq!(write(&mut lines, &["four"]), 1);
    assert_eq!(pipe.0.lock().0, b"one\ntw\nfour\n");
}

#[test]
fn a_full_disk_keeps_whole_lines_and_is_written_again_when_there_is_room() {
    let disk = FakeDisk::default();
    let (mut lines, _) = log(&disk, 1000, 3);
    disk.set_room(Some(6));
    assert_eq!(write(&mut lines, &["one", "two", "three"]), 1);
    assert_eq!(shown(&disk), ["app.log: \"one\\n\""]);
    assert_eq!(write(&mut lines, &["lost"]), 0);
    disk.set_room(None);
    assert_eq!(write(&mut lines, &["four"]), 1);
    assert_eq!(shown(&disk), ["app.log: \"one\\nfour\\n\""]);
}

#[test]
fn nothing_is_written_behind_a_torn_line_that_cannot_be_taken_back() {
    let disk = FakeDisk::default();
    let (mut lines, _) = log(&disk, 1000, 3);
    disk.set_uncuttable(true);
    disk.set_room(Some(2));
    assert_eq!(write(&mut lines, &["one"]), 0);
    disk.set_room(None);
    assert_eq!(write(&mut lines, &["two"]), 0, "it would run into the first");
    disk.set_uncuttable(false);
    assert_eq!(write(&mut lines, &["three"]), 1);
    assert_eq!(shown(&disk), ["app.log: \"three\\n\""]);
}

#[test]
fn files_rotate_between_lines_and_the_oldest_goes() {
    let disk = FakeDisk::default();
    let (mut lines, shelf) = log(&disk, 8, 2);
    assert_eq!(write(&mut lines, &["one", "two", "three"]), 3);
    assert_eq!(shown(&disk), ["app.log: \"three\\n\"", "app.log.1: \"one\\ntwo\\n\""]);
    compress_each(&shelf, |_| true).unwrap();
    let long = "a line that is longer than a file may be";
    assert_eq!(write(&mut lines, &["4", long, "five"]), 3);
    assert_eq!(
        shown(&disk),
        [
            "app.log: \"five\\n\"".to_owned(),
            format!("app.log.1: \"{long}\\n\""),
            "app.log.2: \"three\\n4\\n\"".to_owned(),
        ]
    );
    compress_each(&shelf, |_| true).unwrap();
    let names: Vec<_> = disk.files().into_keys().collect();
    assert_eq!(names, ["app.log", "app.log.1.gz", "app.log.2.gz"]);
}

#[test]
fn a_single_file_begins_anew_when_it_is_full() {
    let disk = FakeDisk::default();
    let (mut lines, _) = log(&disk, 8, 0);
    assert_eq!(write(&mut lines, &["one", "two", "three"]), 3);
    assert_eq!(shown(&disk), ["app.log: \"three\\n\""]);
}

#[test]
fn a_compressed_file_takes_the_place_that_the_other_has_by_then() {
    for (keep, expected) in [
        (3, vec!["app.log: \"3\\n\"", "app.log.1: \"two\\n\"", "app.log.2.gz: \"one\\n\""]),
        (1, vec!["app.log: \"3\\n\"", "app.log.1: \"two\\n\""]),
    ] {
        let disk = FakeDisk::default();
        let (mut lines, shelf) = log(&disk, 4, keep);
        write(&mut lines, &["one", "two"]);
        let (one, name) = shelf.oldest_plain(&[]).unwrap().unwrap();
        let mut content = shelf.read(one, &name).unwrap().unwrap();
        write(&mut lines, &["3"]);
        let length = compress(&shelf, &mut content).unwrap();
        shelf.publish(one, length).unwrap();
        assert_eq!(shown(&disk), expected, "{keep} are kept");
    }
}

#[test]
fn what_somebody_else_has_moved_or_cut_is_left_alone() {
    let disk = FakeDisk::default();
    let (mut lines, _) = log(&disk, 8, 3);
    write(&mut lines, &["one", "two"]);
    disk.carry_off(NAME, "moved");
    disk.meddle(NAME, Some(b"not ours\n"));
    write(&mut lines, &["three"]);
    assert_eq!(shown(&disk), ["app.log: \"not ours\\nthree\\n\"", "moved: \"one\\ntwo\\n\""]);
    disk.carry_off(NAME, "moved.2");
    write(&mut lines, &["four"]);
    assert_eq!(shown(&disk)[0], "app.log: \"four\\n\"");
}

#[test]
fn the_file_that_is_written_to_is_no_old_one_whatever_its_name() {
    for (number, keep) in [(1, 3), (3, 3), (9, 3)] {
        let disk = FakeDisk::default();
        let (mut lines, shelf) = log(&disk, 8, keep);
        write(&mut lines, &["one"]);
        let moved = format!("app.log.{number}");
        disk.carry_off(NAME, &moved);
        compress_each(&shelf, |_| true).unwrap();
        write(&mut lines, &["two"]);
        compress_each(&shelf, |_| true).unwrap();
        assert_eq!(shown(&disk), [format!("{moved}: \"one\\ntwo\\n\"")]);
        write(&mut lines, &["three"]);
        compress_each(&shelf, |_| true).unwrap();
        let old =
            if number > keep { vec![] } else { vec![format!("{moved}.gz: \"one\\ntwo\\n\"")] };
        assert_eq!(shown(&disk), [vec!["app.log: \"three\\n\"".to_owned()], old].concat());
    }
}

#[test]
fn an_old_file_that_somebody_writes_to_while_it_is_compressed_stays() {
    let disk = FakeDisk::default();
    let (mut lines, shelf) = log(&disk, 4, 3);
    write(&mut lines, &["one", "two"]);
    let (one, name) = shelf.oldest_plain(&[]).unwrap().unwrap();
    let mut content = shelf.read(one, &name).unwrap().unwrap();
    let mut stranger = disk.open(&name).unwrap();
    assert_eq!(stranger.write(b"more\n").unwrap(), 5);
    let length = compress(&shelf, &mut content).unwrap();
    shelf.publish(one, length).unwrap();
    assert_eq!(shown(&disk), ["app.log: \"two\\n\"", "app.log.1: \"one\\nmore\\n\""]);
    compress_each(&shelf, |_| true).unwrap();
    assert_eq!(shown(&disk), ["app.log: \"two\\n\"", "app.log.1.gz: \"one\\nmore\\n\""]);
}

#[test]
fn a_log_that_cannot_be_rotated_grows_until_it_can() {
    let disk = FakeDisk::default();
    let (mut lines, _) = log(&disk, 4, 3);
    disk.set_locked(true);
    assert_eq!(write(&mut lines, &["one", "two", "3"]), 3);
    assert_eq!(shown(&disk), ["app.log: \"one\\ntwo\\n3\\n\""]);
    disk.set_locked(false);
    assert_eq!(write(&mut lines, &["4"]), 1);
    assert_eq!(shown(&disk), ["app.log: \"4\\n\"", "app.log.1: \"one\\ntwo\\n3\\n\""]);
}

#[test]
fn an_old_file_that_cannot_be_compressed_stays_and_is_tried_again() {
    let disk = FakeDisk::default();
    let (mut lines, shelf) = log(&disk, 4, 3);
    write(&mut lines, &["one", "two"]);
    disk.set_room(Some(5));
    assert!(compress_each(&shelf, |_| true).is_err());
    assert_eq!(shown(&disk), ["app.log: \"two\\n\"", "app.log.1: \"one\\n\""]);
    disk.set_room(None);
    compress_each(&shelf, |_| true).unwrap();
    assert_eq!(shown(&disk), ["app.log: \"two\\n\"", "app.log.1.gz: \"one\\n\""]);
}

#[test]
fn a_reopened_log_goes_on_in_a_new_file() {
    let disk = FakeDisk::default();
    let (mut lines, _) = log(&disk, 100, 3);
    write(&mut lines, &["one"]);
    disk.carry_off(NAME, "moved");
    write(&mut lines, &["two"]);
    lines.reopen();
    assert_eq!(shown(&disk), ["app.log: \"\"", "moved: \"one\\ntwo\\n\""]);
    write(&mut lines, &["three"]);
    lines.reopen();
    write(&mut lines, &["four"]);
    assert_eq!(shown(&disk)[0], "app.log: \"three\\nfour\\n\"");
}

#[test]
fn a_start_puts_in_order_what_a_crash_or_another_configuration_left() {
    let disk = FakeDisk::default();
    for (name, content) in [
        (NAME, &b"whole\n{\"half"[..]),
        ("app.log.1", b"one\n"),
        ("app.log.1.gz", b"half a gzip"),
        ("app.log.gz.tmp", b"half a gzip"),
        ("app.log.3.gz", b"too old"),
        ("app.log.4", b"too old"),
        ("app.log.07", b"not ours"),
        ("app.log.bak", b"not ours"),
        ("app.log-1.gz", b"not ours"),
    ] {
        disk.meddle(name, Some(content));
    }
    let (mut lines, shelf) = log(&disk, 100, 2);
    write(&mut lines, &["more"]);
    compress_each(&shelf, |_| true).unwrap();
    let names: Vec<_> = disk.files().into_keys().collect();
    assert_eq!(names, ["app.log", "app.log-1.gz", "app.log.07", "app.log.1.gz", "app.log.bak"]);
    assert_eq!(disk.files()[NAME], b"whole\nmore\n");
    assert_eq!(text("app.log.1.gz", &disk.files()["app.log.1.gz"]), "one\n");
}
