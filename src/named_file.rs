//! The one way to read a file that a configuration names, and the configuration itself.
//!
//! It promises an end, whatever has the name: a pipe that nobody writes to and a device that never ends are
//! refused, and so is what is larger than any of these files needs to be. It judges no content, and it does
//! not guard against whoever exchanges the file between two looks at it.

use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::string::FromUtf8Error;

use thiserror::Error;

/// Bytes of a file at most.
const MOST: u64 = 1 << 20;

/// What has the name is not to be read.
#[derive(Debug, Error)]
enum NotRead {
    /// It is read again and again, which most of these cannot be; some never end.
    #[error("it is {0}, and must be a regular file")]
    NoFile(&'static str),
    #[error("it has more than 1 MiB")]
    TooLarge,
}

/// Reads a regular file of at most 1 MiB; a link to one is one. Blocks for as long as the disk does.
///
/// # Errors
/// Of the system, and of what is no such file. They name no content, and not the file either.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Asked before it is opened: that alone would wait for whoever writes to a pipe.
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::other(NotRead::NoFile(kind(found.file_type()))));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(io::Error::other(NotRead::TooLarge));
    }
    Ok(bytes)
}

/// The same of a text.
///
/// # Errors
/// Also where it is not UTF-8, with the place.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| no_text(&error))
}

fn kind(found: FileType) -> &'static str {
    if found.is_dir() {
        "a directory"
    } else if found.is_fifo() {
        "a pipe"
    } else if found.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// Where a text stops being one.
fn no_text(error: &FromUtf8Error) -> io::Error {
    let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
    let words = format!("it is not UTF-8 at line {line}, column {column}");
    io::Error::new(io::ErrorKind::InvalidData, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_mebibyte_is_read_and_one_byte_more_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut content = vec![b'x'; 1 << 20];
        fs::write(file.path(), &content).unwrap();
        assert_eq!(read(file.path()).unwrap().len(), 1 << 20);
        content.push(b'x');
        fs::write(file.path(), &content).unwrap();
        assert_eq!(read(file.path()).unwrap_err().to_string(), "it has more than 1 MiB");
    }

    #[test]
    fn a_text_says_where_it_stops_being_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"one\nt\xffo").unwrap();
        let said = read_text(file.path()).unwrap_err().to_string();
        assert_eq!(said, "it is not UTF-8 at line 2, column 2");
    }
}
