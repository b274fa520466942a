//! Text in targets: escapes, pairs, lists and numbers, exactly as their grammars have them.

use std::borrow::Cow;

/// Undoes escapes (RFC 3986 §2.1), and `+` where it stands for a space. `None` for a broken escape
/// or what is not UTF-8.
pub(in super::super) fn decode(text: &str, plus_is_space: bool) -> Option<Cow<'_, str>> {
    let is_special = |byte: u8| byte == b'%' || (plus_is_space && byte == b'+');
    if !text.bytes().any(is_special) {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let high = bytes.next().and_then(digit)?;
                let low = bytes.next().and_then(digit)?;
                out.push(u8::try_from(high << 4 | low).ok()?);
            }
            b'+' if plus_is_space => out.push(b' '),
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// The pairs of a query, still escaped. What has no `=` is a name with an empty value.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').unwrap_or((part, "")))
}

/// The items of a list in one text. A space, and a bar that some clients escape, come escaped. An
/// empty text is a list without items.
pub(super) fn items(text: &str, separator: char) -> Vec<&str> {
    if text.is_empty() {
        return Vec::new();
    }
    match separator {
        ' ' => text.split("%20").flat_map(|part| part.split('+')).collect(),
        '|' => text
            .split("%7C")
            .flat_map(|part| part.split("%7c"))
            .flat_map(|part| part.split('|'))
            .collect(),
        separator => text.split(separator).collect(),
    }
}

/// Whether a text is a number as JSON writes it (RFC 8259 §6), and of a length that one has.
pub(super) fn is_number(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let text = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text.starts_with('0')) || text.len() > 64 {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let length = digits(exponent);
        if length == 0 {
            return false;
        }
        rest = &exponent[length..];
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_undone_once() {
        assert_eq!(decode("a%20b%2526+", false).as_deref(), Some("a b%26+"));
        assert_eq!(decode("a+b", true).as_deref(), Some("a b"));
        for broken in ["%", "%2", "%zz", "%ff", "%+1"] {
            assert_eq!(decode(broken, true), None, "{broken}");
        }
    }

    #[test]
    fn a_list_is_taken_apart_before_its_items_are_decoded() {
        assert_eq!(items("a,b%2Cc,", ','), ["a", "b%2Cc", ""]);
        assert_eq!(items("a%20b+c", ' '), ["a", "b", "c"]);
        assert_eq!(items("a|b%7Cc", '|'), ["a", "b", "c"]);
        assert!(items("", ',').is_empty());
    }

    #[test]
    fn a_query_is_pairs() {
        let found: Vec<_> = pairs("a=1&&b&c=x=y&=").collect();
        assert_eq!(found, [("a", "1"), ("b", ""), ("c", "x=y"), ("", "")]);
    }

    proptest! {
        #[test]
        fn a_number_is_what_json_says_it_is(text in "[-+]?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][-+]?[0-9]{0,2})?") {
            let json = serde_json::from_str::<serde_json::Number>(&text).is_ok();
            prop_assert_eq!(is_number(&text), json);
        }

        #[test]
        fn what_is_escaped_comes_back(text in "\\PC{0,16}") {
            let escape = |byte| ["%".to_owned(), format!("{byte:02x}")].concat();
            let escaped = text.bytes().map(escape).collect::<Vec<_>>().concat();
            let decoded = decode(&escaped, true);
            prop_assert_eq!(decoded.as_deref(), Some(&*text));
        }
    }
}
