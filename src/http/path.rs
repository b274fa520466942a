//! The one canonical form of a request path (RFC 3986 §6.2.2), made once and used by everyone.
//!
//! Dot segments and repeated slashes are resolved, escapes of unreserved characters decoded, other
//! escapes upper-cased; a trailing slash stays. What two readers could understand differently is
//! refused: an escaped slash, backslash or NUL, a broken escape, a bare backslash, a byte that is
//! not printable ASCII. The result is a fixed point: making it twice changes nothing, and nothing
//! is ever decoded twice (`%252F` stays `%252F`).
//!
//! It does not look at the query, and does not know which paths exist.

use std::borrow::Cow;
use std::fmt;

/// Why a path has no canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// It does not begin with `/`, as in `OPTIONS *` or a relative reference.
    NotAbsolute,
    /// A `%` that is not followed by two hex digits.
    BrokenEscape,
    /// `%2F`, `%5C` or `%00`: readers differ on what they separate or end.
    AmbiguousEscape,
    /// A backslash, a space, `?` or `#`, a control byte or a byte beyond ASCII.
    ForbiddenCharacter,
}

impl PathError {
    /// The rule that it breaks.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotAbsolute => "the path does not begin with `/`",
            Self::BrokenEscape => "the path holds a broken escape",
            Self::AmbiguousEscape => "the path holds an escaped slash, backslash or NUL",
            Self::ForbiddenCharacter => "the path holds a character that must be escaped",
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl std::error::Error for PathError {}

/// Makes the canonical form of `path`. A path that is canonical already is borrowed, after one
/// scan. The result is never longer than `path`.
pub fn canonical(path: &str) -> Result<Cow<'_, str>, PathError> {
    if !path.starts_with('/') {
        return Err(PathError::NotAbsolute);
    }
    if is_clean(path.as_bytes()) {
        return Ok(Cow::Borrowed(path));
    }
    let resolved = resolve(path)?;
    Ok(if resolved == path { Cow::Borrowed(path) } else { Cow::Owned(resolved) })
}

/// Whether a path needs no work. It may say no to a canonical path, never yes to another.
fn is_clean(path: &[u8]) -> bool {
    let mut after_slash = false;
    for byte in path {
        match CLASSES[usize::from(*byte)] {
            Class::Plain => after_slash = false,
            Class::Slash if !after_slash => after_slash = true,
            Class::Dot if !after_slash => {}
            _ => return false,
        }
    }
    true
}

fn resolve(path: &str) -> Result<String, PathError> {
    let mut out = String::with_capacity(path.len());
    let mut ends_in_directory = false;
    for segment in path[1..].split('/') {
        let start = out.len();
        out.push('/');
        decode(segment, &mut out)?;
        match &out[start..] {
            "/" | "/." => out.truncate(start),
            "/.." => {
                out.truncate(start);
                out.truncate(out.rfind('/').unwrap_or(0));
            }
            _ => {
                ends_in_directory = false;
                continue;
            }
        }
        ends_in_directory = true;
    }
    if ends_in_directory {
        out.push('/');
    }
    Ok(out)
}

fn decode(segment: &str, out: &mut String) -> Result<(), PathError> {
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        match CLASSES[usize::from(byte)] {
            Class::Forbidden => return Err(PathError::ForbiddenCharacter),
            Class::Percent => {
                let (high, low) = (bytes.next().and_then(hex), bytes.next().and_then(hex));
                let (Some(high), Some(low)) = (high, low) else {
                    return Err(PathError::BrokenEscape);
                };
                match high << 4 | low {
                    b'/' | b'\\' | 0 => return Err(PathError::AmbiguousEscape),
                    plain if is_unreserved(plain) => out.push(char::from(plain)),
                    _ => out.extend(['%', digit(high), digit(low)]),
                }
            }
            Class::Plain | Class::Dot | Class::Slash => out.push(char::from(byte)),
        }
    }
    Ok(())
}

