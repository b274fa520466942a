//! A text that may not leave, as a name that may: equal texts have equal names, and nobody without the
//! key gets from the name to the text, or can try texts until one fits.
//!
//! A pseudonym is the first half of HMAC-SHA-256 (RFC 2104; the truncation is §5's) under a key that
//! one process makes, or that several share by a file. What a text means is not part of it: a user's id
//! and a captured text that happens to be the same are seen to be the same.
//!
//! It keeps no text, and does not say whose key it is.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::{hmac, rand};

/// 128 bits that stand for a text. Shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pseudonym([u8; 16]);

/// The key of pseudonyms. `Debug` does not show it; clones share it.
#[derive(Clone)]
pub struct PseudonymKey(Arc<hmac::Key>);

impl PseudonymKey {
    /// A new key, which nobody else has: its pseudonyms mean nothing after the process.
    ///
    /// # Panics
    /// Where the operating system gives no random bytes.
    #[expect(clippy::expect_used, reason = "without randomness the key would hide nothing")]
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).expect("the operating system gives random bytes");
        Self::from_bytes(&bytes)
    }

    /// The key that these bytes are, as a file has them. 32 random bytes are as good as any more.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    /// The pseudonym of a text. Costs two or three blocks of SHA-256, and allocates nothing.
    pub fn pseudonym(&self, text: &[u8]) -> Pseudonym {
        let tag = hmac::sign(&self.0, text);
        let mut half = [0; 16];
        // Of 32 bytes there are always 16.
        half.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        Pseudonym(half)
    }
}

impl Pseudonym {
    /// Calls `use_it` with the digits, without allocating.
    pub fn with_str<T>(&self, use_it: impl FnOnce(&str) -> T) -> T {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'0'; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        use_it(std::str::from_utf8(&text).unwrap_or_default())
    }

    /// The bits, for who hashes or compares them.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_str(|digits| f.write_str(digits))
    }
}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Keys are equal where their pseudonyms are.
impl PartialEq for PseudonymKey {
    fn eq(&self, other: &Self) -> bool {
        self.pseudonym(b"") == other.pseudonym(b"")
    }
}

impl Eq for PseudonymKey {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_is_half_of_the_hmac_in_hexadecimal() {
        // RFC 4231 §4.3, test case 2.
        let key = PseudonymKey::from_bytes(b"Jefe");
        let pseudonym = key.pseudonym(b"what do ya want for nothing?");
        assert_eq!(pseudonym.to_string(), "5bdcc146bf60754e6a042426089575c7");
        assert_eq!(format!("{pseudonym:?}"), pseudonym.to_string());
    }

    #[test]
    fn equal_texts_are_equal_under_one_key_and_unrelated_under_two() {
        let (one, other) = (PseudonymKey::random(), PseudonymKey::random());
        assert_eq!(one.pseudonym(b"ann"), one.clone().pseudonym(b"ann"));
        assert_ne!(one.pseudonym(b"ann"), one.pseudonym(b"Ann"));
        assert_ne!(one.pseudonym(b"ann"), other.pseudonym(b"ann"));
        assert_eq!(one, one.clone());
        assert_ne!(one, other);
    }

    #[test]
    fn a_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", PseudonymKey::from_bytes(b"hunter2")), "[secret]");
    }
}
