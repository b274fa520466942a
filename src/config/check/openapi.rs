//! `[openapi]`: the API's own document, read and checked whole.

use std::sync::Arc;

use super::files;
use crate::config::Notice;
use crate::config::env::Outside;
use crate::config::error::Problem;
use crate::config::section::Section;
use crate::openapi::Document;

/// The document, if one is named. What it asks for and nobody checks becomes notices.
pub(super) fn openapi(section: &Section<'_>, outside: &mut Outside) -> Option<Arc<Document>> {
    let path = section.optional("file")?;
    let bytes = files::content(section, "file", path)?;
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
