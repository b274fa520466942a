//! What errors are called: `[errors]`.

use regex::bytes::Regex;

use crate::record::ConfigName;

/// One of `[[errors.classify]]`: a name for errors that the upstream answers with.
#[derive(Clone, Debug)]
pub struct ErrorClass {
    /// The `error.type` of such an answer.
    pub name: ConfigName,
    /// Statuses that it may have, of 500 to 599; `None` of any of them.
    pub statuses: Option<Vec<u16>>,
    /// What the beginning of its body holds; matched in time linear in what is searched.
    pub body: Option<Regex>,
    /// Whether nothing but the upstream itself names it, by `x-error-type`.
    pub is_named_only: bool,
}

impl ErrorClass {
    /// How much of a body is searched, in bytes.
    pub const SEARCHED: usize = 4096;

    /// Whether an answer of this status may be of this class.
    pub fn may_have(&self, status: u16) -> bool {
        self.statuses.as_ref().is_none_or(|statuses| statuses.contains(&status))
    }
}