/// The path as the most generous reader could understand it: every escape decoded once, backslashes
/// for slashes, dot segments and repeated slashes resolved. For judging what has no canonical form,
/// never for forwarding.
pub fn loosest(path: &str) -> String {
    let mut plain = Vec::with_capacity(path.len());
    let mut bytes = path.as_bytes();
    while let [byte, rest @ ..] = bytes {
        bytes = rest;
        match (byte, rest) {
            (b'%', [high, low, rest @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes = rest;
                    plain.push(high << 4 | low);
                }
                _ => plain.push(b'%'),
            },
            _ => plain.push(*byte),
        }
    }
    let text = String::from_utf8_lossy(&plain).replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

/// What the escapes in a part of a canonical path stand for, each decoded once. For comparing it, never
/// for forwarding.
pub fn unescaped(part: &str) -> Cow<'_, [u8]> {
    if !part.contains('%') {
        return Cow::Borrowed(part.as_bytes());
    }
    let mut plain = Vec::with_capacity(part.len());
    let mut bytes = part.as_bytes();
    while let [byte, rest @ ..] = bytes {
        bytes = rest;
        let escape = |digits: &[u8]| Some(hex(*digits.first()?)? << 4 | hex(*digits.get(1)?)?);
        match escape(rest).filter(|_| *byte == b'%') {
            Some(decoded) => {
                bytes = rest.get(2..).unwrap_or_default();
                plain.push(decoded);
            }
            None => plain.push(*byte),
        }
    }
    Cow::Owned(plain)
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn digit(nibble: u8) -> char {
    char::from(b"0123456789ABCDEF"[usize::from(nibble & 15)])
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[derive(Clone, Copy)]
enum Class {
    Plain,
    Dot,
    Slash,
    Percent,
    Forbidden,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Forbidden; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        classes[byte] = Class::Plain;
        byte += 1;
    }
    classes[b'.' as usize] = Class::Dot;
    classes[b'/' as usize] = Class::Slash;
    classes[b'%' as usize] = Class::Percent;
    classes[b'\\' as usize] = Class::Forbidden;
    classes[b'?' as usize] = Class::Forbidden;
    classes[b'#' as usize] = Class::Forbidden;
    classes
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_loosest_reading_finds_what_is_hidden() {
        for hidden in ["/a%2Fb", "/a%5Cb", "/a\\b", "//x/%2e%2e/a/./b/", "/a/x/..%2fb", "/%61/b"] {
            assert_eq!(loosest(hidden), "/a/b", "{hidden}");
        }
        assert_eq!(loosest("/a%2"), "/a%2");
        assert_eq!(loosest("/%zz%"), "/%zz%");
        assert_eq!(loosest("/%252F"), "/%2F", "nothing is decoded twice");
    }

    #[test]
    fn a_part_is_unescaped_once() {
        assert!(matches!(unescaped("plain"), Cow::Borrowed(b"plain")));
        assert_eq!(&*unescaped("%C3%A9%20%2541%4"), "é %41%4".as_bytes());
    }

    #[track_caller]
    fn becomes(path: &str, expected: &str) {
        assert_eq!(canonical(path).as_deref(), Ok(expected), "{path}");
    }

    #[test]
    fn clean_paths_are_borrowed() {
        for path in ["/", "/api/orchestrate", "/a/b.json", "/a/", "/.well-known/x", "/a%2Bb"] {
            assert!(matches!(canonical(path), Ok(Cow::Borrowed(same)) if same == path), "{path}");
        }
    }

    #[test]
    fn dot_segments_and_repeated_slashes_are_resolved() {
        becomes("/a/b/../c/./d", "/a/c/d");
        becomes("/a//b", "/a/b");
        becomes("//a", "/a");
        becomes("/a//../b", "/b");
        becomes("/../../etc", "/etc");
        becomes("/...", "/...");
    }

    #[test]
    fn a_trailing_slash_stays() {
        becomes("/a/", "/a/");
        becomes("/a//", "/a/");
        becomes("/a/.", "/a/");
        becomes("/a/b/..", "/a/");
        becomes("/..", "/");
    }

    #[test]
    fn escapes_are_decoded_once_where_unreserved_and_upper_cased_elsewhere() {
        becomes("/%61%2d%7E", "/a-~");
        becomes("/caf%c3%a9", "/caf%C3%A9");
        becomes("/%2e%2e/a/%2E", "/a/");
        becomes("/%252f%252e", "/%252f%252e");
    }

    #[test]
    fn what_readers_understand_differently_is_refused() {
        for path in ["/a%2fb", "/a%2Fb", "/a%5cb", "/a%00"] {
            assert_eq!(canonical(path), Err(PathError::AmbiguousEscape), "{path}");
        }
        for path in ["/%", "/%a", "/%zz", "/a%2", "/%2/x"] {
            assert_eq!(canonical(path), Err(PathError::BrokenEscape), "{path}");
        }
        for path in ["/a\\b", "/a b", "/a\0", "/ä", "/\x7f", "/a?b", "/a#b"] {
            assert_eq!(canonical(path), Err(PathError::ForbiddenCharacter), "{path:?}");
        }
        for path in ["", "*", "a/b"] {
            assert_eq!(canonical(path), Err(PathError::NotAbsolute), "{path}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_a_fixed_point(
            path in "/([a.~/%\\\\|é]|%2[eEfF5]|%[0-9a-fA-F]{2}|\\.\\.|//){0,12}"
        ) {
            if let Ok(once) = canonical(&path) {
                let twice = canonical(&once).map(Cow::into_owned);
                prop_assert_eq!(twice.as_deref(), Ok(&*once));
                prop_assert!(once.starts_with('/') && !once.contains("//") && once.len() <= path.len());
                prop_assert!(!once.split('/').any(|s| s == "." || s == ".."));
            }
        }

        #[test]
        fn any_text_is_judged_without_panic(path in "\\PC*") {
            let _judged = canonical(&path);
        }
    }
}
