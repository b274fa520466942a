//! Directories in which something of ours is kept: that there is no file where one should be.
//!
//! It looks, and makes nothing. One that is missing is made when it is opened, and only then it shows
//! whether it can be written.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::config::model::Config;
use crate::config::section::Section;

/// Refuses each directory that is going to be used and is a file, or lies below one.
pub(super) fn check(root: &Section<'_>, config: &Config) {
    // Without an audited route the audit's directory is never opened.
    let is_audited = config.routes.iter().any(|route| route.audit.is_some());
    let used = [
        ("log", config.log.directory.as_deref()),
        ("spool", config.spool.directory.as_deref()),
        ("audit", is_audited.then_some(config.audit.directory.as_path())),
    ];
    for (table, directory) in used {
        let Some(file) = directory.and_then(file_at) else { continue };
        let section = root.section(table);
        let found = format!("`{}` is a file", file.display());
        let help = if section.has("directory") {
            "name a directory; one that is missing is made".to_owned()
        } else {
            // There is no line to point at.
            format!("{found}; name another directory")
        };
        section.refuse("directory", "is not a directory", found, Some(&help));
    }
}

/// What stands in the way of a directory of this name: the nearest part of it that exists, unless that is a
/// directory, which can hold the rest. `None` also where nobody here can tell.
fn file_at(path: &Path) -> Option<&Path> {
    for part in path.ancestors().filter(|part| !part.as_os_str().is_empty()) {
        match fs::metadata(part) {
            Ok(found) => return (!found.is_dir()).then_some(part),
            Err(error) if is_absent(error.kind()) => {}
            // Whoever checks may see less than whoever runs.
            Err(_) => return None,
        }
    }
    None
}

/// Whether it may be a part further up that decides.
fn is_absent(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}
