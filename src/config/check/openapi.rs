//! `[openapi]`: the API's own document, read and checked whole.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use crate::config::Notice;
use crate::config::env::Outside;
use crate::config::error::Problem;
use crate::config::section::Section;
use crate::openapi::{Document, MAX_FILE};

/// The document, if one is named. What it asks for and nobody checks becomes notices.
pub(super) fn openapi(section: &Section<'_>, outside: &mut Outside) -> Option<Arc<Document>> {
    let path = section.optional("file")?;
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let label = format!("reading `{path}`: {error}");
            section.refuse("file", "cannot be read", label, None);
            return None;
        }
    };
    match Document::read(&bytes) {
        Ok(document) => {
            let notice = |text: &String| Notice(format!("`{path}`: {text}."));
            outside.notices.extend(document.notices().iter().map(notice));
            Some(Arc::new(document))
        }
        Err(mut faults) => {
            faults.sort_by_key(|fault| fault.line);
            for fault in faults {
                let line = fault.line.map_or_else(String::new, |line| format!(":{line}"));
                let title = format!("`{path}{line}`: {fault}");
                let problem = Problem::at(&section.origin_of("file"), title);
                section.problems.push(problem.label("this document cannot be used"));
            }
            None
        }
    }
}

/// One byte more than a document may have tells that it has too many.
fn read(path: &str) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
