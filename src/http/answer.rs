//! Whether an answer's head says one thing only: its status, its length, its transfer coding.
//!
//! A head that two readers could frame differently is the upstream's half of request smuggling, so it
//! is malformed as a whole, whatever a parser could make of it. [`judge`] looks at the fields;
//! [`scan`] at the lines, before they are parsed; [`head`] puts both together for HTTP/1. All is pure and
//! costs a pass over what is there.
//!
//! Bodies are decoded ([`chunks`]) and framed anew for the client, so what is only odd about theirs does
//! not travel.

use std::fmt;

use http::{HeaderMap, HeaderName, StatusCode, Version, header};

pub mod chunks;
pub mod head;
pub mod scan;

/// What is wrong with an answer. The words are for our own diagnostics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A status of 600 or more (RFC 9110 §15: a status is 100 to 599).
    Status,
    /// More than one length, or one that is no number (RFC 9110 §8.6).
    Length,
    /// A length beside a transfer coding (RFC 9112 §6.3): two ways to find the end.
    LengthAndCoding,
    /// A transfer coding that is not `chunked` alone, or one of another version than HTTP/1.1
    /// (RFC 9112 §6.1, RFC 9113 §8.2.2).
    Coding,
    /// A 204 or an interim answer that announces a body (RFC 9110 §8.6, RFC 9112 §6.1).
    Announced,
    /// A line of the head that does not end in CR LF (RFC 9112 §2.2).
    BareLineFeed,
    /// The head does not begin with a status line.
    NoStatusLine,
    /// More interim answers than anybody has a use for.
    TooManyInterim,
    /// A head larger than ours may be.
    TooLarge,
    /// Bytes before anything was asked.
    Unasked,
    /// A line of the head that is no status line or field line (RFC 9112 §4, §5).
    Line,
    /// More fields than there is room for.
    TooManyFields,
    /// A chunk size that is no number, or too large a one, or a chunk that does not end where its size
    /// says (RFC 9112 §7.1).
    Chunk,
    /// Chunk extensions or trailers without end.
    TooMuchExtra,
}

/// What a head says of the end of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Nothing.
    Open,
    /// So many bytes.
    Sized(u64),
    /// The chunked coding.
    Chunked,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status => "a status of 600 or more",
            Self::Length => "more than one length, or one that is no number",
            Self::LengthAndCoding => "a length beside a transfer coding",
            Self::Coding => "a transfer coding that is not chunked alone",
            Self::Announced => "a 204 or an interim answer that announces a body",
            Self::BareLineFeed => "a line that does not end in CR LF",
            Self::NoStatusLine => "no status line",
            Self::TooManyInterim => "too many interim answers",
            Self::TooLarge => "a head that is too large",
            Self::Unasked => "bytes before anything was asked",
            Self::Line => "a line that is none of HTTP/1",
            Self::TooManyFields => "too many fields",
            Self::Chunk => "an odd chunk",
            Self::TooMuchExtra => "too many chunk extensions or trailers",
        })
    }
}

/// Judges a parsed head. `Ok` means that every reader of it finds the same end.
///
/// A 204 with `Content-Length: 0` passes: servers must not send it (RFC 9110 §8.6), but many do, and
/// it announces what is there. Any other length or coding beside a 204 means that a body may follow
/// which the next reader takes for an answer; beside a 101, for the other protocol.
pub fn judge(
    version: Version,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Framing, Malformed> {
    let mut claims = Claims::default();
    for (name, value) in headers {
        // As patterns the two names are one comparison, which no usual field passes.
        if matches!(*name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING) {
            claims.note(name, value.as_bytes())?;
        }
    }
    claims.conclude(version, status)
}

/// The fields of one head that frame its message.
#[derive(Debug, Default)]
struct Claims<'a> {
    length: Option<&'a [u8]>,
    coding: Option<&'a [u8]>,
}

impl<'a> Claims<'a> {
    /// Takes a Content-Length or a Transfer-Encoding.
    fn note(&mut self, name: &HeaderName, value: &'a [u8]) -> Result<(), Malformed> {
        let (slot, twice) = if *name == header::CONTENT_LENGTH {
            (&mut self.length, Malformed::Length)
        } else {
            (&mut self.coding, Malformed::Coding)
        };
        if slot.replace(value).is_some() { Err(twice) } else { Ok(()) }
    }

    fn conclude(self, version: Version, status: StatusCode) -> Result<Framing, Malformed> {
        if status.as_u16() >= 600 {
            return Err(Malformed::Status);
        }
        match (self.length, self.coding) {
            (None, None) => Ok(Framing::Open),
            (Some(_), Some(_)) => Err(Malformed::LengthAndCoding),
            (Some(length), None) => judge_length(status, length),
            (None, Some(coding)) => judge_coding(version, status, coding),
        }
    }
}

fn judge_length(status: StatusCode, digits: &[u8]) -> Result<Framing, Malformed> {
    // A u64 has at most 20 digits; beyond that only zeros in front could make it one.
    if !(1..=20).contains(&digits.len()) {
        return Err(Malformed::Length);
    }
    let length = digits.iter().try_fold(0_u64, |length, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    });
    match length.ok_or(Malformed::Length)? {
        1.. if has_no_body(status) => Err(Malformed::Announced),
        length => Ok(Framing::Sized(length)),
    }
}

