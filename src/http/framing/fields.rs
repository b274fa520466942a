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
pub(in crate::http) fn is_token(byte: u8) -> bool {
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
    let mut at = from;
    let mut words = 0;
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let marks = control_bytes(u64::from_le_bytes(*eight));
        if marks == 0 {
            at += 8;
            words += 1;
            if words == SHORT_VALUE {
                at = skip_blocks(bytes, at);
            }
            continue;
        }
        at += (marks.trailing_zeros() / 8) as usize;
        if bytes[at] != b'\t' {
            return at;
        }
        at += 1;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| is_control(*byte) && *byte != b'\t').unwrap_or(rest.len())
}

/// A value of so many words is worth a look at larger blocks.
const SHORT_VALUE: u32 = 4;

/// The high bit of the first byte below 0x20, or equal to 0x7f, and perhaps of some above it: a borrow
/// can mark a byte wrongly, but only above one that is marked rightly.
fn control_bytes(word: u64) -> u64 {
    const EACH: u64 = u64::MAX / 255;
    let delete = word ^ (EACH * 0x7f);
    let below = word.wrapping_sub(EACH * 0x20) & !word;
    (below | (delete.wrapping_sub(EACH) & !delete)) & (EACH * 0x80)
}

/// Skips blocks without any control byte, which the compiler looks at sixteen bytes at a time.
fn skip_blocks(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<32>()) {
        if block.iter().fold(false, |odd, byte| odd | is_control(*byte)) {
            break;
        }
        at += 32;
    }
    at
}

fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
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

/// How long the name is of a field line that is complete and in order, and how long the line without
/// its CRLF. `None` asks for [`explain`]: heads in order, the usual ones, pay for no explanation.
#[inline]
pub(super) fn whole(line: &[u8]) -> Option<(usize, usize)> {
    let name = line.iter().position(|byte| !is_token(*byte))?;
    if name == 0 || name > LONGEST_NAME || line[name] != b':' {
        return None;
    }
    let end = value_end(line, name + 1);
    (line.get(end..)?.first_chunk() == Some(b"\r\n")).then_some((name, end))
}

/// What is wrong with a field line, if it is not merely incomplete.
#[cold]
pub(super) fn explain(line: &[u8]) -> Result<(), Refusal> {
    let name = line.iter().position(|byte| !is_token(*byte)).unwrap_or(line.len());
    if name > LONGEST_NAME {
        return Err(too_large("a field name is too long"));
    }
    match line.get(name) {
        None => Ok(()),
        Some(b':') if name > 0 => {
            line_break(line, value_end(line, name + 1))?;
            Ok(())
        }
        Some(b':') => Err(malformed("a field without a name")),
        Some(b' ' | b'\t') if name == 0 => Err(malformed("a folded field")),
        Some(b' ' | b'\t') => Err(malformed("white space behind a field name")),
        Some(_) => Err(malformed("a field name with an odd byte")),
    }
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
