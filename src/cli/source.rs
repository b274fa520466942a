//! Where a configuration comes from: the file, the process's environment, the flags.
//!
//! Reads; judges nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::string::FromUtf8Error;

use thiserror::Error;

use crate::config::{SourceFile, Sources};

/// Bytes of a configuration at most.
const MOST: u64 = 1 << 20;

/// The configuration file could not be read.
#[derive(Debug, Error)]
#[error("the configuration file `{path}` cannot be read: {why}")]
pub struct Unreadable {
    path: String,
    why: Reason,
}

#[derive(Debug, Error)]
enum Reason {
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A reload reads it again, which most of these cannot give twice; some never end.
    #[error("it is {0}, and must be a regular file")]
    NoFile(&'static str),
    #[error("it has more than 1 MiB")]
    TooLarge,
}

/// Gathers everything a configuration is made from. Without a path there is no file.
pub fn gather(
    path: Option<&Path>,
    env: BTreeMap<String, String>,
    flags: Vec<(String, String)>,
) -> Result<Sources, Unreadable> {
    let file = path.map(read).transpose()?;
    Ok(Sources { file, env, flags })
}

/// Keeps the variables that are text; no setting of ours can be anything else.
pub fn environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> BTreeMap<String, String> {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    variables.filter_map(text).collect()
}

fn read(path: &Path) -> Result<SourceFile, Unreadable> {
    let shown = path.display().to_string();
    match text(path) {
        // An editor's byte order mark is no part of the text.
        Ok(text) => Ok(SourceFile {
            path: shown,
            text: text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text),
        }),
        Err(why) => Err(Unreadable { path: shown, why }),
    }
}

fn text(path: &Path) -> Result<String, Reason> {
    // Asked before it is opened: that alone would wait for whoever writes to a pipe.
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return Err(Reason::NoFile(kind(found.file_type())));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(Reason::TooLarge);
    }
    String::from_utf8(bytes).map_err(|error| no_text(&error).into())
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
