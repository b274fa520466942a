//! The stack of a panic, as a record may carry it.
//!
//! It is made by who reads the frames, from names and places of the program's own source:
//! `tests/floors/redaction.rs` reads the sources for it. It takes no stack itself.

use std::ops::Deref;

/// The frames of a panic, one a line, innermost first: functions of the sidecar's own and where they stand
/// in its source. No argument and no value is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack(Box<str>);

impl Stack {
    /// Of frames that are fit to be shown.
    pub fn caught(frames: &str) -> Self {
        Self(frames.into())
    }
}

impl Deref for Stack {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}
