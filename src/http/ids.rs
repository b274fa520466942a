//! Request ids: ours (UUIDv7, RFC 9562) and the one a client may propose.
//!
//! One that is proposed is short and plain, or it is none, so it can forge nothing. Whether it is believed
//! is decided in `proxy::request_id`.

use std::fmt;
use std::time::SystemTime;

use uuid::{Builder, Uuid};

/// The id of one exchange: a UUIDv7, or the id that a trusted proxy assigned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RequestId {
    /// Made here; ordered by time.
    Ours(Uuid),
    /// Assigned by a trusted proxy in front of us.
    Inherited(ClientRequestId),
}

impl RequestId {
    /// Makes an id for what begins now.
    pub fn generate() -> Self {
        Self::at(SystemTime::now())
    }

    /// Makes an id for what began at this time. Ids are ordered by time as finely as 12 bits divide
    /// a millisecond (RFC 9562 §6.2, method 3); the other 62 bits are random.
    pub fn at(time: SystemTime) -> Self {
        let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let nanos = since_epoch.subsec_nanos();
        let millis = since_epoch.as_secs() * 1000 + u64::from(nanos / 1_000_000);
        let fraction = u64::from(nanos % 1_000_000) * 4096 / 1_000_000;
        let mut random = [0; 10];
        random[..2].copy_from_slice(&fraction.to_be_bytes()[6..]);
        random[2..].copy_from_slice(&fastrand::u64(..).to_be_bytes());
        Self::Ours(Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
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

    /// Whether it has a form that machines make, and people have no name or number in: a UUID, a
    /// ULID, or 32 hexadecimal digits. All of them have a letter somewhere, or they may be a number
    /// that means somebody.
    pub fn is_machine_made(&self) -> bool {
        let id = self.0.as_bytes();
        let is_form = match id.len() {
            36 => id.iter().enumerate().all(|(index, byte)| match index {
                8 | 13 | 18 | 23 => *byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            }),
            32 => id.iter().all(u8::is_ascii_hexdigit),
            // Crockford's digits; the first one of 48 bits of time is at most 7.
            26 => {
                let is_digit = |b: &u8| b.is_ascii_alphanumeric() && !b"ILOUilou".contains(b);
                matches!(id.first(), Some(b'0'..=b'7')) && id.iter().all(is_digit)
            }
            _ => false,
        };
        is_form && id.iter().any(u8::is_ascii_alphabetic) && id.iter().any(u8::is_ascii_digit)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn our_ids_are_version_7_and_ordered() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_790_000_000_123_456_789);
        let [first, second, third] = [0, 300, 1_000_000]
            .map(|later| RequestId::at(time + Duration::from_nanos(later)).to_string());
        assert!(first < second && second < third, "{first} {second} {third}");
        let id = Uuid::parse_str(&first).unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos), (1_790_000_000, 123_000_000));
    }

    #[test]
    fn our_ids_differ_though_they_are_made_at_once() {
        let now = SystemTime::now();
        let ids: HashSet<_> = (0..10_000).map(|_| RequestId::at(now)).collect();
        assert_eq!(ids.len(), 10_000);
    }

    #[test]
    fn only_the_forms_of_machines_are_taken_for_theirs() {
        let is_made = |id: &str| ClientRequestId::parse(id.as_bytes()).unwrap().is_machine_made();
        for made in [
            "0192f3a4-5b6c-7d8e-9fa0-b1c2d3e4f506",
            "0192F3A4-5B6C-7D8E-9FA0-B1C2D3E4F506",
            "0af7651916cd43dd8448eb211c80319c",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        ] {
            assert!(is_made(made), "{made}");
        }
        for other in [
            "req-17",
            "john.smith",
            "4711",
            "12345678901234567890123456789012",
            "12345678-1234-1234-1234-123456789012",
            "deadbeefdeadbeefdeadbeefdeadbeef",
            "0192f3a4-5b6c-7d8e-9fa0-b1c2d3e4f50g",
            "0192f3a45-b6c-7d8e-9fa0-b1c2d3e4f506",
            "81ARZ3NDEKTSV4RRFFQ69G5FAV",
            "MillerJohannaPatient123456",
            "",
        ] {
            assert!(
                ClientRequestId::parse(other.as_bytes()).is_none_or(|id| !id.is_machine_made()),
                "{other}"
            );
        }
    }

    #[test]
    fn ids_from_outside_cannot_carry_anything_but_letters_digits_and_three_marks() {
        assert!(ClientRequestId::parse(b"req-1_A.b").is_some());
        for bad in [&b""[..], b"a b", b"a\"b", b"a\nb", "ä".as_bytes(), &[b'a'; 129]] {
            assert_eq!(ClientRequestId::parse(bad), None, "{bad:?}");
        }
    }
}
