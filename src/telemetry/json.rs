//! JSON text that cannot forge a line or steer a terminal.
//!
//! Beyond what RFC 8259 asks, DEL, the C1 controls and the Unicode line separators are escaped.

/// Appends a quoted string.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    inside(text, out);
    out.push(b'"');
}

/// Appends what stands between the quotes of a string.
pub(super) fn inside(text: &str, out: &mut Vec<u8>) {
    if is_plain(text) {
        out.extend_from_slice(text.as_bytes());
    } else {
        escaped(text, out);
    }
}

/// Whether nothing needs an escape; it may say no to a text that needs none. Without a way out of
/// the loop it is made of vector instructions, and nearly every string of ours is plain.
fn is_plain(text: &str) -> bool {
    let is_odd = |byte: &u8| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\');
    text.bytes().filter(is_odd).count() == 0
}

fn escaped(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.find(needs_escape) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let mut chars = tail.chars();
        escape(chars.next().unwrap_or_default(), out);
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

fn needs_escape(c: char) -> bool {
    matches!(c, '"' | '\\' | '\u{2028}' | '\u{2029}') || c.is_control()
}

fn escape(c: char, out: &mut Vec<u8>) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        // Every character that needs an escape is in the first 16-bit plane.
        _ => out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_one_printable_line_and_comes_back(text in any::<String>()) {
            let mut out = Vec::new();
            super::string(&text, &mut out);
            let written = String::from_utf8(out).unwrap();
            prop_assert!(!written.chars().any(char::is_control), "{written:?}");
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }
}
