//! What an operator may call things: names that are written into headers, labels and attributes.
//!
//! They leave on every signal, so they are short, and nothing in them steers whoever reads it. Whether a name is taken, or is there at all, is
//! judged by the table that it stands in.

use std::sync::Arc;

use http::HeaderName;

use crate::config::error::Problem;
use crate::config::section::{Section, Word};

/// A name that is written into a header or a label.
pub(super) fn check_name(section: &Section<'_>, name: &Word, of: &str) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.text.is_empty() || name.text.len() > 64 || !name.text.bytes().all(plain) {
        let problem = Problem::at(&name.origin, format!("this name cannot name {of}"));
        let label = "expected 1 to 64 letters, digits, `.`, `_` or `-`";
        section.problems.push(problem.label(label));
    }
}

/// Text that becomes an attribute on every signal.
pub(super) fn label(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
        return Err("expected 1 to 255 bytes without control characters");
    }
    Ok(text.to_owned())
}

/// Reads a header's name into lower case.
pub(super) fn header_name(text: &str) -> Result<Arc<str>, &'static str> {
    match HeaderName::from_bytes(text.as_bytes()) {
        Ok(name) => Ok(name.as_str().into()),
        Err(_) => Err("expected letters, digits and `-`, as in \"x-request-id\""),
    }
}

/// The environment that has settings of its own, of which this may be another spelling.
pub(super) fn abbreviated(environment: &str) -> Option<&'static str> {
    let whole = match environment.to_ascii_lowercase().as_str() {
        "prod" | "prd" | "production" => "production",
        "dev" | "development" => "development",
        _ => return None,
    };
    (environment != whole).then_some(whole)
}
