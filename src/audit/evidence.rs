//! What only the audit may hold of a request: text that a client chose, or who it is.
//!
//! It promises that such a text is written to the audit trail and nowhere else: outside of this
//! module nobody can read it back, and it prints as nothing.
//!
//! It does not escape anything; whoever writes a line does.

use std::fmt;
use std::sync::Arc;

/// A text for the audit trail alone: a canonical path, a part of it, a verified user or tenant. Clones
/// share it.
#[derive(Clone, PartialEq, Eq)]
pub struct Evidence(Arc<str>);

impl Evidence {
    /// Takes a text in.
    pub fn of(text: &str) -> Self {
        Self(text.into())
    }

    /// The text, for the line it is written to.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Evidence(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_does_not_print() {
        assert_eq!(format!("{:?}", Some(Evidence::of("/patients/4711"))), "Some(Evidence(…))");
    }
}