/// Whether nothing may even announce a body: to 304 and to HEAD it is announced what another answer had.
fn has_no_body(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT
}

fn judge_coding(version: Version, status: StatusCode, coding: &[u8]) -> Result<Framing, Malformed> {
    if has_no_body(status) {
        return Err(Malformed::Announced);
    }
    let is_plain = coding.eq_ignore_ascii_case(b"chunked") && version == Version::HTTP_11;
    if is_plain { Ok(Framing::Chunked) } else { Err(Malformed::Coding) }
}

/// Whether a trailer tries to say where the message ends, or began: too late for anything but
/// confusion (RFC 9110 §6.5.1).
pub fn is_framing(name: &HeaderName) -> bool {
    matches!(*name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING)
}

#[cfg(test)]
mod tests {
    use Malformed::{Announced, Coding, Length, LengthAndCoding, Status};

    use super::*;

    const LENGTH: &str = "content-length";
    const CODING: &str = "transfer-encoding";

    fn verdict(status: u16, fields: &[(&'static str, &str)]) -> Result<(), Malformed> {
        versioned(Version::HTTP_11, status, fields)
    }

    fn versioned(
        version: Version,
        status: u16,
        fields: &[(&'static str, &str)],
    ) -> Result<(), Malformed> {
        let field =
            |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse());
        let mut headers = HeaderMap::new();
        for (name, value) in fields.iter().map(field) {
            headers.append(name, value.unwrap());
        }
        judge(version, StatusCode::from_u16(status).unwrap(), &headers).map(|_framing| ())
    }

    #[test]
    fn what_has_one_meaning_passes() {
        for (status, fields) in [
            (200, &[] as &[(&'static str, &str)]),
            (200, &[("content-type", "text/plain"), (LENGTH, "0")]),
            (200, &[(LENGTH, "18446744073709551615")]),
            (200, &[(LENGTH, "007")]),
            (200, &[(CODING, "chunked")]),
            (200, &[(CODING, "Chunked"), ("set-cookie", "a=1"), ("set-cookie", "b=2")]),
            (204, &[]),
            (204, &[(LENGTH, "0")]),
            (304, &[(LENGTH, "4096")]),
            (304, &[(CODING, "chunked")]),
            (599, &[]),
        ] {
            assert_eq!(verdict(status, fields), Ok(()), "{status} {fields:?}");
        }
    }

    #[test]
    fn what_has_two_meanings_does_not() {
        for (status, fields, expected) in [
            (600, &[] as &[(&'static str, &str)], Status),
            (999, &[(LENGTH, "0")], Status),
            (200, &[(LENGTH, "2"), (LENGTH, "2")], Length),
            (200, &[(LENGTH, "2"), (LENGTH, "3")], Length),
            (200, &[(LENGTH, "2, 2")], Length),
            (200, &[(LENGTH, "")], Length),
            (200, &[(LENGTH, "+2")], Length),
            (200, &[(LENGTH, "-2")], Length),
            (200, &[(LENGTH, "2 ")], Length),
            (200, &[(LENGTH, "0x2")], Length),
            (200, &[(LENGTH, "18446744073709551616")], Length),
            (200, &[(LENGTH, "000000000000000000000")], Length),
            (304, &[(LENGTH, "garbage")], Length),
            (204, &[(LENGTH, "garbage")], Length),
            (200, &[(LENGTH, "2"), (CODING, "chunked")], LengthAndCoding),
            (200, &[(CODING, "chunked"), (LENGTH, "2")], LengthAndCoding),
            (304, &[(CODING, "chunked"), (LENGTH, "2")], LengthAndCoding),
            (200, &[(CODING, "gzip")], Coding),
            (200, &[(CODING, "gzip, chunked")], Coding),
            (200, &[(CODING, "chunked, gzip")], Coding),
            (200, &[(CODING, "chunked, chunked")], Coding),
            (200, &[(CODING, "chunked"), (CODING, "chunked")], Coding),
            (200, &[(CODING, "identity")], Coding),
            (200, &[(CODING, "")], Coding),
            (200, &[(CODING, "xchunked")], Coding),
            (204, &[(LENGTH, "2")], Announced),
            (204, &[(CODING, "chunked")], Announced),
            (101, &[(LENGTH, "2")], Announced),
            (100, &[(LENGTH, "2")], Announced),
            (103, &[(CODING, "chunked")], Announced),
            (101, &[(CODING, "chunked")], Announced),
        ] {
            assert_eq!(verdict(status, fields), Err(expected), "{status} {fields:?}");
        }
    }

    #[test]
    fn only_one_version_knows_transfer_codings() {
        for version in [Version::HTTP_10, Version::HTTP_2] {
            assert_eq!(versioned(version, 304, &[(CODING, "chunked")]), Err(Coding));
        }
        assert_eq!(versioned(Version::HTTP_10, 200, &[(LENGTH, "2")]), Ok(()));
    }

    #[test]
    fn only_the_fields_of_framing_are_framing() {
        assert!(is_framing(&header::CONTENT_LENGTH) && is_framing(&header::TRANSFER_ENCODING));
        assert!(!is_framing(&header::ETAG));
    }
}
