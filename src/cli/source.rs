//! Where a configuration comes from: the file, the process's environment, the flags.
//!
//! Reads; judges nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use thiserror::Error;

use crate::config::{SourceFile, Sources};

/// The configuration file could not be read.
#[derive(Debug, Error)]
#[error("the configuration file `{path}` cannot be read: {error}")]
pub struct Unreadable {
    path: String,
    error: io::Error,
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
    match fs::read(path).and_then(text) {
        // An editor's byte order mark is no part of the text.
        Ok(text) => Ok(SourceFile {
            path: shown,
            text: text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text),
        }),
        Err(error) => Err(Unreadable { path: shown, error }),
    }
}

/// The text, or where it stops being one.
fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..at];
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
        let words = format!("it is not UTF-8 at line {line}, column {column}");
        io::Error::new(io::ErrorKind::InvalidData, words)
    })
}
