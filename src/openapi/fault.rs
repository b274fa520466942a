//! What is wrong with a document, and where.

use std::fmt;

/// Faults told of one document; more would only scroll away.
const MAX_FAULTS: usize = 10;

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A JSON pointer (RFC 6901) to what is wrong; empty for the document as a whole.
    pub pointer: String,
    /// The line, counted from one, where it is known.
    pub line: Option<usize>,
    /// What is wrong with it.
    pub what: String,
}

impl Fault {
    /// Something wrong at a pointer. Its line is found later.
    pub(super) fn at(pointer: impl Into<String>, what: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), line: None, what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.pointer.is_empty() {
            write!(f, " (at {})", self.pointer)?;
        }
        Ok(())
    }
}

/// What was found on the way through a document.
#[derive(Debug, Default)]
pub(super) struct Findings {
    faults: Vec<Fault>,
    /// What is right, but not checked here.
    pub(super) notices: Vec<String>,
}

impl Findings {
    /// Notes what is wrong, and gives nothing in its place.
    pub(super) fn refuse<T>(&mut self, fault: Fault) -> Option<T> {
        if self.faults.len() < MAX_FAULTS && !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
        None
    }

    /// Takes a result, and notes its fault.
    pub(super) fn keep<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.refuse::<T>(fault)).ok()
    }

    /// All that is wrong.
    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }
}

/// A JSON pointer with one more token, escaped (RFC 6901 §3).
pub(super) fn below(pointer: &str, token: &str) -> String {
    format!("{pointer}/{}", token.replace('~', "~0").replace('/', "~1"))
}
