//! Facts that a route may take from a request or its answer, by name.
//!
//! A [`Fact`] is a member of a configured list, a length, a count, a pseudonym or nothing: free text has
//! no way in.

use super::{ConfigName, Pseudonym};

/// A captured fact: its configured name and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The name in `[captures."…"]`, e.g. `orchestration.mode`.
    pub name: ConfigName,
    /// What was found there.
    pub value: Value,
}

/// The value of a captured fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A member of the configured `values`, or `_other`.
    Member(ConfigName),
    /// A length in UTF-16 code units, as JavaScript counts.
    Length(u64),
    /// A whole number that is not negative: a count, as of tokens.
    Number(u64),
    /// What stands for a text: equal for equal texts, under the key of this process or of a file.
    Pseudonym(Pseudonym),
}

impl Value {
    /// The label of a value that is not in the configured list.
    pub const OTHER: &'static str = "_other";
    /// The largest number there is stands for those that are too large to be known to the unit. It costs
    /// whatever is left, and is told to nobody.
    pub const VAST: Self = Self::Number(u64::MAX);
}

impl Fact {
    /// Whether it may stand in a record: a fact is right or absent.
    pub fn is_exact(&self) -> bool {
        self.value != Value::VAST
    }
}
