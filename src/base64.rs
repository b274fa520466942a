//! Base64 (RFC 4648), in the two forms that reach us.
//!
//! [`Form::Url`] is how tokens and keys are written. There is one way to write each text: without
//! padding, and what is left over in the last digit must be zero, so nobody can write one token in two
//! ways. [`Form::Standard`] is how gRPC carries bytes in a header: with padding or without, and bits that
//! are left over are not looked at.

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// With `+` and `/` (§4), read leniently.
    Standard,
    /// With `-` and `_` (§5), read strictly.
    Url,
}

/// Decodes; `None` for what is not of this form.
pub fn decode(text: &[u8], form: Form) -> Option<Vec<u8>> {
    let digits = match form {
        Form::Standard => without_padding(text)?,
        Form::Url => text,
    };
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for byte in group {
            bits = bits << 6 | u32::from(digit(*byte, form)?);
        }
        let (bytes, rest) = match group.len() {
            4 => (3, 0),
            3 => (2, bits & 0b11),
            2 => (1, bits & 0b1111),
            _ => return None,
        };
        if rest != 0 && form == Form::Url {
            return None;
        }
        // As if it were filled up with zeroes.
        bits <<= 6 * (4 - group.len());
        let [_, all @ ..] = bits.to_be_bytes();
        out.extend_from_slice(&all[..bytes]);
    }
    Some(out)
}

/// Encodes as [`Form::Url`].
pub fn encode_url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len() / 3 * 4 + 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| group.get(at).copied().map_or(0, usize::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digits = [18, 12, 6, 0].map(|shift| char::from(DIGITS[bits >> shift & 63]));
        text.extend(digits.into_iter().take(group.len() + 1));
    }
    text
}

/// A text that is padded to fours, or not at all.
fn without_padding(text: &[u8]) -> Option<&[u8]> {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let is_whole = padding == 0 || (padding <= 2 && text.len().is_multiple_of(4));
    text.get(..text.len() - padding).filter(|_| is_whole)
}

fn digit(byte: u8, form: Form) -> Option<u8> {
    match (byte, form) {
        (b'A'..=b'Z', _) => Some(byte - b'A'),
        (b'a'..=b'z', _) => Some(byte - b'a' + 26),
        (b'0'..=b'9', _) => Some(byte - b'0' + 52),
        (b'-', Form::Url) | (b'+', Form::Standard) => Some(62),
        (b'_', Form::Url) | (b'/', Form::Standard) => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        for (text, bytes) in [("", &b""[..]), ("Zg", b"f"), ("Zm8", b"fo"), ("Zm9v", b"foo")] {
            assert_eq!(decode(text.as_bytes(), Form::Url).as_deref(), Some(bytes));
            assert_eq!(encode_url(bytes), text);
        }
        assert_eq!(decode(b"-_8", Form::Url).as_deref(), Some(&[0xfb, 0xff][..]));
    }

    #[test]
    fn what_no_encoder_writes_is_refused() {
        for odd in ["Z", "Zg==", "Zh", "Zm9", "Zm+v", "Zm/v", "Z g", "Zm9vY", "Zg\n"] {
            assert_eq!(decode(odd.as_bytes(), Form::Url), None, "{odd:?}");
        }
    }

    #[test]
    fn the_examples_of_the_rfc_are_read_with_padding_and_without() {
        let cases = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, text) in cases.into_iter().enumerate() {
            let expected = &b"foobar"[..length];
            assert_eq!(
                decode(text.as_bytes(), Form::Standard).as_deref(),
                Some(expected),
                "{text}"
            );
            let bare = text.trim_end_matches('=');
            assert_eq!(
                decode(bare.as_bytes(), Form::Standard).as_deref(),
                Some(expected),
                "{bare}"
            );
        }
    }

    #[test]
    fn what_is_neither_padded_nor_bare_is_refused() {
        for text in ["Z", "Zg=", "Zg===", "====", "Zm9vY", "Zm9v=", "Z g=", "Zm_v", "Zm=v"] {
            assert_eq!(decode(text.as_bytes(), Form::Standard), None, "{text}");
        }
        assert_eq!(decode(&[0xff; 8], Form::Standard), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(decode(encode_url(&bytes).as_bytes(), Form::Url), Some(bytes));
        }

        #[test]
        fn no_two_texts_mean_the_same(left in "[A-Za-z0-9_-]{0,9}", right in "[A-Za-z0-9_-]{0,9}") {
            if let (Some(one), Some(other)) = (decode(left.as_bytes(), Form::Url), decode(right.as_bytes(), Form::Url)) {
                prop_assert_eq!(one == other, left == right);
            }
        }
    }
}
