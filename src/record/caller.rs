//! Who called, as telemetry may show it.
//!
//! A caller is known only from a verified identity. What a token says goes no further than the audit;
//! here stand a pseudonym (or the user itself, where the operator wants it so) and the tenant. Both are
//! made by who verified them and by nobody else: `tests/floors/redaction.rs` reads the sources for it.
//!
//! It verifies nothing.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::Pseudonym;

/// Who called. Empty where there is no verified identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub user: Option<User>,
    /// The tenant.
    pub tenant: Option<Shown>,
}

/// A user, in the one form that the configuration lets leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// `user.hash`: 128 bits of a keyed hash. It tells two users apart and names neither.
    Hash(Pseudonym),
    /// `user.id`: the user itself, where `identity.telemetry_user` is `raw`.
    Raw(Shown),
}

/// A text of a verified identity that the configuration lets leave: no control characters, and no more
/// than 128 bytes. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shown(Arc<str>);

/// Bytes of a text that is shown.
const MOST: usize = 128;

impl User {
    /// Calls `use_it` with the text that logs and spans show.
    pub fn with_str<T>(&self, use_it: impl FnOnce(&str) -> T) -> T {
        match self {
            Self::Hash(pseudonym) => pseudonym.with_str(use_it),
            Self::Raw(text) => use_it(text),
        }
    }
}

impl Shown {
    /// Makes a verified text fit to be shown.
    pub fn verified(text: &str) -> Self {
        let mut shown = String::with_capacity(text.len().min(MOST));
        for letter in text.chars() {
            let letter = if letter.is_control() { '?' } else { letter };
            if shown.len() + letter.len_utf8() > MOST {
                break;
            }
            shown.push(letter);
        }
        Self(shown.into())
    }
}

impl From<&'static str> for Shown {
    /// One that stands in the program itself.
    fn from(text: &'static str) -> Self {
        Self::verified(text)
    }
}

impl Deref for Shown {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_has_no_control_characters_and_an_end() {
        assert_eq!(&*Shown::verified("acme"), "acme");
        assert_eq!(&*Shown::verified("a\n\u{1b}[2J\u{9b}b"), "a??[2J?b");
        assert_eq!(Shown::verified(&"ä".repeat(999)).len(), MOST);
        assert_eq!(Shown::verified(&format!("x{}", "ä".repeat(999))).len(), MOST - 1);
    }
}
