//! Lines and fields: which bytes they may have, and where they end.
//!
//! Names are looked up in a table, values are scanned eight bytes at a time. A line ends with CRLF and
//! nothing else (RFC 9112 §2.2 allows more; two readers of one message must not).

use super::{Refusal, malformed, too_large};

/// Bytes a field name may have. Longer ones are an attempt at something.
const LONGEST_NAME: usize = 256;

const TOKEN: u8 = 1;
const TARGET: u8 = 2;
const HOST: u8 = 4;

/// What each byte may be part of.
static CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte: u8 = 0;
    loop {
        let is_word = byte.is_ascii_alphanumeric();
        if is_word
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
        {
            table[byte as usize] |= TOKEN;
        }
        // What `http::Uri` takes in a path and in a query alike: RFC 3986's characters and a few that
        // clients leave as they are. No fragment, which never travels, and nothing beyond ASCII.
        if matches!(byte, b'!' | b'$'..=b';' | b'=' | b'?'..=b'_' | b'a'..=b'~') {
            table[byte as usize] |= TARGET;
        }
        // A registered name without escapes and sub-delimiters, which no host has.
        if is_word || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            table[byte as usize] |= HOST;
        }
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// Whether a byte may be part of a method or a field name (RFC 9110 §5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    is(byte, TOKEN)
}

/// Whether a byte may be part of a request target.
pub(super) fn is_target(byte: u8) -> bool {
    is(byte, TARGET)
}

/// Whether a byte may be part of a host's name.
pub(super) fn is_host(byte: u8) -> bool {
    is(byte, HOST)
}

/// Where the first byte lies, from `from` on, that cannot be part of a field value: a control byte
/// other than a tab. The end of `bytes` where there is none.
pub(super) fn value_end(bytes: &[u8], from: usize) -> usize {
    const EACH: u64 = u64::MAX / 255;
    let mut at = from;
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*eight);
        let delete = word ^ (EACH * 0x7f);
        // The high bit of each byte below 0x20, or equal to 0x7f. A borrow can only mark bytes above
        // one that is marked rightly, and the lowest is the one that is looked at.
        let below = word.wrapping_sub(EACH * 0x20) & !word;
        let marks = (below | (delete.wrapping_sub(EACH) & !delete)) & (EACH * 0x80);
        if marks == 0 {
            at += 8;
            continue;
        }
        at += (marks.trailing_zeros() / 8) as usize;
        if bytes[at] != b'\t' {
            return at;
        }
        at += 1;
    }
    let is_value = |byte: &u8| (*byte >= 0x20 && *byte != 0x7f) || *byte == b'\t';
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| !is_value(byte)).unwrap_or(rest.len())
}

/// Judges the CRLF that must stand at `at`. `None` where it has not come yet.
pub(super) fn line_break(bytes: &[u8], at: usize) -> Result<Option<usize>, Refusal> {
    match bytes.get(at..).unwrap_or_default() {
        [b'\r', b'\n', ..] => Ok(Some(at + 2)),
        [] | [b'\r'] => Ok(None),
        [b'\r', ..] => Err(malformed("a carriage return without its line feed")),
        [b'\n', ..] => Err(malformed("a line feed without its carriage return")),
        [_, ..] => Err(malformed("a control byte")),
    }
}

/// A field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    /// Without white space around it.
    pub(super) value: &'a [u8],
    /// Where the next line starts.
    pub(super) end: usize,
}

/// Reads the field line that starts at `start`. `None` where it is not complete yet.
pub(super) fn field(bytes: &[u8], start: usize) -> Result<Option<Field<'_>>, Refusal> {
    let mut colon = start;
    while bytes.get(colon).is_some_and(|byte| is_token(*byte)) {
        colon += 1;
    }
    if colon - start > LONGEST_NAME {
        return Err(too_large("a field name is too long"));
    }
    match bytes.get(colon) {
        None => return Ok(None),
        Some(b':') if colon > start => {}
        Some(b':') => return Err(malformed("a field without a name")),
        Some(b' ' | b'\t') if colon == start => return Err(malformed("a folded field")),
        Some(b' ' | b'\t') => return Err(malformed("white space behind a field name")),
        Some(_) => return Err(malformed("a field name with an odd byte")),
    }
    let value_end = value_end(bytes, colon + 1);
    let Some(end) = line_break(bytes, value_end)? else { return Ok(None) };
    // Of the bytes in a value only space and tab are ASCII white space.
    let value = bytes[colon + 1..value_end].trim_ascii();
    Ok(Some(Field { name: &bytes[start..colon], value, end }))
}

/// All digits: no sign, no separator, no overflow. Leading zeros count for nothing.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit).filter(|number| *number <= LONGEST_BODY)
    })
}

/// The largest length that is believed: far above any body, and far below any overflow.
pub(super) const LONGEST_BODY: u64 = 1 << 60;
