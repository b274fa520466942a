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

/// 128 bits that stand for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pseudonym([u8; 16]);

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

impl Pseudonym {
    /// The beginning of a keyed hash.
    pub fn of_tag(tag: &[u8; 32]) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&tag[..16]);
        Self(bytes)
    }

    /// Calls `use_it` with its 32 hexadecimal digits.
    pub fn with_str<T>(self, use_it: impl FnOnce(&str) -> T) -> T {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (at, byte) in self.0.iter().enumerate() {
            text[2 * at] = DIGITS[usize::from(byte >> 4)];
            text[2 * at + 1] = DIGITS[usize::from(byte & 15)];
        }
        // Only digits are in it.
        use_it(std::str::from_utf8(&text).unwrap_or_default())
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

    #[test]
    fn a_pseudonym_is_32_digits() {
        let mut tag = [0; 32];
        (tag[0], tag[15], tag[16]) = (0x0f, 0xa0, 0xff);
        let text = User::Hash(Pseudonym::of_tag(&tag)).with_str(str::to_owned);
        assert_eq!(text, "0f0000000000000000000000000000a0");
    }
}
