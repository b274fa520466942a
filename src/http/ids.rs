//! Request ids: ours (UUIDv7, RFC 9562) and the one a client may propose.

use std::fmt;

use uuid::Uuid;

/// The id of one exchange: a UUIDv7, or the id that a trusted proxy assigned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RequestId {
    /// Made here; ordered by time.
    Ours(Uuid),
    /// Assigned by a trusted proxy in front of us.
    Inherited(ClientRequestId),
}

impl RequestId {
    /// Makes a new id.
    pub fn generate() -> Self {
        Self::Ours(Uuid::now_v7())
    }

    /// Calls `use_it` with the id as text, without allocating.
    pub fn with_str<T>(&self, use_it: impl FnOnce(&str) -> T) -> T {
        match self {
            Self::Ours(id) => use_it(id.hyphenated().encode_lower(&mut Uuid::encode_buffer())),
            Self::Inherited(id) => use_it(id.as_str()),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_str(|id| f.write_str(id))
    }
}

/// An id that came from outside: 1 to 128 characters of `[A-Za-z0-9._-]`, so it can forge nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientRequestId(Box<str>);

impl ClientRequestId {
    /// Takes the id if it is well formed.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if value.is_empty() || value.len() > 128 || !value.iter().all(allowed) {
            return None;
        }
        std::str::from_utf8(value).ok().map(|id| Self(id.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_ids_are_version_7_and_ordered() {
        let (first, second) =
            (RequestId::generate().to_string(), RequestId::generate().to_string());
        assert_eq!(first.as_bytes()[14], b'7');
        assert!(first < second, "{first} is not before {second}");
    }

    #[test]
    fn ids_from_outside_cannot_carry_anything_but_letters_digits_and_three_marks() {
        assert!(ClientRequestId::parse(b"req-1_A.b").is_some());
        for bad in [&b""[..], b"a b", b"a\"b", b"a\nb", "ä".as_bytes(), &[b'a'; 129]] {
            assert_eq!(ClientRequestId::parse(bad), None, "{bad:?}");
        }
    }
}
