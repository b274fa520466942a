//! Where a configuration comes from: the file, the process's environment, the flags.
//!
//! Reads; judges nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use thiserror::Error;

use crate::config::{SourceFile, Sources};
use crate::named_file;

/// The configuration file could not be read.
#[derive(Debug, Error)]
#[error("the configuration file `{path}` cannot be read: {why}")]
pub struct Unreadable {
    path: String,
    why: io::Error,
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
    match named_file::read_text(path) {
        // An editor's byte order mark is no part of the text.
        Ok(text) => Ok(SourceFile {
            path: shown,
            text: text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text),
        }),
        Err(why) => Err(Unreadable { path: shown, why }),
    }
}
